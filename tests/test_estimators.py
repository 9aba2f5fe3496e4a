"""pipeline.estimators: any estimator by its import path, in a Pipeline that takes raw columns, whatever stands in them."""

import dataclasses
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from builders import LOGISTIC_REGRESSION, RANDOM_FOREST, SEED, Workspace, hostile
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline

from isoform.errors import BadInput
from isoform.formats import joblib, pickle
from isoform.rows import Columns
from pipeline import estimators
from pipeline.datasets import Schema
from pipeline.params import SklearnModel

Rows = tuple[Columns, np.ndarray]
LOGISTIC, RIDGE = "sklearn.linear_model.LogisticRegression", "sklearn.linear_model.Ridge"
FOREST: dict[str, Any] = {"builder": RANDOM_FOREST["builder"], "hyperparameters": {"n_estimators": 4, "max_depth": 3}}
DEFAULTS: dict[str, dict[str, Any]] = {
    "forest": {**RANDOM_FOREST, "hyperparameters": {"n_estimators": 8, "max_depth": 4}},
    "logistic": {**LOGISTIC_REGRESSION, "hyperparameters": {"max_iter": 300}},
}
ENSEMBLES: dict[str, dict[str, Any]] = {
    "voting": {
        "builder": "sklearn.ensemble.VotingClassifier",
        "hyperparameters": {"voting": "soft", "estimators": [["trees", FOREST], ["line", {"builder": LOGISTIC}]]},
    },
    "stacking": {
        "builder": "sklearn.ensemble.StackingClassifier",
        "hyperparameters": {"cv": 3, "estimators": [["trees", FOREST], ["line", {"builder": LOGISTIC}]]},
    },
    "bagging": {
        "builder": "sklearn.ensemble.BaggingClassifier",
        "hyperparameters": {"estimator": {"builder": "sklearn.tree.DecisionTreeClassifier"}, "n_estimators": 4},
    },
    "boosting": {"builder": "sklearn.ensemble.HistGradientBoostingClassifier", "hyperparameters": {"max_iter": 4}},
    "calibrated": {
        "builder": "sklearn.calibration.CalibratedClassifierCV",
        "hyperparameters": {"estimator": {"builder": "sklearn.svm.LinearSVC"}, "cv": 3},
    },
    "kernel": {
        "builder": "sklearn.pipeline.Pipeline",
        "preprocessing": "onehot",
        "hyperparameters": {
            "steps": [["kernel", {"builder": "sklearn.decomposition.KernelPCA"}], ["line", {"builder": LOGISTIC}]],
        },
    },
    "grid": {
        "builder": "sklearn.model_selection.GridSearchCV",
        "hyperparameters": {"estimator": {"builder": LOGISTIC}, "param_grid": {"C": [0.1, 1.0]}, "cv": 3},
    },
}


@pytest.fixture(scope="module")
def schema(published: Callable[[str], Workspace]) -> Schema:
    return published("mixed").schema()


@pytest.fixture(scope="module")
def rows(published: Callable[[str], Workspace]) -> Rows:
    return published("mixed").train_rows()


def model(builder: str, preprocessing: str = "onehot", **hyperparameters: Any) -> SklearnModel:
    content = {"version": "1.0.0", "created_at": "2026-01-02T03:04:05Z", "builder": builder, "preprocessing": preprocessing}
    return SklearnModel.model_validate({**content, "hyperparameters": hyperparameters})


def entry(content: dict[str, Any]) -> SklearnModel:
    return model(content["builder"], content.get("preprocessing", "ordinal"), **content["hyperparameters"])


def build(schema: Schema, builder: str, preprocessing: str = "onehot", **hyperparameters: Any) -> Pipeline:
    return estimators.build("mine", model(builder, preprocessing, **hyperparameters), schema, SEED)


def fitted(content: dict[str, Any], schema: Schema, rows: Rows, threads: int = 1, seed: int = SEED) -> Any:
    return estimators.fit("mine", estimators.build("mine", entry(content), schema, seed), *rows, threads)


