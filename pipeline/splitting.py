"""Which rows are taken, and which of them are held out: seeded, the same on every machine.

Each row draws a number, in the order of the table; the smallest draws are chosen. So a choice depends on the seed and
the rows alone. Shapes: N rows, K classes; a table for regression has one class.
"""

import numpy as np

from isoform.errors import BadInput


def sample(classes: np.ndarray, rows: int, seed: int) -> np.ndarray:
    """Return the sorted positions of `rows` random rows, two of each class among them; `classes` is int64 [N], 0 to K-1.

    Raises `BadInput` when `rows` is too few for that.
    """
    needed = int(np.minimum(np.bincount(classes), 2).sum())
    if rows < needed:
        reason = f"data.rows is {rows}, two rows of each class are {needed}"
        raise BadInput("params.yaml", reason, "raise it, or give 0 for all")
    draws = np.random.default_rng([seed, 0]).random(len(classes))
    order = np.lexsort((draws, _rank(classes, draws) >= 2))
    return np.sort(order[:rows])


def split(classes: np.ndarray, test_share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the sorted positions of the training and of the held-out rows; `classes` is int64 [N], 0 to K-1, each twice or more.

    Of each class `test_share` is held out, within one row, but at least one row and never all.
    """
    counts = held_out(np.bincount(classes), test_share)
    draws = np.random.default_rng([seed, 1]).random(len(classes))
    test = _rank(classes, draws) < counts[classes]
    return np.flatnonzero(~test), np.flatnonzero(test)


def held_out(sizes: np.ndarray, test_share: float) -> np.ndarray:
    """Return how many rows of each class are held out, [K], by largest remainders.

    Each class gives the whole part of its share; what lacks of `test_share` in all comes from the classes with the
    largest fractions left, the first of equal ones (the method of Hamilton, as for seats in parliaments). Where classes
    are so small that one row is more than their share, more is held out in all.
    """
    shares = test_share * sizes
    counts: np.ndarray = np.clip(np.floor(shares).astype(np.int64), 1, sizes - 1)
    lacking = max(round(test_share * int(sizes.sum())) - int(counts.sum()), 0)
    behind = np.argsort(counts - shares, kind="stable")
    counts[behind[counts[behind] < sizes[behind] - 1][:lacking]] += 1
    return counts


def _rank(classes: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Return each row's place among the draws of its class, from 0, [N]."""
    order = np.lexsort((draws, classes))
    sizes = np.bincount(classes)
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(classes)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return ranks
