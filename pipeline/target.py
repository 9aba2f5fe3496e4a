"""The target column: the classes' labels, or the numbers to predict.

Shapes: N rows.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from isoform import tables
from isoform.errors import BadInput
from isoform.rows import MISSING_NUMBERS, texts
from pipeline.params import Data

INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")
"""The one way to write an integer in a CSV; a label written otherwise is text."""
BOOLEANS = (("false", "true"), ("False", "True"), ("FALSE", "TRUE"))
FEW_CLASSES = 20
"""More distinct numbers than these are more likely a quantity."""
MOST_CLASSES = 1000
REGRESSION = "set data.task: regression if it is a number to predict"


def values(cells: Any, data: Data) -> np.ndarray:
    """Return the target [N]: labels as bool, int64 or object (`str`), or the float64 numbers to predict.

    `cells` are as `isoform.tables` reads them. Raises `BadInput` naming rows or labels that a model cannot be fitted to.
    """
    if data.task == "regression":
        return _numbers(cells, data)
    cells = cells.tolist() if hasattr(cells, "tolist") else cells
    return _labels(typed(cells) if data.source.endswith(".csv") else cells, data)


def typed(cells: Sequence[str]) -> list[Any]:
    """Return a CSV's cells as what all of them are: booleans of one spelling, integers, numbers, or text; None is missing."""
    distinct = set(cells).difference(MISSING_NUMBERS)
    meaning: dict[str, Any]
    if spelling := next((words for words in BOOLEANS if distinct <= set(words)), None):
        meaning = {spelling[0]: False, spelling[1]: True}
    elif all(map(INTEGER.fullmatch, distinct)):
        meaning = {cell: int(cell) for cell in distinct}
    elif _are_fractions(distinct):
        meaning = {cell: tables.number(cell) for cell in distinct}
    else:
        # In a text column only "" is missing: NA may be a country.
        meaning = {cell: cell for cell in {*cells} - {""}}
    return [meaning.get(cell) for cell in cells]


def _are_fractions(cells: set[str]) -> bool:
    """Tell whether all cells are numbers, and not all of them whole: 1.0 may be a version's label."""
    try:
        return any(math.isfinite(value) and value != round(value) for value in list(map(tables.number, cells)))
    except ValueError:
        return False


def _labels(cells: Sequence[Any], data: Data) -> np.ndarray:
    refuse_missing([row for row, cell in enumerate(cells) if is_missing(cell)], data)
    kinds = set(map(type, cells))
    labels: np.ndarray
    if kinds == {bool}:
        labels = np.array(cells)
    elif kinds <= {int, float, Decimal}:
        labels = _whole(cells, data)
    else:
        refuse_other_labels(kinds, data)
        labels = texts(cells, data.target)
    rows = Counter(labels.tolist())
    refuse_one_class(rows, data)
    refuse_many_classes(rows, data)
    refuse_single_row(rows, data)
    return labels


def is_missing(cell: Any) -> bool:
    """Tell whether a cell, as `isoform.tables` or `typed` gives it, is missing."""
    return cell is None or (isinstance(cell, str) and not cell) or (isinstance(cell, float) and math.isnan(cell))


# Each guard is a function of its own: tests/faults takes them out one at a time and watches its test turn red.


def refuse_missing(rows: Sequence[int], data: Data) -> None:
    """Raise `BadInput` when the target is missing in any of `rows`."""
    if len(rows):
        listed = ", ".join(map(str, rows[:3])) + (", …" if len(rows) > 3 else "")
        reason = f"has no '{data.target}' in {len(rows)} rows (counted from 0: {listed})"
        raise BadInput(data.source, reason, "drop those rows, or fill them in")


def refuse_other_labels(kinds: set[type], data: Data) -> None:
    """Raise `BadInput` for labels of another type than text, or of several types."""
    if kinds != {str}:
        kind = next(kind for kind in kinds if kind is not str)
        raise BadInput(data.source, f"'{data.target}' holds a {kind.__name__}", "give classes as text, integers or booleans")