@pytest.mark.parametrize("content", [*DEFAULTS.values(), *ENSEMBLES.values()], ids=[*DEFAULTS, *ENSEMBLES])
def test_the_same_rows_give_the_same_bytes_on_any_number_of_threads(content: Any, schema: Schema, rows: Rows) -> None:
    assert len({joblib.dump(fitted(content, schema, rows, threads)) for threads in (1, 2, 5)}) == 1


def test_threads_leave_the_warning_filters_as_they_were(schema: Schema, rows: Rows) -> None:
    usual, filters = sys.getswitchinterval(), list(warnings.filters)
    forest = {**RANDOM_FOREST, "hyperparameters": {"n_estimators": 60, "max_depth": 2}}
    try:
        sys.setswitchinterval(1e-6)
        for _ in range(5):
            fitted(forest, schema, rows, threads=4)
            assert list(warnings.filters) == filters
    finally:
        sys.setswitchinterval(usual)


@pytest.mark.parametrize("jobs", [-1, 1, 3])
@pytest.mark.parametrize("nested", [False, True])
def test_a_number_of_threads_asked_for_leaves_no_trace(jobs: int, nested: bool, schema: Schema, rows: Rows) -> None:
    def with_jobs(**more: Any) -> bytes:
        forest: dict[str, Any] = {"builder": FOREST["builder"], "hyperparameters": FOREST["hyperparameters"] | more}
        voting: dict[str, Any] = ENSEMBLES["voting"]["hyperparameters"] | {"estimators": [["trees", forest]], **more}
        return joblib.dump(fitted(ENSEMBLES["voting"] | {"hyperparameters": voting} if nested else forest, schema, rows))

    assert with_jobs(n_jobs=jobs) == with_jobs()


def test_a_fitted_forest_answers_on_one_thread(schema: Schema, rows: Rows) -> None:
    assert fitted(DEFAULTS["forest"], schema, rows, threads=2)[-1].n_jobs == 1


@pytest.mark.parametrize(
    "content", [DEFAULTS["forest"], ENSEMBLES["voting"], ENSEMBLES["bagging"]], ids=["plain", "in", "in one"]
)
def test_the_seed_decides_the_forest(content: Any, schema: Schema, rows: Rows) -> None:
    assert joblib.dump(fitted(content, schema, rows)) != joblib.dump(fitted(content, schema, rows, seed=SEED + 1))


def test_a_seed_that_was_given_is_kept_and_the_others_are_set(schema: Schema) -> None:
    inner = {"builder": FOREST["builder"], "hyperparameters": {"random_state": 5}}
    built = build(
        schema,
        "sklearn.ensemble.VotingClassifier",
        voting="soft",
        estimators=[["given", inner], ["null", {"builder": FOREST["builder"], "hyperparameters": {"random_state": None}}]],
    )
    assert [estimator.random_state for _, estimator in built[-1].estimators] == [5, SEED]
    assert build(schema, "sklearn.svm.SVC", probability=True)[-1].random_state == SEED


@pytest.mark.parametrize("content", [*DEFAULTS.values(), *ENSEMBLES.values()], ids=[*DEFAULTS, *ENSEMBLES])
def test_every_model_learns_the_table(content: Any, schema: Schema, rows: Rows, published: Callable[[str], Workspace]) -> None:
    workspace = published("mixed")
    columns, labels = workspace.test_rows()
    probabilities = pickle.infer(fitted(content, schema, rows), columns, workspace.config("forest"))
    assert (probabilities.argmax(axis=1) == labels).mean() > 0.75


@pytest.mark.parametrize("content", DEFAULTS.values(), ids=DEFAULTS)
@pytest.mark.parametrize("column", ["as it is", "all missing", "constant", "far out"])
def test_hostile_rows_get_finite_answers(
    content: Any, column: str, schema: Schema, rows: Rows, published: Callable[[str], Workspace]
) -> None:
    columns, labels = rows
    number = {"all missing": np.nan, "constant": 3.0, "far out": -1e38}
    if column in number:
        columns = columns | {"n2": np.full(len(labels), number[column], dtype=np.float32)}
    config = published("mixed").config("forest")
    probabilities = pickle.infer(fitted(content, schema, (columns, labels)), hostile(config), config)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("preprocessing", ["ordinal", "onehot"])
