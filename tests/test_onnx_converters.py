"""pipeline.onnx_converters, and skl2onnx's own for trees: the exported estimator answers as the fitted one, to the last float.

Estimators stand alone here, without preprocessing, so that missing numbers and numbers on a threshold reach them.
"""

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from pipeline.onnx_converters import round_down

FEATURES = 3
HISTOGRAM: dict[str, Any] = {"max_iter": 12, "min_samples_leaf": 5, "random_state": 0}
TREES: list[Any] = [
    DecisionTreeClassifier(random_state=0),
    DecisionTreeRegressor(random_state=0),
    ExtraTreeClassifier(random_state=0),
    ExtraTreeRegressor(random_state=0),
    RandomForestClassifier(5, random_state=0),
    RandomForestRegressor(5, random_state=0),
    ExtraTreesClassifier(5, random_state=0),
    ExtraTreesRegressor(5, random_state=0),
    GradientBoostingClassifier(n_estimators=8, random_state=0),
    GradientBoostingRegressor(n_estimators=8, random_state=0),
    AdaBoostClassifier(n_estimators=5, random_state=0),
    AdaBoostRegressor(n_estimators=5, random_state=0),
    BaggingClassifier(n_estimators=5, random_state=0),
    BaggingRegressor(n_estimators=5, random_state=0),
    HistGradientBoostingClassifier(**HISTOGRAM),
    HistGradientBoostingRegressor(**HISTOGRAM),
]


def table(classes: list[Any] | None = None, rows: int = 240, missing: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return float32 [N, F], whose midpoints are often no float32, and a target above 0.5."""
    rng = np.random.default_rng(0)
    numbers = (rng.normal(size=(rows, FEATURES)) * [1.0, 1e6, 1e-3]).astype(np.float32)
    score = numbers[:, 0] + np.sign(numbers[:, 1]) + rng.normal(size=rows) * 0.5
    if missing:
        numbers[rng.random(numbers.shape) < 0.2] = np.nan
    if classes is None:
        return numbers, np.exp(score / 2) + 0.5
    return numbers, np.array(classes)[np.digitize(score, np.quantile(score, np.arange(1, len(classes)) / len(classes)))]


def answers(estimator: Any, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the answers to `rows` of the exported and of the fitted estimator, [N, K]."""
    options = {id(estimator): {"zipmap": False}} if is_classifier(estimator) else None
    model = convert_sklearn(
        estimator,
        initial_types=[("x", FloatTensorType([None, rows.shape[1]]))],
        options=options,
        target_opset={"": 18, "ai.onnx.ml": 3},
    )
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"x": rows})
    if is_classifier(estimator):
        np.testing.assert_array_equal(found[0], estimator.predict(rows))
    expected = estimator.predict_proba(rows) if is_classifier(estimator) else estimator.predict(rows).reshape(-1, 1)
    return found[-1], expected


def agree(estimator: Any, rows: np.ndarray) -> None:
    found, expected = answers(estimator, rows)
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


def thresholds(estimator: Any) -> list[tuple[int, float]]:
    """Return every (feature, threshold) that a tree of the fitted estimator asks."""
    if hasattr(estimator, "_predictors"):
        nodes = np.concatenate([tree.nodes for iteration in estimator._predictors for tree in iteration])
        inner = nodes[nodes["is_leaf"] == 0]
        return sorted({(int(node["feature_idx"]), float(node["num_threshold"])) for node in inner})
    trees = np.ravel(estimator.estimators_) if hasattr(estimator, "estimators_") else [estimator]
    pairs = [zip(tree.tree_.feature, tree.tree_.threshold, strict=True) for tree in trees]
    return sorted({(int(feature), float(threshold)) for tree in pairs for feature, threshold in tree if feature >= 0})


def around(estimator: Any, background: np.ndarray) -> np.ndarray:
    """Return rows that hold, one threshold at a time, the three float32 around it."""
    asked = thresholds(estimator)
    assert asked
    rows = np.repeat(background[np.arange(len(asked)) % len(background)], 3, axis=0)
    for position, (feature, threshold) in enumerate(asked):
        near = np.float32(threshold)
        rows[3 * position : 3 * position + 3, feature] = [np.nextafter(near, np.float32(s)) for s in (-np.inf, near, np.inf)]
    return rows


@pytest.mark.parametrize("estimator", TREES, ids=lambda tree: type(tree).__name__)
def test_a_number_next_to_a_threshold_goes_the_way_it_went(estimator: Any) -> None:
    numbers, target = table([0, 1, 2] if is_classifier(estimator) else None)
    estimator.fit(numbers, target)
    agree(estimator, around(estimator, numbers))


def test_some_thresholds_are_between_two_floats() -> None:
    """Or the test above could not fail."""
    asked = np.array([threshold for _, threshold in thresholds(HistGradientBoostingRegressor(**HISTOGRAM).fit(*table()))])
    assert (asked.astype(np.float32) > asked).any()


