"""Split the raw table into training and held-out rows.

Reads   the table that params.yaml names as data.source
Writes  data/prepared/train.parquet, test.parquet, schema.json
Run     python -m stages.prepare
"""

import logging
import math
from collections.abc import Sequence

import numpy as np

from isoform.integrity import sha256, write_atomic
from isoform.metadata import to_json
from isoform.rows import Columns, take
from pipeline import datasets, layout, params, raw, splitting
from pipeline.datasets import Schema
from pipeline.params import Data
from stages import run

log = logging.getLogger(__name__)

Part = tuple[Columns, np.ndarray]
"""Rows and their targets [N]."""


def split(columns: Columns, target: np.ndarray, data: Data, seed: int) -> tuple[Part, Part]:
    """Return training and held-out rows, each in the order of the table; of each class some are in both."""
    rows = np.arange(len(target))
    if data.rows and data.rows < len(target):
        rows = splitting.sample(_classes(target, data), data.rows, seed)
    train, test = (rows[part] for part in splitting.split(_classes(target[rows], data), data.test_share, seed))
    return (take(columns, train), target[train]), (take(columns, test), target[test])


def _classes(target: np.ndarray, data: Data) -> np.ndarray:
    """Return the position of each label among the sorted classes, int64 [N]; 0 throughout for regression."""
    return np.unique(target, return_inverse=True)[1] if data.task == "classification" else np.zeros(len(target), dtype=np.int64)


def prepare(data: Data, train: Part, test: Part) -> tuple[bytes, bytes, Schema]:
    """Return the two tables as Parquet and the schema; categories, classes and scale are those of the training rows."""
    (train_columns, train_target), (test_columns, test_target) = train, test
    train_bytes = datasets.to_parquet(train_columns, train_target, data.target)
    test_bytes = datasets.to_parquet(test_columns, test_target, data.target)
    classification = data.task == "classification"
    schema = Schema(
        source=data.source,
        task=data.task,
        target=data.target,
        target_scale=1.0 if classification else scale(train_target.tolist()),
        numeric=data.numeric,
        categorical=data.categorical,
        categories={name: sorted(set(train_columns[name].tolist())) for name in data.categorical},
        classes=sorted(set(train_target.tolist())) if classification else [],
        train_rows=len(train_target),
        test_rows=len(test_target),
        train_sha256=sha256(train_bytes),
        test_sha256=sha256(test_bytes),
    )
    return train_bytes, test_bytes, schema


def scale(numbers: Sequence[float]) -> float:
    """Return the standard deviation of `numbers`, 1.0 where it is 0; summed exactly, so that no CPU rounds it otherwise."""
    mean = math.fsum(numbers) / len(numbers)
    return math.sqrt(math.fsum((number - mean) ** 2 for number in numbers) / len(numbers)) or 1.0


def main() -> None:
    """Write both tables and, last, their schema; raises `BadInput` naming the column or rows at fault."""
    settings = params.load()
    train, test = split(*raw.read(settings.data), settings.data, settings.seed)
    train_bytes, test_bytes, schema = prepare(settings.data, train, test)
    log.info("%d training rows, %d held-out rows", schema.train_rows, schema.test_rows)
    write_atomic(layout.TRAIN, train_bytes)
    write_atomic(layout.TEST, test_bytes)
    write_atomic(layout.SCHEMA, to_json(schema))


if __name__ == "__main__":
    run(main, __doc__, alone_in=layout.PREPARED)
