"""What a classification is measured by.

Shapes: N rows, K classes, B resamples. `targets` is int64 [N], positions in the classes; `probabilities` is float32
[N, K]. With two classes the second is the positive one; with more, F1 and ROC AUC are unweighted means over the
classes and the curves pool all (row, class) pairs.
"""

import numpy as np

from isoform.labels import most_probable
from pipeline import plots
from pipeline.plots import POINTS


def scores(targets: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return each metric, float64 [B], for rows that count `weights` [B, N] times.

    Log loss clips a probability at float32's epsilon. The Brier score is the mean squared error of the
    positive class, with more than two classes summed over all. A resample that lacks a class has no AUC: NaN.
    """
    p = probabilities.astype(np.float64)
    classes = p.shape[1]
    rows = np.arange(len(targets))
    predicted = most_probable(probabilities)
    truth = np.eye(classes)[targets]
    log_loss = -np.log(np.maximum(p[rows, targets], np.finfo(np.float32).eps))
    squared = (p - truth) ** 2
    total = weights.sum(axis=1)
    measured = range(1, 2) if classes == 2 else range(classes)
    return {
        "accuracy": weights @ (predicted == targets) / total,
        "f1": np.mean([_f1(predicted == c, targets == c, weights) for c in measured], axis=0),
        "roc_auc": np.mean([_roc_auc(p[:, c], targets == c, weights) for c in measured], axis=0),
        "log_loss": weights @ log_loss / total,
        "brier": weights @ (squared[:, 1] if classes == 2 else squared.sum(axis=1)) / total,
    }


def _f1(predicted: np.ndarray, actual: np.ndarray, weights: np.ndarray) -> np.ndarray:
    found = weights @ (predicted & actual)
    either = weights @ predicted.astype(np.float64) + weights @ actual.astype(np.float64)
    f1 = np.zeros(len(weights))
    np.divide(2 * found, either, out=f1, where=either > 0)
    return f1


def _roc_auc(score: np.ndarray, actual: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The weighted Mann–Whitney statistic; rows of equal score count half."""
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.diff(score[order], prepend=-np.inf))
    weights, actual = weights[:, order], actual[order]
    positive = np.add.reduceat(weights * actual, starts, axis=1)
    negative = np.add.reduceat(weights * ~actual, starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    wins = (positive * (below + negative / 2)).sum(axis=1)
    auc = np.full(len(weights), np.nan)
    np.divide(wins, pairs, out=auc, where=pairs > 0)
    return auc


def curves(targets: np.ndarray, probabilities: np.ndarray, class_names: list[str]) -> dict[str, str]:
    """Return CSV texts by name: roc, precision_recall, calibration, confusion."""
    truth = np.eye(probabilities.shape[1], dtype=bool)[targets]
    score = probabilities[:, 1] if truth.shape[1] == 2 else probabilities.ravel()
    actual = truth[:, 1] if truth.shape[1] == 2 else truth.ravel()
    false_positive, true_positive, precision = _operating_points(score, actual)
    return {
        "roc": plots.table("roc", false_positive, true_positive),
        "precision_recall": plots.table("precision_recall", true_positive, precision),
        "calibration": plots.calibration(score, actual),
        "confusion": _confusion(targets, most_probable(probabilities), class_names),
    }


def _operating_points(score: np.ndarray, actual: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return false positive rate, true positive rate and precision at up to POINTS thresholds, strictest first."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.diff(score[order], append=-np.inf))  # the last row of each run of equal scores
    true, flagged = np.cumsum(actual[order])[ends], ends + 1
    false = flagged - true
    # Evenly along the curve, not along the rows: its steep part needs points too.
    length = true / true[-1] + false / max(false[-1], 1)
    keep = np.unique(np.searchsorted(length, np.linspace(length[0], length[-1], POINTS)).clip(max=len(length) - 1))
    return (false / max(false[-1], 1))[keep], (true / true[-1])[keep], (true / flagged)[keep]


def _confusion(targets: np.ndarray, predicted: np.ndarray, class_names: list[str]) -> str:
    classes = list(enumerate(class_names))
    counted = ([actual, name, ((targets == a) & (predicted == p)).sum()] for a, actual in classes for p, name in classes)
    return plots.rows("confusion", counted)
