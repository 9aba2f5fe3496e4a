"""Split the raw table into training and held-out rows.

Reads   the table that params.yaml names as data.source
Writes  data/prepared/train.parquet, test.parquet, schema.json
Run     python -m stages.prepare
"""

import logging

import numpy as np

from isoform.integrity import sha256, write_atomic
from isoform.metadata import to_json
from isoform.rows import Columns
from pipeline import datasets, layout, params
from pipeline.datasets import Schema
from pipeline.params import Data
from stages import run

log = logging.getLogger(__name__)


def prepare(data: Data, train: tuple[Columns, np.ndarray], test: tuple[Columns, np.ndarray]) -> tuple[bytes, bytes, Schema]:
    """Return the two tables as Parquet and the schema; categories and classes are those of the training rows."""
    (train_columns, train_labels), (test_columns, test_labels) = train, test
    train_bytes = datasets.to_parquet(train_columns, train_labels, data.target)
    test_bytes = datasets.to_parquet(test_columns, test_labels, data.target)
    schema = Schema(
        source=data.source,
        task=data.task,
        target=data.target,
        target_scale=(float(train_labels.std()) or 1.0) if data.task == "regression" else 1.0,
        numeric=data.numeric,
        categorical=data.categorical,
        categories={name: sorted(set(train_columns[name].tolist())) for name in data.categorical},
        classes=sorted(set(train_labels.tolist())) if data.task == "classification" else [],
        train_rows=len(train_labels),
        test_rows=len(test_labels),
        train_sha256=sha256(train_bytes),
        test_sha256=sha256(test_bytes),
    )
    return train_bytes, test_bytes, schema


def main() -> None:
    """Write both tables and, last, their schema; raises `BadInput` naming the column or rows at fault."""
    settings = params.load()
    train, test = datasets.split(datasets.read_source(settings.data), settings.data, settings.seed)
    train_bytes, test_bytes, schema = prepare(settings.data, train, test)
    log.info("%d training rows, %d held-out rows", schema.train_rows, schema.test_rows)
    write_atomic(layout.TRAIN, train_bytes)
    write_atomic(layout.TEST, test_bytes)
    write_atomic(layout.SCHEMA, to_json(schema))


if __name__ == "__main__":
    run(main, __doc__)