def test_all_that_reaches_the_estimator_is_float32(preprocessing: str, schema: Schema, rows: Rows) -> None:
    import pandas as pd

    built = build(schema, RANDOM_FOREST["builder"], preprocessing, n_estimators=1)
    built[0].fit(pd.DataFrame(rows[0]))
    made = built[0].transform(pd.DataFrame(rows[0]))
    assert isinstance(made, np.ndarray)
    assert made.dtype == np.float32


@pytest.mark.parametrize(("builder", "sparse"), [(LOGISTIC, True), ("sklearn.neighbors.KNeighborsClassifier", False)])
def test_codes_are_sparse_only_for_what_sums_them(builder: str, sparse: bool, schema: Schema, rows: Rows) -> None:
    """An estimator that keeps its rows would keep them sparse, and skl2onnx cannot convert that."""
    import pandas as pd

    columns = rows[0] | {"c0": np.array([f"id {i}" for i in range(len(rows[1]))], dtype=object)}
    built = build(schema, builder)
    assert hasattr(built[0].fit_transform(pd.DataFrame(columns)), "tocsr") == sparse


def test_a_search_leaves_what_it_found(schema: Schema, rows: Rows) -> None:
    found = fitted(ENSEMBLES["grid"], schema, rows)[-1]
    assert type(found).__name__ == "LogisticRegression"
    assert found.C in (0.1, 1.0)


def test_a_regressor_learns_numbers(schema: Schema, rows: Rows) -> None:
    columns, _ = rows
    targets = np.nan_to_num(columns["n0"]).astype(np.float64) * 3 + (columns["c0"] == "red")
    regression = dataclasses.replace(schema, task="regression", classes=[])
    pipeline = estimators.fit("mine", build(regression, RIDGE), columns, targets, 1)
    import pandas as pd

    assert np.corrcoef(pipeline.predict(pd.DataFrame(columns)), targets)[0, 1] > 0.99


class Narrow(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A class of one's own that fails in its own way."""

    def fit(self, rows: Any, labels: Any) -> "Narrow":
        raise ZeroDivisionError("two\nlines")

    def predict_proba(self, rows: Any) -> np.ndarray:
        return np.zeros((len(rows), 2))


@pytest.mark.parametrize(
    ("builder", "reason"),
    [
        ("sklearn.ensemble.RandomForest", "cannot be imported .*has no attribute 'RandomForest'"),
        ("no_such_library.Forest", "cannot be imported .*No module named 'no_such_library'"),
        ("RandomForestClassifier", "cannot be imported"),
        ("", "cannot be imported"),
        (".ensemble.x", "cannot be imported"),
        ("sklearn.ensemble", "is no estimator"),
        ("os.system", "is no estimator"),
        ("subprocess.Popen", "is no estimator"),
    ],
)
def test_a_path_that_leads_to_no_estimator_is_one_line(builder: str, reason: str, schema: Schema) -> None:
    with pytest.raises(BadInput, match=rf"params\.yaml: models\.sklearn\.mine\.builder is '{builder}', which {reason}"):
        build(schema, builder)


def test_what_is_no_estimator_is_not_called(schema: Schema, tmp_path: Any) -> None:
    with pytest.raises(BadInput):
        build(schema, "os.mkdir", path=str(tmp_path / "made"))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("task", "builder", "kind"),
    [
        ("classification", RIDGE, "classifier"),
        ("classification", "sklearn.cluster.KMeans", "classifier"),
        ("classification", "sklearn.preprocessing.StandardScaler", "classifier"),
        ("regression", LOGISTIC, "regressor"),
        ("regression", FOREST["builder"], "regressor"),
    ],
)
def test_an_estimator_of_another_task_is_one_line(task: Any, builder: str, kind: str, schema: Schema) -> None:
    name = builder.rpartition(".")[2]
    with pytest.raises(BadInput, match=rf"builder is {name}, which is no {kind}, and data\.task is {task}; choose a {kind}"):
        build(dataclasses.replace(schema, task=task), builder)


