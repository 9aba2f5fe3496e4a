"""Where the reference's answer jumps: the rows on which a threshold that is off by one float32 shows.

Between two held-out values of a column, all else equal, bisection keeps the half with the larger change until two
neighbouring float32 are left. In a tree they lie on either side of a threshold, in raw values, whatever preprocessing
stands before it; a smooth model just gets rows more.
Shapes: M bisections at once.
"""

from collections.abc import Callable, Sequence

import numpy as np

from isoform.rows import Columns, take
from pipeline.hostile import Case

PAIRS = 32
"""Most bisections per column."""
LIMIT = 1_024
"""Most bisections of a table: a wide one gets fewer per column."""
CANDIDATES = 4
"""Pairs drawn for each that is kept: many differ in a value that changes no answer."""


def cases(answer: Callable[[Columns], np.ndarray], columns: Columns, numeric: Sequence[str], seed: int) -> list[Case]:
    """Return held-out rows with one number moved to the two float32 between which `answer` jumps, and one beyond each."""
    rows, column, lower = find(answer, columns, numeric, seed)
    return [
        (int(row), {numeric[i]: float(value)})
        for offset in (-1, 0, 1, 2)
        for row, i, value in zip(rows, column, from_order(lower + offset), strict=True)
    ]


def find(
    answer: Callable[[Columns], np.ndarray], columns: Columns, numeric: Sequence[str], seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return held-out rows, int64 [M], positions in `numeric` and the float32 below each jump, in order, int64 [M]."""
    rows, column, low, high = _pairs(columns, numeric, seed)
    if not len(rows):
        return rows, column, low

    def ask(at: np.ndarray) -> np.ndarray:
        asked = take(columns, rows)
        for i, name in enumerate(numeric):
            asked[name][column == i] = from_order(at[column == i])
        return answer(asked)

    at_low, at_high = ask(low), ask(high)
    kept = _first_of_each(column, _change(at_low, at_high) > 0, max(1, min(PAIRS, LIMIT // len(numeric))))
    rows, column, low, high, at_low, at_high = (part[kept] for part in (rows, column, low, high, at_low, at_high))
    while (high - low > 1).any():
        middle = (low + high) // 2
        at_middle = ask(middle)
        up = _change(at_middle, at_high) > _change(at_low, at_middle)
        low, high = np.where(up, middle, low), np.where(up, high, middle)
        at_low, at_high = np.where(up[:, None], at_middle, at_low), np.where(up[:, None], at_high, at_middle)
    return rows, column, low


def to_order(values: np.ndarray) -> np.ndarray:
    """Return float32 as int64 in the same order, neighbours one apart; -0 and 0 are both 0."""
    bits = values.astype(np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, np.iinfo(np.int32).min - bits, bits)


def from_order(order: np.ndarray) -> np.ndarray:
    """Return the float32 at each position of `to_order`."""
    return np.where(order < 0, np.iinfo(np.int32).min - order, order).astype(np.int32).view(np.float32)


def _pairs(columns: Columns, numeric: Sequence[str], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Draw rows, and for each another value of one column: rows, columns and both values in order, the lower first."""
    rng = np.random.default_rng(seed)
    wanted = CANDIDATES * max(1, min(PAIRS, LIMIT // max(len(numeric), 1)))
    drawn = [np.empty((4, 0), dtype=np.int64)]
    for i, name in enumerate(numeric):
        present = np.flatnonzero(np.isfinite(columns[name]))
        values = np.unique(columns[name][present])
        if len(values) < 2:
            continue
        rows = rng.choice(present, wanted)
        ends = np.sort(to_order(np.stack([columns[name][rows], rng.choice(values, wanted)])), axis=0)
        drawn.append(np.stack([rows, np.full(wanted, i), *ends]))
    rows, column, low, high = np.concatenate(drawn, axis=1)
    return rows, column, low, high


def _first_of_each(column: np.ndarray, changes: np.ndarray, limit: int) -> np.ndarray:
    """Return the positions of the first `limit` pairs of each column whose answer `changes`."""
    return np.concatenate([np.flatnonzero((column == i) & changes)[:limit] for i in np.unique(column)])


def _change(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    changed: np.ndarray = np.abs(one.astype(np.float64) - other).max(axis=1)
    return changed
