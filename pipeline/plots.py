"""The tables behind the plots of every task, as CSV."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

HEADERS = {
    "roc": "false_positive_rate,true_positive_rate",
    "precision_recall": "recall,precision",
    "calibration": "predicted,observed",
    "confusion": "actual,predicted,rows",
    "residuals": "predicted,residual",
}
"""dvc.yaml names each of them for every model; DVC shows nothing for one without rows."""
POINTS = 200
"""Most rows of a curve in Git: a plot shows no more."""
BINS = 10


def table(name: str, *columns: np.ndarray) -> str:
    """Return float columns [M] as the CSV of that name, six digits each."""
    return rows(name, ([f"{value:.6g}" for value in row] for row in zip(*columns, strict=True)))


def rows(name: str, cells: Iterable[Sequence[Any]]) -> str:
    """Return rows of cells as the CSV of that name."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(HEADERS[name].split(","))
    writer.writerows(cells)
    return buffer.getvalue()


def calibration(predicted: np.ndarray, observed: np.ndarray) -> str:
    """Return mean predicted and observed value, [N] each, in BINS bins of (nearly) equally many rows."""
    bins = [part for part in np.array_split(np.argsort(predicted, kind="stable"), BINS) if len(part)]
    means = [[values[part].mean(dtype=np.float64) for part in bins] for values in (predicted, observed)]
    return table("calibration", *map(np.array, means))