@pytest.mark.parametrize(
    ("builder", "hyperparameters"),
    [
        ("sklearn.svm.SVC", {}),
        ("sklearn.linear_model.RidgeClassifier", {}),
        ("sklearn.linear_model.SGDClassifier", {"loss": "hinge"}),
        ("sklearn.ensemble.VotingClassifier", {"estimators": [["line", {"builder": LOGISTIC}]]}),
        ("sklearn.ensemble.StackingClassifier", {"estimators": [], "final_estimator": {"builder": "sklearn.svm.LinearSVC"}}),
    ],
)
def test_a_classifier_without_probabilities_is_refused_before_it_is_fitted(
    builder: str, hyperparameters: Any, schema: Schema
) -> None:
    with pytest.raises(BadInput, match=r"gives no probabilities .*; wrap it in sklearn\.calibration\.CalibratedClassifierCV"):
        build(schema, builder, **hyperparameters)


@pytest.mark.parametrize("builder", [FOREST["builder"], LOGISTIC])
def test_an_argument_that_the_estimator_does_not_take_is_one_line(builder: str, schema: Schema) -> None:
    expected = r"models\.sklearn\.mine\.hyperparameters: .* unexpected keyword argument 'no_such_argument'; correct them"
    with pytest.raises(BadInput, match=expected):
        build(schema, builder, no_such_argument=1)


@pytest.mark.parametrize(
    ("estimator", "where"),
    [
        ({"builder": "sklearn.tree.Tree"}, r"hyperparameters\.estimator\.builder is 'sklearn\.tree\.Tree'"),
        ({"builder": 5}, r"hyperparameters\.estimator\.builder is '5'"),
        ({"builder": LOGISTIC, "hyperparameters": {"D": 1}}, r"hyperparameters\.estimator\.hyperparameters: .*'D'"),
        ({"builder": LOGISTIC, "hyperparameters": [1]}, r"hyperparameters\.estimator is no estimator"),
        ({"builder": LOGISTIC, "C": 1}, r"hyperparameters\.estimator is no estimator; .*no other key"),
        ("logistic", r"builder is BaggingClassifier, of which scikit-learn cannot tell what it is"),
    ],
)
def test_an_estimator_inside_another_is_named_by_its_place(estimator: Any, where: str, schema: Schema) -> None:
    with pytest.raises(BadInput, match=rf"params\.yaml: models\.sklearn\.mine\.{where}"):
        build(schema, "sklearn.ensemble.BaggingClassifier", estimator=estimator)


def test_an_estimator_in_a_list_is_named_by_its_place(schema: Schema) -> None:
    with pytest.raises(BadInput, match=r"mine\.hyperparameters\.estimators\.1\.1\.builder is 'no\.such'"):
        build(schema, "sklearn.ensemble.VotingClassifier", estimators=[["a", FOREST], ["b", {"builder": "no.such"}]])


@pytest.mark.parametrize(
    ("builder", "wrong", "reason"),
    [
        (FOREST["builder"], {"n_estimators": 0}, "RandomForestClassifier .*'n_estimators'"),
        (FOREST["builder"], {"max_depth": "deep"}, "RandomForestClassifier .*'max_depth'"),
        (LOGISTIC, {"C": -1.0}, "LogisticRegression .*'C'"),
        (LOGISTIC, {"C": [1.0]}, "LogisticRegression .*'C'"),
        ("sklearn.naive_bayes.MultinomialNB", {}, "MultinomialNB cannot be fitted .*Negative values"),
        (f"{__name__}.Narrow", {}, r"Narrow cannot be fitted \(two\)"),
    ],
)
def test_what_the_estimator_refuses_is_one_line(builder: str, wrong: Any, reason: str, schema: Schema, rows: Rows) -> None:
    with pytest.raises(BadInput, match=rf"params\.yaml: models\.sklearn\.mine: {reason}.*; correct its hyperparameters"):
        estimators.fit("mine", build(schema, builder, **wrong), *rows, 1)


def test_probabilities_that_a_fit_does_not_bring_are_one_line(schema: Schema, rows: Rows) -> None:
    class Shy(RandomForestClassifier):  # type: ignore[misc]
        @property
        def predict_proba(self) -> Any:
            if hasattr(self, "estimators_"):
                raise AttributeError
            return super().predict_proba

    pipeline = Pipeline([*build(schema, FOREST["builder"], "ordinal").steps[:1], ("model", Shy(n_estimators=1))])
    with pytest.raises(BadInput, match="Shy, which gives no probabilities"):
        estimators.fit("mine", pipeline, *rows, 1)