def refuse_fractions(cells: Sequence[Any], data: Data) -> None:
    """Raise `BadInput` for classes that are no integers."""
    fraction = next((cell for cell in cells if not math.isfinite(cell) or cell != round(cell)), None)
    if fraction is not None:
        action = f"{REGRESSION}; give classes as integers or text"
        raise BadInput(data.source, f"'{data.target}' holds fractions, such as {fraction}", action)


def refuse_large_integers(cells: Sequence[Any], data: Data) -> None:
    """Raise `BadInput` for classes that int64 does not hold."""
    if not all(-(2**63) <= cell < 2**63 if type(cell) is int else abs(cell) < 2**53 for cell in cells):
        raise BadInput(data.source, f"'{data.target}' holds integers beyond 64 bits", "give classes as smaller integers or text")


def refuse_one_class(rows: Counter[Any], data: Data) -> None:
    """Raise `BadInput` when there is nothing to tell apart; `rows` counts each class's."""
    if len(rows) < 2:
        raise BadInput(data.source, f"'{data.target}' has fewer than two classes", "give rows of two classes or more")


def refuse_many_classes(rows: Counter[Any], data: Data) -> None:
    """Raise `BadInput` when there are too many classes to learn."""
    if len(rows) > MOST_CLASSES or len(rows) == rows.total():
        action = f"{REGRESSION}; else merge classes, or choose another target"
        raise BadInput(data.source, f"'{data.target}' has {len(rows)} classes in {rows.total()} rows", action)


def refuse_single_row(rows: Counter[Any], data: Data) -> None:
    """Raise `BadInput` when a class cannot be both trained on and held out."""
    single = [label for label, count in sorted(rows.items()) if count == 1]
    if single:
        others = f", and {len(single) - 1} more classes" if len(single) > 1 else ""
        reason = f"'{data.target}' has one row of the class {single[0]!r}{others}"
        action = "give two or more of each: one to train on, one to hold out; or drop it"
        raise BadInput(data.source, reason, f"{action}; or {REGRESSION}" if len(rows) > FEW_CLASSES else action)


def refuse_no_quantity(array: np.ndarray, data: Data) -> None:
    """Raise `BadInput` for a target [N] that is to be a number and is none."""
    if array.dtype.kind not in "fiub":
        raise BadInput(data.source, f"'{data.target}' is no column of numbers", "choose another target, or task: classification")


def refuse_infinite(numbers: np.ndarray, predictable: np.ndarray, data: Data) -> None:
    """Raise `BadInput` for targets [N] that float32 does not hold."""
    if not np.isfinite(predictable).all():
        row = int(np.argmin(np.isfinite(predictable)))
        reason = f"row {row}: '{data.target}' is {numbers[row]}, infinite or beyond float32"
        raise BadInput(data.source, reason, "drop that row, or scale the target")


def refuse_constant(predictable: np.ndarray, data: Data) -> None:
    """Raise `BadInput` for targets [N] that are all the same."""
    if len(np.unique(predictable)) < 2:
        reason = f"'{data.target}' has fewer than two distinct values, rounded to float32"
        raise BadInput(data.source, reason, "give a target that varies")


def _whole(cells: Sequence[Any], data: Data) -> np.ndarray:
    """Return numbers that are integers, as a column with gaps once was, as int64 [N]."""
    refuse_fractions(cells, data)
    refuse_large_integers(cells, data)
    return np.array(list(map(int, cells)), dtype=np.int64)


def _numbers(cells: Any, data: Data) -> np.ndarray:
    array = np.asarray(cells)
    refuse_no_quantity(array, data)
    numbers = array.astype(np.float64)
    refuse_missing(np.flatnonzero(np.isnan(numbers)).tolist(), data)
    with np.errstate(over="ignore"):
        predictable = numbers.astype(np.float32)
    refuse_infinite(numbers, predictable, data)
    refuse_constant(predictable, data)
    return numbers
