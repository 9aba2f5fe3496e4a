"""The prepared tables: their schema, their files, and how the stages read them.

Shapes: N rows.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from isoform.integrity import open_verified, read_bytes
from isoform.metadata import Label, Task, parse
from isoform.rows import Columns
from pipeline import layout


@dataclass(frozen=True, kw_only=True)
class Schema:
    """data/prepared/schema.json: what the other stages must know of the tables, and their hashes."""

    source: str
    task: Task
    target: str
    target_scale: float
    """Standard deviation of the target in the training rows; 1.0 where that is 0, and for classification."""
    numeric: list[str]
    categorical: list[str]
    categories: dict[str, list[str]]
    """Values of each text column in the training rows, sorted by code point."""
    classes: list[Label]
    """Labels in the training rows, sorted; none for regression."""
    train_rows: int
    test_rows: int
    train_sha256: str
    test_sha256: str


def to_parquet(columns: Columns, target: np.ndarray, name: str) -> bytes:
    """Return the rows, the column `name` holding their targets [N], as a Parquet file; the same rows give the same bytes."""
    table = pa.table({name: pa.array(column) for name, column in columns.items()} | {name: pa.array(target)})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def read_schema() -> Schema:
    """Return data/prepared/schema.json."""
    return parse(Schema, read_bytes(layout.SCHEMA), layout.SCHEMA)


def read_train(schema: Schema) -> tuple[Columns, np.ndarray]:
    """Return the training rows and their targets [N]: bool, int64 or object (`str`) labels, or float64."""
    return _read(layout.TRAIN, schema.train_sha256, schema)


def read_test(schema: Schema) -> tuple[Columns, np.ndarray]:
    """Return the held-out rows and their targets [N]."""
    return _read(layout.TEST, schema.test_sha256, schema)


def targets(labels: np.ndarray, schema: Schema) -> np.ndarray:
    """Return what a model is to learn, [N]: int64 positions in the classes, or float64 numbers."""
    return class_indices(labels, schema) if schema.task == "classification" else labels.astype(np.float64)


def class_indices(labels: np.ndarray, schema: Schema) -> np.ndarray:
    """Return each label's position in `schema.classes`, int64 [N]."""
    index = {label: i for i, label in enumerate(schema.classes)}
    return np.array([index[label] for label in labels.tolist()], dtype=np.int64)


def _read(path: Path, sha256: str, schema: Schema) -> tuple[Columns, np.ndarray]:
    table = pq.read_table(io.BytesIO(open_verified(path, sha256, layout.SCHEMA.name)))
    columns = {name: table.column(name).to_numpy() for name in [*schema.numeric, *schema.categorical]}
    return columns, table.column(schema.target).to_numpy()
