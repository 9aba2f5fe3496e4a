"""Metrics with intervals, and the tables behind the plots: what is the same for every task.

Shapes: N rows, K columns of an answer, B bootstrap resamples. `targets` is int64 [N], positions in the classes, or
float64 [N]; `answers` is float32 [N, K], probabilities or predictions.
"""

from collections.abc import Callable, Iterator

import numpy as np

from isoform.errors import CheckFailed
from isoform.metadata import Estimate, Task
from pipeline import classification, regression
from pipeline.plots import HEADERS

SCORES: dict[Task, Callable[[np.ndarray, np.ndarray, np.ndarray], dict[str, np.ndarray]]] = {
    "classification": classification.scores,
    "regression": regression.scores,
}
CURVES: dict[Task, Callable[[np.ndarray, np.ndarray, list[str]], dict[str, str]]] = {
    "classification": classification.curves,
    "regression": regression.curves,
}
_CHUNK = 25


def evaluate(task: Task, targets: np.ndarray, answers: np.ndarray, *, resamples: int, seed: int) -> dict[str, Estimate]:
    """Return each metric of the task with its 95 % interval.

    The intervals are percentile bootstrap intervals over rows (Efron and Tibshirani, An Introduction to the
    Bootstrap, 1993, chapter 13). Values are rounded to six digits. Raises `CheckFailed` for a metric that the
    held-out rows do not define.
    """
    scores = SCORES[task]
    once = scores(targets, answers, np.ones((1, len(targets))))
    rng = np.random.default_rng(seed)
    chunks = [scores(targets, answers, weights) for weights in _resample(len(targets), resamples, rng)]
    estimates = {}
    for name, value in once.items():
        drawn = np.concatenate([chunk[name] for chunk in chunks])
        if not np.isfinite(value[0]) or np.isnan(drawn).all():
            raise CheckFailed(f"metric '{name}'", f"is not defined by the {len(targets)} held-out rows", "hold out more rows")
        low, high = np.nanpercentile(drawn, [2.5, 97.5])
        estimates[name] = Estimate(value=_rounded(value[0]), low=_rounded(low), high=_rounded(high))
    return estimates


def tables(task: Task, targets: np.ndarray, answers: np.ndarray, class_names: list[str]) -> dict[str, str]:
    """Return a CSV text for each name in `HEADERS`; a table that the task does not have is its header."""
    return {name: f"{header}\n" for name, header in HEADERS.items()} | CURVES[task](targets, answers, class_names)


def _rounded(value: np.float64) -> float:
    return float(f"{value:.6g}")


def _resample(rows: int, resamples: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield how often each row was drawn, float64 [≤ chunk, N]: all at once would need B × N × 8 bytes."""
    for start in range(0, resamples, _CHUNK):
        draws = rng.integers(0, rows, size=(min(_CHUNK, resamples - start), rows))
        yield np.array([np.bincount(draw, minlength=rows) for draw in draws], dtype=np.float64)
