"""The row policy: what a raw row is, the same for every format.

- A numeric cell is a number; NaN, ±inf, None and values beyond float32's range are *missing* (NaN). It is rounded to
  float64, then to float32.
- A text cell is a string; None and NaN are *missing* (""). A value unseen in training is "unknown". Of an instance of a
  subclass of `str` the characters count; its code is not asked.
- Only wrong columns or types are refused: a column that is missing or stands twice, text or dates in a numeric column, a
  number in a text column, text that is no valid Unicode or holds NUL (JavaScript runtimes cut it there).

The same policy stands inside every model.onnx; the Python formats get rows through `canonical`.
Shapes: N rows, F numeric columns, C text columns.
"""

import contextlib
import datetime
import math
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from isoform import warning_filters
from isoform.errors import BadInput

Columns = dict[str, np.ndarray]
"""Column name → [N]; float32 for numeric columns, object (each cell a `str`) for text columns."""

MISSING_NUMBERS = ("", "NA", "NaN", "nan", "null")
"""Spellings of a missing number in a text file."""

FROM_DATE = "turn the column into numbers first, for example year, month, weekday"

Rows = Mapping[str, Any] | Sequence[Mapping[str, Any]] | Any
"""A dict of columns, a list of dicts, a DataFrame (pandas, polars) or an Arrow table."""

Cells = list[Any] | np.ndarray
"""A column whose cells are unchecked: N of them, or [N]."""

PLAIN_NUMBERS = frozenset({float, int, bool, type(None), np.float64, np.float32, np.int64})
"""Types of cells that NumPy turns into float64 as the policy says."""


def canonical(rows: Rows, numeric: Sequence[str], categorical: Sequence[str]) -> Columns:
    """Return `rows` as one array per column, in the order numeric, categorical; none shares memory with `rows`.

    Extra columns are ignored. Raises `BadInput` naming the column and the row at fault.
    """
    floats, cells = read(rows, numeric, categorical)
    return dict(zip([*numeric, *categorical], [*_to_float32(floats), *to_text(cells, categorical)], strict=True))


def read(rows: Rows, numeric: Sequence[str], categorical: Sequence[str]) -> tuple[list[np.ndarray], list[Cells]]:
    """Return the columns of `rows`, all of one length: numbers as floats [N], text as it came, its cells unchecked.

    A float column may be the caller's own array and may hold ±inf. Raises `BadInput` as `canonical` does.
    """
    names = [*numeric, *categorical]
    have = _by_column(rows, names)
    floats = [_floats(have[name], name) for name in numeric]
    cells = [_cells(have[name], name) for name in categorical]
    refuse_uneven([*map(len, floats), *map(len, cells)], names)
    return floats, cells


def take(columns: Columns, index: slice | np.ndarray) -> Columns:
    """Return the rows at `index` of every column."""
    return {name: column[index] for name, column in columns.items()}


def count(columns: Columns) -> int:
    """Return N."""
    return len(next(iter(columns.values())))


def numbers(cells: Any, name: str) -> np.ndarray:
    """Return `cells` as float32 [N] with NaN for what is missing; `name` is the column, for errors."""
    return _to_float32([_floats(cells, name)])[0]


def texts(cells: Any, name: str) -> np.ndarray:
    """Return `cells` as object [N], each a `str`, "" for what is missing; `name` is the column, for errors."""
    return to_text([_cells(cells, name)], [name])[0]


# Each guard is a function of its own: tests/faults takes them out one at a time and watches its test turn red.


def refuse_missing_column(have: Mapping[str, Any], names: Sequence[str]) -> None:
    """Raise `BadInput` when any of the columns `names` is not there."""
    for name in names:
        if name not in have:
            raise BadInput(f"column '{name}'", "is missing", f"give all of: {', '.join(names)}")


def refuse_incomplete_row(row: Mapping[str, Any], name: str, position: int) -> None:
    """Raise `BadInput` when a row has no cell for the column `name`."""
    if name not in row:
        raise BadInput(f"row {position}", f"lacks column '{name}'", "give it, as null when it is unknown")


def refuse_uneven(lengths: Sequence[int], names: Sequence[str]) -> None:
    """Raise `BadInput` when the columns `names` are not of one length."""
    if len(set(lengths)) > 1:
        (least, short), (most, long) = min(zip(lengths, names, strict=True)), max(zip(lengths, names, strict=True))
        raise BadInput(
            f"column '{short}'", f"has {least} rows, column '{long}' has {most}", "give every column the same number of rows"
        )


def refuse_no_number(where: str, kind: type, reason: str, action: str) -> None:
    """Raise `BadInput` for a cell or a column whose type, `kind`, is no number's."""
    if issubclass(kind, np.datetime64 | datetime.date | datetime.time):
        reason, action = "holds dates", "give numbers, for example year, month, weekday"
    elif issubclass(kind, np.timedelta64 | datetime.timedelta):
        reason, action = "holds durations", "give numbers, for example hours"
    raise BadInput(where, reason, action)


def refuse_no_text(cell: Any, name: str, row: int) -> None:
    """Raise `BadInput` for a cell that is no text: a number would silently be a category, and an object's `__str__` is code."""
    raise BadInput(f"column '{name}', row {row}", f"holds a {type(cell).__name__}", "give text or null")


def refuse_unclean(cells: Cells, name: str) -> None:
    """Raise `BadInput` for text that other runtimes cut, or that no file can hold."""
    for row, cell in enumerate(cells):
        if not _is_clean(cell):
            raise BadInput(f"column '{name}', row {row}", "holds NUL or a lone surrogate", "clean the text")


