"""pipeline.regression: equal to scikit-learn's metrics, with intervals that repeat, and tables that a plot can show."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from isoform.errors import CheckFailed
from pipeline import metrics
from pipeline.plots import BINS, HEADERS, POINTS
from pipeline.regression import curves, scores


def drawn(rows: int, seed: int = 0, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return targets [N] and predictions [N, 1] that follow them roughly."""
    rng = np.random.default_rng(seed)
    targets = offset + rng.normal(size=rows)
    return targets, (targets + rng.normal(size=rows) / 2).astype(np.float32)[:, None]


def table(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


@given(rows=st.integers(2, 40), seed=st.integers(0, 2**32), offset=st.sampled_from([0.0, 1e3, -1e6]))
def test_every_metric_is_scikit_learns(rows: int, seed: int, offset: float) -> None:
    targets, predictions = drawn(rows, seed, offset)
    weights = np.concatenate([np.ones(2), np.random.default_rng(seed).integers(0, 4, rows - 2)])
    found = {name: float(value[0]) for name, value in scores(targets, predictions, weights[None]).items()}
    y, p = targets, predictions[:, 0].astype(np.float64)
    assert found == pytest.approx(
        {
            "rmse": mean_squared_error(y, p, sample_weight=weights) ** 0.5,
            "mae": mean_absolute_error(y, p, sample_weight=weights),
            "r2": r2_score(y, p, sample_weight=weights),
        },
        rel=1e-7,
        abs=1e-9,
    )


def test_the_interval_holds_the_value_and_repeats_with_the_seed() -> None:
    targets, predictions = drawn(200)
    found = metrics.evaluate("regression", targets, predictions, resamples=200, seed=5)
    assert found == metrics.evaluate("regression", targets, predictions, resamples=200, seed=5)
    assert list(found) == ["rmse", "mae", "r2"]
    assert all(estimate.low < estimate.value < estimate.high for estimate in found.values())


def test_small_targets_keep_their_digits() -> None:
    targets, predictions = drawn(50)
    found = metrics.evaluate("regression", targets * 1e-9, predictions * np.float32(1e-9), resamples=100, seed=5)
    whole = metrics.evaluate("regression", targets, predictions, resamples=100, seed=5)
    assert found["rmse"].value == pytest.approx(whole["rmse"].value * 1e-9, rel=1e-4)
    assert found["r2"].value == pytest.approx(whole["r2"].value, rel=1e-4)


def test_held_out_rows_of_one_value_have_no_r2() -> None:
    with pytest.raises(CheckFailed, match=r"metric 'r2': is not defined by the 3 held-out rows; hold out more rows"):
        metrics.evaluate("regression", np.full(3, 1e6), np.zeros((3, 1), dtype=np.float32), resamples=100, seed=0)


def test_residuals_are_actual_minus_predicted_from_end_to_end() -> None:
    targets, predictions = drawn(1000)
    header, *rows = table(curves(targets, predictions, [])["residuals"])
    assert header == ["predicted", "residual"]
    assert len(rows) == POINTS
    shown = np.array(rows, dtype=float)
    assert (np.diff(shown[:, 0]) >= 0).all()
    assert shown[[0, -1], 0] == pytest.approx([predictions.min(), predictions.max()], rel=1e-5)
    residual = {round(float(p), 4): t - p for t, p in zip(targets, predictions[:, 0].astype(np.float64), strict=True)}
    assert all(residual[round(p, 4)] == pytest.approx(r, abs=1e-4) for p, r in shown[:5])


@pytest.mark.parametrize("rows", [1, 2, 3, 9, 500])
def test_few_rows_give_few_points(rows: int) -> None:
    found = curves(*drawn(rows), [])
    assert len(table(found["residuals"])) == min(rows, POINTS) + 1
    assert len(table(found["calibration"])) == min(rows, BINS) + 1


def test_the_tables_of_the_other_task_are_their_headers() -> None:
    found = metrics.tables("regression", *drawn(20), [])
    assert list(found) == list(HEADERS)
    assert {name for name, text in found.items() if text == f"{HEADERS[name]}\n"} == {"roc", "precision_recall", "confusion"}
    probabilities = np.full((2, 2), 0.5, dtype=np.float32)
    other = metrics.tables("classification", np.array([0, 1]), probabilities, ["a", "b"])
    assert {name for name, text in other.items() if text == f"{HEADERS[name]}\n"} == {"residuals"}
