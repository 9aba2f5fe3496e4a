"""The row policy: what a raw row is, the same for every format.

- A numeric cell is a number; NaN, ±inf, None and values beyond float32's range are *missing* (NaN).
- A text cell is a string; None and NaN are *missing* (""). A value unseen in training is "unknown".
- Only wrong columns or types are refused: a missing column, text in a numeric column, a number in a text
  column, text that is no valid Unicode or holds NUL (JavaScript runtimes cut it there).

The same policy stands inside every model.onnx; the Python formats get rows through `canonical`.
Shapes: N rows, F columns.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from isoform.errors import BadInput

Columns = dict[str, np.ndarray]
"""Column name → [N]; float32 for numeric columns, object (each cell a `str`) for text columns."""

MISSING_NUMBERS = ("", "NA", "NaN", "nan", "null")
"""Spellings of a missing number in a text file."""

Rows = Mapping[str, Any] | Sequence[Mapping[str, Any]] | Any
"""A dict of columns, a list of dicts, or a DataFrame."""


def canonical(rows: Rows, numeric: Sequence[str], categorical: Sequence[str]) -> Columns:
    """Return `rows` as one array per column, in the order numeric, categorical.

    Extra columns are ignored. Raises `BadInput` naming the column and the row at fault.
    """
    cells = _by_column(rows, [*numeric, *categorical])
    columns = {name: numbers(cells[name], name) for name in numeric}
    columns |= {name: texts(cells[name], name) for name in categorical}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        shortest, longest = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
        raise BadInput(
            f"column '{shortest}'",
            f"has {lengths[shortest]} rows, column '{longest}' has {lengths[longest]}",
            "give every column the same number of rows",
        )
    return columns


def take(columns: Columns, index: slice | np.ndarray) -> Columns:
    """Return the rows at `index` of every column."""
    return {name: column[index] for name, column in columns.items()}


def count(columns: Columns) -> int:
    """Return N."""
    return len(next(iter(columns.values())))


def numbers(cells: Any, name: str) -> np.ndarray:
    """Return `cells` as float32 [N] with NaN for what is missing; `name` is the column, for errors."""
    if isinstance(cells, np.ma.MaskedArray):
        cells = np.ma.filled(cells.astype(np.float64), np.nan)
    array = np.asarray(cells) if hasattr(cells, "dtype") else _object_array(cells)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise BadInput(f"column '{name}'", f"has shape {list(array.shape)}", "give one value per row")
    if array.dtype.kind not in "fiub":
        if array.dtype.kind != "O":
            raise BadInput(f"column '{name}'", f"holds {array.dtype}", "give numbers")
        array = np.array([_number(cell, name, row) for row, cell in enumerate(array)], dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        values = array.astype(np.float32)
    values[~np.isfinite(values)] = np.nan
    return values


def texts(cells: Any, name: str) -> np.ndarray:
    """Return `cells` as object [N], each a `str`, "" for what is missing; `name` is the column, for errors."""
    if isinstance(cells, np.ma.MaskedArray):
        cells = np.ma.filled(cells.astype(object), None)
    array = np.asarray(cells, dtype=object) if hasattr(cells, "dtype") else _object_array(cells)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise BadInput(f"column '{name}'", f"has shape {list(array.shape)}", "give one value per row")
    values = np.empty(len(array), dtype=object)
    values[:] = [_text(cell, name, row) for row, cell in enumerate(array)]
    joined = "".join(values)
    if "\0" in joined or not _is_unicode(joined):
        row = next(row for row, value in enumerate(values) if "\0" in value or not _is_unicode(value))
        raise BadInput(f"column '{name}', row {row}", "holds NUL or a lone surrogate", "clean the text")
    return values


def _by_column(rows: Rows, names: Sequence[str]) -> dict[str, Any]:
    if isinstance(rows, Mapping):
        have: Any = rows
    elif hasattr(rows, "columns") and hasattr(rows, "__getitem__"):
        have = {str(name): rows[name].to_numpy() for name in rows.columns if str(name) in set(names)}
    elif isinstance(rows, Sequence) and not isinstance(rows, str | bytes):
        return {name: [_cell(row, name, i) for i, row in enumerate(rows)] for name in names}
    else:
        raise BadInput("rows", f"are a {type(rows).__name__}", "give a dict of columns, a list of dicts or a DataFrame")
    for name in names:
        if name not in have:
            raise BadInput(f"column '{name}'", "is missing", f"give all of: {', '.join(names)}")
    return {name: have[name] for name in names}


def _cell(row: Any, name: str, position: int) -> Any:
    if not isinstance(row, Mapping):
        raise BadInput(f"row {position}", f"is a {type(row).__name__}", "give each row as a dict")
    if name not in row:
        raise BadInput(f"row {position}", f"lacks column '{name}'", "give it, as null when it is unknown")
    return row[name]


def _object_array(cells: Any) -> np.ndarray:
    if isinstance(cells, str | bytes) or not hasattr(cells, "__len__"):
        cells = [cells]
    array = np.empty(len(cells), dtype=object)
    array[:] = list(cells)
    return array


def _is_missing(cell: Any) -> bool:
    # pandas.NA refuses to be compared; its type is recognised by name because pandas is not imported here.
    return (
        cell is None
        or type(cell).__name__ in ("NAType", "NaTType")
        or (isinstance(cell, float | np.floating) and math.isnan(cell))
    )


def _number(cell: Any, name: str, row: int) -> float:
    if _is_missing(cell):
        return np.nan
    if not isinstance(cell, int | float | np.number | np.bool_) or isinstance(cell, np.complexfloating):
        raise BadInput(f"column '{name}', row {row}", f"holds a {type(cell).__name__}", "give a number or null")
    try:
        return float(cell)
    except OverflowError:
        return np.nan


def _text(cell: Any, name: str, row: int) -> str:
    if type(cell) is str:
        return cell
    if _is_missing(cell):
        return ""
    if isinstance(cell, np.str_):
        return str(cell)
    # Not str(cell): a number would silently become a category, and an object's own __str__ is code.
    raise BadInput(f"column '{name}', row {row}", f"holds a {type(cell).__name__}", "give text or null")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