def _by_column(rows: Rows, names: Sequence[str]) -> Mapping[str, Any]:
    if isinstance(rows, Mapping):
        have = rows
    elif hasattr(type(rows), "columns"):
        from isoform import frames  # here: arrays and dicts do without

        with warning_filters.ALONE:
            have = frames.columns(rows, names)
    elif isinstance(rows, Sequence) and not isinstance(rows, str | bytes):
        if all(type(row) is dict for row in rows):
            with contextlib.suppress(KeyError):
                return {name: [row[name] for row in rows] for name in names}
        return {name: [_cell(row, name, i) for i, row in enumerate(rows)] for name in names}
    else:
        raise BadInput(
            "rows", f"are a {type(rows).__name__}", "give a dict of columns, a list of dicts, a DataFrame or an Arrow table"
        )
    refuse_missing_column(have, names)
    return have


def _cell(row: Any, name: str, position: int) -> Any:
    if not isinstance(row, Mapping):
        raise BadInput(f"row {position}", f"is a {type(row).__name__}", "give each row as a dict")
    refuse_incomplete_row(row, name, position)
    return row[name]


def _array(cells: Any, name: str) -> np.ndarray:
    """Return a column that is no list as an array of one dimension, of objects where it had no type."""
    if type(cells) is not np.ndarray:
        cells = _to_array(cells, name)
    array: np.ndarray = cells[:, 0] if cells.ndim == 2 and cells.shape[1] == 1 else cells
    if array.ndim != 1:
        raise BadInput(f"column '{name}'", f"has shape {list(array.shape)}", "give one value per row")
    return array


def _to_array(cells: Any, name: str) -> np.ndarray:
    if hasattr(type(cells), "filled"):  # a masked array; to name np.ma would be to import it
        if cells.dtype.kind not in "fiubOUS":
            return np.asarray(cells.data)
        plain = cells.data.astype(np.float64 if cells.dtype.kind in "fiub" else object)
        plain[cells.mask] = None  # of float64, NaN
        return np.asarray(plain)
    if hasattr(type(cells), "to_numpy"):
        from isoform import frames

        with warning_filters.ALONE:
            return frames.to_array(cells, name)
    if hasattr(cells, "dtype"):
        return np.asarray(cells)
    if isinstance(cells, str | bytes) or not hasattr(cells, "__len__"):
        cells = [cells]
    array = np.empty(len(cells), dtype=object)
    array[:] = list(cells)
    return array


def _floats(cells: Any, name: str) -> np.ndarray:
    """Return a numeric column as numbers [N] that are rounded to float32 in one step, NaN for what is missing."""
    if type(cells) is np.ndarray and cells.dtype.char in "fd" and cells.ndim == 1:
        return cells
    if type(cells) is not list:
        array = _array(cells, name)
        if array.dtype.kind in "fiub":
            with np.errstate(over="ignore"):
                return array.astype(np.float64)
        if array.dtype.kind != "O":
            refuse_no_number(f"column '{name}'", array.dtype.type, f"holds {array.dtype}", "give numbers")
        cells = array.tolist()
    if PLAIN_NUMBERS.issuperset(map(type, cells)):
        try:
            return np.array(cells, dtype=np.float64)
        except OverflowError:
            pass  # an integer beyond float64
    return np.array([_number(cell, name, row) for row, cell in enumerate(cells)], dtype=np.float64)


def _number(cell: Any, name: str, row: int) -> float:
    if _is_missing(cell):
        return np.nan
    if not isinstance(cell, int | float | np.number | np.bool_) or isinstance(cell, np.complexfloating | np.timedelta64):
        refuse_no_number(f"column '{name}', row {row}", type(cell), f"holds a {type(cell).__name__}", "give a number or null")
    try:
        return float(cell)
    except OverflowError:
        return np.nan


def _to_float32(columns: list[np.ndarray]) -> Sequence[np.ndarray]:
    """Return columns of floats as float32 [N], NaN for what is beyond its range."""
    if not columns:
        return []
    # All columns at once: a call of NumPy takes longer than its work on a few rows.
    with np.errstate(over="ignore", invalid="ignore"):
        block = np.concatenate(columns, dtype=np.float32, casting="unsafe")
    infinite = np.isinf(block)
    if infinite.any():
        block[infinite] = np.nan
    return list(block.reshape(len(columns), -1))


def _cells(cells: Any, name: str) -> Cells:
    return cells if type(cells) is list else _array(cells, name)


def to_list(cells: Cells) -> list[Any]:
    """Return the cells of a column as Python's objects."""
    return cells if isinstance(cells, list) else cells.tolist()


def to_text(columns: Sequence[Cells], names: Sequence[str]) -> Sequence[np.ndarray]:
    """Return text columns as object [N], each cell a `str`, "" for what is missing; `names` is for errors."""
    flat = list(chain.from_iterable(map(to_list, columns)))
    if list(map(type, flat)).count(str) != len(flat):
        given = zip(names, map(to_list, columns), strict=True)
        clean = [[cell if type(cell) is str else _text(cell, name, i) for i, cell in enumerate(column)] for name, column in given]
        return to_text(clean, names)
    if not _is_clean("".join(flat)):
        for name, column in zip(names, columns, strict=True):
            refuse_unclean(column, name)
    block = np.empty(len(flat), dtype=object)
    block[:] = flat
    return list(block.reshape(len(columns), -1)) if columns else []


def _text(cell: Any, name: str, row: int) -> str:
    if issubclass(type(cell), str):
        return str.__str__(cell)
    if _is_missing(cell):
        return ""
    refuse_no_text(cell, name, row)
    return ""


def _is_missing(cell: Any) -> bool:
    # pandas.NA refuses to be compared; its type is recognised by name because pandas is not imported here.
    return (
        cell is None
        or type(cell).__name__ in ("NAType", "NaTType")
        or (isinstance(cell, float | np.floating) and math.isnan(cell))
    )


def _is_clean(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text
