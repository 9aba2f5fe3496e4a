"""pipeline.metrics: equal to scikit-learn's on every table, with intervals that repeat."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, brier_score_loss, confusion_matrix, f1_score, roc_auc_score

from pipeline.classification import curves, scores
from pipeline.metrics import evaluate
from pipeline.plots import BINS, POINTS

Table = tuple[np.ndarray, np.ndarray, np.ndarray]


@st.composite
def tables(draw: st.DrawFn, classes: int) -> Table:
    """Draw targets [N], probabilities [N, K] on a coarse grid, so that ties abound, and weights [N]."""
    rows = draw(st.integers(classes, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    parts = rng.integers(1, draw(st.integers(2, 9)), size=(rows, classes)).astype(np.float64)
    targets = np.concatenate([np.arange(classes), rng.integers(0, classes, rows - classes)])
    weights = np.concatenate([np.ones(classes), rng.integers(0, 4, rows - classes)])
    return targets, (parts / parts.sum(axis=1, keepdims=True)).astype(np.float32), weights


def by_sklearn(targets: np.ndarray, probabilities: np.ndarray, weights: np.ndarray) -> dict[str, float]:
    classes = probabilities.shape[1]
    predicted, p = probabilities.argmax(axis=1), probabilities.astype(np.float64)
    measured = [1] if classes == 2 else list(range(classes))
    truth = np.eye(classes)[targets]
    brier = (
        brier_score_loss(targets, p[:, 1], sample_weight=weights)
        if classes == 2
        else np.average(((p - truth) ** 2).sum(axis=1), weights=weights)
    )
    return {
        "accuracy": accuracy_score(targets, predicted, sample_weight=weights),
        "f1": f1_score(targets, predicted, labels=measured, average="macro", sample_weight=weights, zero_division=0),
        "roc_auc": float(np.mean([roc_auc_score(targets == c, p[:, c], sample_weight=weights) for c in measured])),
        "log_loss": float(np.average(-np.log(p[np.arange(len(p)), targets]), weights=weights)),
        "brier": float(brier),
    }


@pytest.mark.parametrize("classes", [2, 4])
@given(drawn=st.data())
def test_every_metric_is_scikit_learns(classes: int, drawn: st.DataObject) -> None:
    targets, probabilities, weights = drawn.draw(tables(classes))
    found = {name: value[0] for name, value in scores(targets, probabilities, weights[None]).items()}
    assert found == pytest.approx(by_sklearn(targets, probabilities, weights), abs=1e-12)


@pytest.mark.parametrize("classes", [2, 4])
def test_log_loss_and_brier_are_scikit_learns_own_functions(classes: int) -> None:
    from sklearn.metrics import log_loss

    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(classes), size=50).astype(np.float32).astype(np.float64)
    p /= p.sum(axis=1, keepdims=True)
    targets, weights = rng.integers(0, classes, 50), rng.integers(0, 4, 50).astype(np.float64)
    found = scores(targets, p, weights[None])
    labels = list(range(classes))
    assert found["log_loss"][0] == pytest.approx(log_loss(targets, p, labels=labels, sample_weight=weights), rel=1e-9)
    scored = p[:, 1] if classes == 2 else p
    expected = brier_score_loss(targets, scored, labels=labels, sample_weight=weights)
    assert found["brier"][0] == pytest.approx(expected, rel=1e-9)


def test_each_row_of_weights_is_scored_by_itself() -> None:
    rng = np.random.default_rng(1)
    targets, weights = rng.integers(0, 2, 30), rng.integers(1, 4, (5, 30)).astype(np.float64)
    probabilities = rng.dirichlet([1, 1], size=30).astype(np.float32)
    together = scores(targets, probabilities, weights)
    for i in range(5):
        alone = scores(targets, probabilities, weights[i : i + 1])
        assert {name: value[i] for name, value in together.items()} == pytest.approx({n: v[0] for n, v in alone.items()})


def test_a_certain_answer_that_is_wrong_has_a_finite_loss() -> None:
    found = scores(np.array([0, 1]), np.array([[0, 1], [0, 1]], dtype=np.float32), np.ones((1, 2)))
    assert found["log_loss"][0] == pytest.approx(-np.log(np.finfo(np.float32).eps) / 2)


def test_a_resample_that_lacks_a_class_has_no_auc() -> None:
    found = scores(np.array([0, 1]), np.array([[0.4, 0.6], [0.3, 0.7]], dtype=np.float32), np.array([[2.0, 0.0]]))
    assert np.isnan(found["roc_auc"][0])
    assert np.isfinite(found["f1"][0])


def drawn_set(rows: int = 400, classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    targets = rng.integers(0, classes, rows)
    probabilities = rng.dirichlet(np.ones(classes), size=rows)
    probabilities[np.arange(rows), targets] += 0.3
    return targets, (probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("classes", [2, 4])
def test_intervals_hold_the_value_and_repeat(classes: int) -> None:
    targets, probabilities = drawn_set(classes=classes)
    found = evaluate("classification", targets, probabilities, resamples=110, seed=5)
    assert found == evaluate("classification", targets, probabilities, resamples=110, seed=5)
    assert found != evaluate("classification", targets, probabilities, resamples=110, seed=6)
    assert list(found) == ["accuracy", "f1", "roc_auc", "log_loss", "brier"]
    assert all(metric.low < metric.value < metric.high for metric in found.values())


def test_the_interval_is_as_wide_as_theory_says() -> None:
    targets, probabilities = drawn_set(rows=2000)
    accuracy = evaluate("classification", targets, probabilities, resamples=400, seed=5)["accuracy"]
    error = np.sqrt(accuracy.value * (1 - accuracy.value) / 2000)
    assert accuracy.high - accuracy.low == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_metrics_of_rows_of_one_class_are_finite_where_they_exist() -> None:
    found = evaluate("classification", np.array([0, 1, 1]), np.array([[0.9, 0.1]] * 3, dtype=np.float32), resamples=100, seed=0)
    assert all(np.isfinite([metric.low, metric.high]).all() for metric in found.values())


def table(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


@pytest.mark.parametrize("classes", [2, 4])
def test_curves_are_csv_tables_of_bounded_length(classes: int) -> None:
    targets, probabilities = drawn_set(3000, classes)
    found = {name: table(text) for name, text in curves(targets, probabilities, list(map(str, range(classes)))).items()}
    assert {name: rows[0] for name, rows in found.items()} == {
        "roc": ["false_positive_rate", "true_positive_rate"],
        "precision_recall": ["recall", "precision"],
        "calibration": ["predicted", "observed"],
        "confusion": ["actual", "predicted", "rows"],
    }
    assert all(len(found[name]) <= POINTS + 1 for name in ("roc", "precision_recall"))
    assert len(found["calibration"]) == BINS + 1
    assert len(found["confusion"]) == classes**2 + 1


def test_the_roc_curve_ends_at_one_and_encloses_the_auc() -> None:
    targets, probabilities = drawn_set(3000)
    points = np.array(table(curves(targets, probabilities, ["a", "b"])["roc"])[1:], dtype=float)
    assert points[-1].tolist() == [1.0, 1.0]
    area = np.trapezoid(np.append(0, points[:, 1]), np.append(0, points[:, 0]))
    assert area == pytest.approx(roc_auc_score(targets, probabilities[:, 1]), abs=1e-3)


def test_precision_and_recall_stand_at_scikit_learns_points() -> None:
    from sklearn.metrics import precision_recall_curve

    targets, probabilities = drawn_set(100)
    precision, recall, _ = precision_recall_curve(targets, probabilities[:, 1])
    known = {(round(r, 6), round(p, 6)) for r, p in zip(recall, precision, strict=True)}
    found = table(curves(targets, probabilities, ["a", "b"])["precision_recall"])[1:]
    assert {(float(r), float(p)) for r, p in found} <= known


def test_the_confusion_table_counts_every_row() -> None:
    targets, probabilities = drawn_set(classes=4)
    rows = table(curves(targets, probabilities, list("abcd"))["confusion"])[1:]
    found = np.array([int(count) for _, _, count in rows]).reshape(4, 4)
    assert (found == confusion_matrix(targets, probabilities.argmax(axis=1))).all()


def test_class_names_of_any_text_stay_one_cell() -> None:
    targets, probabilities = drawn_set(50)
    rows = table(curves(targets, probabilities, ["a, b", 'c "d"\n'])["confusion"])
    assert [row[:2] for row in rows[1:]] == [[a, p] for a in ("a, b", 'c "d"\n') for p in ("a, b", 'c "d"\n')]


@pytest.mark.parametrize("rows", [2, 5])
def test_a_table_shorter_than_the_bins_has_fewer_bins(rows: int) -> None:
    targets, probabilities = np.arange(rows) % 2, np.full((rows, 2), 0.5, dtype=np.float32)
    assert len(table(curves(targets, probabilities, ["a", "b"])["calibration"])) == rows + 1