@pytest.mark.parametrize("threshold", [0.1, -0.1, 0.5, 1 + 2**-30, -1 - 2**-30, 1e-60, -1e-60, 1e300, 16777217.0, np.inf])
def test_a_threshold_rounded_down_divides_the_floats_as_before(threshold: float) -> None:
    (rounded,) = round_down(np.array([threshold]))
    assert rounded.dtype == np.float32
    with np.errstate(over="ignore"):
        near = np.float32(threshold)
    for value in (near, np.nextafter(near, np.float32(-np.inf)), np.nextafter(near, np.float32(np.inf)), np.float32(3e38)):
        if np.isfinite(value):
            assert (value <= rounded) == (float(value) <= threshold)


@pytest.mark.parametrize("classes", [[0, 1], [False, True], ["no", "yes"], [3, 5, 9], ["a", "b", "č", "d"]], ids=str)
@pytest.mark.parametrize("missing", [False, True])
def test_histogram_boosting_classifies_alike(classes: list[Any], missing: bool) -> None:
    numbers, target = table(classes, missing=missing)
    estimator = HistGradientBoostingClassifier(**HISTOGRAM).fit(numbers, target)
    agree(estimator, np.vstack([numbers, np.full((1, FEATURES), np.nan, dtype=np.float32)]))


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "poisson", "gamma", "quantile"])
def test_histogram_boosting_predicts_alike_with_every_loss(loss: str) -> None:
    numbers, target = table(missing=True)
    arguments = HISTOGRAM | ({"quantile": 0.8} if loss == "quantile" else {})
    agree(HistGradientBoostingRegressor(loss=loss, **arguments).fit(numbers, target), numbers)


def test_missing_numbers_may_go_either_way() -> None:
    """Or a converter that sends them all one way would pass."""
    numbers, target = table(missing=True)
    estimator = HistGradientBoostingRegressor(**HISTOGRAM).fit(numbers, target)
    nodes = np.concatenate([tree.nodes for (tree,) in estimator._predictors])
    assert set(nodes[nodes["is_leaf"] == 0]["missing_go_to_left"].tolist()) == {0, 1}


def test_histogram_boosting_on_categories_is_refused() -> None:
    numbers, target = table()
    numbers[:, 2] = np.arange(len(numbers)) % 4
    target = target + 3 * (numbers[:, 2] == 2)
    estimator = HistGradientBoostingRegressor(categorical_features=[2], **HISTOGRAM).fit(numbers, target)
    with pytest.raises(NotImplementedError, match="leave categorical_features out"):
        answers(estimator, numbers)


@pytest.mark.parametrize("classes", [[0, 1], [0, 1, 2]], ids=str)
@pytest.mark.parametrize(
    "make",
    [
        LinearDiscriminantAnalysis,
        lambda: CalibratedClassifierCV(LinearDiscriminantAnalysis()),
        lambda: CalibratedClassifierCV(HistGradientBoostingClassifier(**HISTOGRAM)),
        lambda: BaggingClassifier(HistGradientBoostingClassifier(**HISTOGRAM), n_estimators=2, random_state=0),
        lambda: AdaBoostClassifier(HistGradientBoostingClassifier(**HISTOGRAM), n_estimators=2, random_state=0),
        lambda: VotingClassifier([("a", LogisticRegression()), ("b", LinearDiscriminantAnalysis())], voting="soft"),
        lambda: VotingClassifier(
            [("a", DecisionTreeClassifier(max_depth=2)), ("b", HistGradientBoostingClassifier(**HISTOGRAM))],
            voting="soft",
            weights=[1, 3],
        ),
        lambda: StackingClassifier([("a", LinearDiscriminantAnalysis()), ("b", HistGradientBoostingClassifier(**HISTOGRAM))]),
    ],
    ids=["lda", "calibrated lda", "calibrated hgb", "bagged hgb", "boosted hgb", "voting", "weighted voting", "stacking"],
)
def test_a_mended_converter_holds_alone_and_inside_another_estimator(make: Any, classes: list[Any]) -> None:
    numbers, target = table(classes)
    numbers[:, 1] /= 1e6
    agree(make().fit(numbers, target), numbers)


@pytest.mark.parametrize("weights", [None, [1, 3]], ids=str)
def test_a_vote_on_numbers_is_weighed_alike(weights: Any) -> None:
    estimators = [("a", DecisionTreeRegressor(max_depth=2)), ("b", HistGradientBoostingRegressor(**HISTOGRAM))]
    numbers, target = table()
    agree(VotingRegressor(estimators, weights=weights).fit(numbers, target), numbers)


def test_exporting_does_not_change_the_fitted_estimator() -> None:
    numbers, target = table([0, 1])
    numbers[:, 1] /= 1e6
    discriminant = LinearDiscriminantAnalysis().fit(numbers, target)
    voting = VotingClassifier([("a", LogisticRegression())], voting="soft").fit(numbers, target)
    before = discriminant.coef_.copy(), voting.get_params(deep=False)
    answers(discriminant, numbers)
    answers(voting, numbers)
    assert (discriminant.coef_ == before[0]).all()
    assert voting.get_params(deep=False) == before[1]
