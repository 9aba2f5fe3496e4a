"""From a raw table to the prepared split, and back from its files; every statistic comes from training rows.

Shapes: N rows.
"""

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from isoform.errors import BadInput, first_line
from isoform.integrity import open_verified, read_bytes
from isoform.metadata import Label, Task, parse
from isoform.rows import MISSING_NUMBERS, Columns, numbers, texts
from pipeline import layout
from pipeline.params import Data

INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")
"""The one way to write an integer; a label written otherwise is text."""


@dataclass(frozen=True, kw_only=True)
class Schema:
    """data/prepared/schema.json: what the other stages must know of the tables, and their hashes."""

    source: str
    task: Task
    target: str
    target_scale: float
    """The unit in which answers are compared: 1 for probabilities; for predictions the standard deviation of the
    training target, 1 where that is 0."""
    numeric: list[str]
    categorical: list[str]
    categories: dict[str, list[str]]
    """Values of each text column in the training rows, sorted by code point."""
    classes: list[Label]
    train_rows: int
    test_rows: int
    train_sha256: str
    test_sha256: str


def read_source(data: Data) -> Any:
    """Return the raw table that `data.source` names, as a pandas DataFrame in file order.

    A folder is the shipped flights; a file is CSV or Parquet. Raises `BadInput`.
    """
    source = Path(data.source)
    if source.is_dir():
        from pipeline.sources import flights

        return flights.join(source)
    try:
        return _read_file(source, data)
    except (ValueError, OSError, pa.ArrowException) as error:  # pandas' parsing errors are ValueErrors
        raise BadInput(source, f"cannot be read ({first_line(error)})", "give well-formed CSV or Parquet") from None


def _read_file(source: Path, data: Data) -> Any:
    import pandas as pd

    if source.suffix == ".parquet":
        return pq.read_table(io.BytesIO(read_bytes(source))).to_pandas(ignore_metadata=True)
    if source.suffix != ".csv":
        raise BadInput("params.yaml", f"data.source is '{source}'", "name the flights' folder, a .csv or a .parquet")
    # "NA" is a missing number but, in a text column, a text: the airport of Namibia's capital, say.
    return pd.read_csv(
        io.BytesIO(read_bytes(source)),
        dtype=dict.fromkeys([*data.categorical, data.target], str),
        na_values={name: list(MISSING_NUMBERS) for name in data.numeric} | {data.target: [""]},
        keep_default_na=False,
        low_memory=False,
    )


def split(table: Any, data: Data, seed: int) -> tuple[tuple[Columns, np.ndarray], tuple[Columns, np.ndarray]]:
    """Return training and test rows as (columns, labels [N]): a seeded random split, stratified by label.

    Each part keeps the order of the table. Raises `BadInput` when a column is missing or of the wrong type,
    when labels are missing, and when there are fewer than two classes or too few rows of one.
    """
    from sklearn.model_selection import train_test_split

    for name in [data.target, *data.numeric, *data.categorical]:
        if name not in table.columns:
            raise BadInput(data.source, f"has no column '{name}'", f"it has: {', '.join(map(str, table.columns))[:300]}")
    if data.rows and data.rows < len(table):
        table = table.sample(n=data.rows, random_state=seed).sort_index()
    labels = _labels(table[data.target], data) if data.task == "classification" else table[data.target].to_numpy(np.float64)
    columns = {name: numbers(table[name].to_numpy(), name) for name in data.numeric}
    columns |= {name: texts(table[name].to_numpy(), name) for name in data.categorical}
    try:
        parts = train_test_split(
            np.arange(len(labels)),
            test_size=data.test_share,
            random_state=seed,
            stratify=labels if data.task == "classification" else None,
        )
    except ValueError as error:
        raise BadInput(data.source, f"cannot be split ({error})", "give more rows of each class") from None
    train, test = (np.sort(part) for part in parts)
    for part, title in () if data.task == "regression" else ((train, "training"), (test, "held-out")):
        absent = sorted(set(labels.tolist()) - set(labels[part].tolist()))
        if absent:
            raise BadInput(data.source, f"class {absent[0]!r} has too few rows for the {title} part", "give it more, or drop it")
    return (
        ({name: column[train] for name, column in columns.items()}, labels[train]),
        ({name: column[test] for name, column in columns.items()}, labels[test]),
    )


def _labels(column: Any, data: Data) -> np.ndarray:
    """Return the target as int64 or object (`str`) [N]."""
    missing = np.flatnonzero(column.isna())
    if len(missing):
        raise BadInput(
            data.source, f"has no '{data.target}' in {len(missing)} rows, the first is {missing[0]}", "drop those rows"
        )
    values = column.to_numpy()
    if values.dtype.kind not in "iubf" and all(INTEGER.fullmatch(str(value)) for value in values):
        values = values.astype(np.int64)  # a CSV holds only text; "01" stays one
    labels: np.ndarray
    if values.dtype.kind == "u" and values.max(initial=0) > np.iinfo(np.int64).max:
        raise BadInput(data.source, f"'{data.target}' holds integers beyond 64 bits", "give classes as smaller integers or text")
    if values.dtype.kind in "iub" or (
        values.dtype.kind == "f" and (np.abs(values) < 2**53).all() and (values == values.round()).all()
    ):
        labels = values.astype(np.int64)
    elif values.dtype.kind == "f":
        raise BadInput(data.source, f"'{data.target}' holds fractions", "give classes as integers or text")
    else:
        labels = texts(values, data.target)
    if len(set(labels.tolist())) < 2:
        raise BadInput(data.source, f"'{data.target}' has fewer than two classes", "give rows of two classes or more")
    return labels


def to_parquet(columns: Columns, labels: np.ndarray, target: str) -> bytes:
    """Return the rows as a Parquet file; the same rows give the same bytes."""
    table = pa.table({name: pa.array(column) for name, column in columns.items()} | {target: pa.array(labels)})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def read_schema() -> Schema:
    """Return data/prepared/schema.json."""
    return parse(Schema, read_bytes(layout.SCHEMA), layout.SCHEMA)


def read_train(schema: Schema) -> tuple[Columns, np.ndarray]:
    """Return the training rows and their labels [N]."""
    return _read(layout.TRAIN, schema.train_sha256, schema)


def read_test(schema: Schema) -> tuple[Columns, np.ndarray]:
    """Return the held-out rows and their labels [N]."""
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
