"""What a regression is measured by.

Shapes: N rows, B resamples. `targets` is float64 [N]; `predictions` is float32 [N, 1].
"""

import numpy as np

from pipeline import plots
from pipeline.plots import POINTS


def scores(targets: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Return each metric, float64 [B], for rows that count `weights` [B, N] times.

    RMSE and MAE have the unit of the target. R² is the coefficient of determination: 1 - squared error / variance of
    those rows, so 0 for their mean and below for worse; rows of one value have no R²: NaN.
    """
    error = predictions[:, 0].astype(np.float64) - targets
    # About their mean, so that targets far from zero lose no digits.
    centred = targets - targets.mean()
    total = weights.sum(axis=1)
    squared = weights @ error**2
    about_mean = weights @ centred**2
    variation = about_mean - (weights @ centred) ** 2 / total
    r2 = np.full(len(weights), np.nan)
    np.divide(squared, variation, out=r2, where=variation > 1e-12 * about_mean)  # below, it is rounding
    return {"rmse": np.sqrt(squared / total), "mae": weights @ np.abs(error) / total, "r2": 1 - r2}


def curves(targets: np.ndarray, predictions: np.ndarray, class_names: list[str]) -> dict[str, str]:
    """Return CSV texts by name: calibration, and the residuals (actual - predicted) of at most POINTS rows.

    The rows lie evenly along the order of their predictions, so that both ends are there.
    """
    predicted = predictions[:, 0].astype(np.float64)
    order = np.argsort(predicted, kind="stable")
    shown = order[np.unique(np.linspace(0, len(order) - 1, POINTS).round().astype(np.int64))]
    return {
        "calibration": plots.calibration(predicted, targets),
        "residuals": plots.table("residuals", predicted[shown], (targets - predicted)[shown]),
    }
