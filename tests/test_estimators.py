"""pipeline.estimators: builders of Pipelines that take raw columns, whatever stands in them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from builders import SEED, Workspace, hostile

from isoform.errors import BadInput
from isoform.formats import joblib, pickle
from isoform.rows import Columns
from pipeline import estimators
from pipeline.datasets import Schema

Rows = tuple[Columns, np.ndarray]
HYPERPARAMETERS: dict[str, dict[str, Any]] = {
    "random_forest": {"n_estimators": 8, "max_depth": 4},
    "logistic_regression": {"max_iter": 300},
}


@pytest.fixture(scope="module")
def schema(published: Callable[[str], Workspace]) -> Schema:
    return published("mixed").schema()


@pytest.fixture(scope="module")
def rows(published: Callable[[str], Workspace]) -> Rows:
    return published("mixed").train_rows()


def fitted(builder: str, schema: Schema, rows: Rows, threads: int = 1, seed: int = SEED) -> Any:
    return estimators.fit(estimators.build(builder, schema, HYPERPARAMETERS[builder], seed), *rows, threads)


@pytest.mark.parametrize("builder", estimators.BUILDERS)
def test_the_same_rows_give_the_same_bytes_on_any_number_of_threads(builder: str, schema: Schema, rows: Rows) -> None:
    files = {joblib.dump(fitted(builder, schema, rows, threads)) for threads in (1, 2, 5)}
    assert len(files) == 1


def test_the_seed_decides_the_forest(schema: Schema, rows: Rows) -> None:
    assert joblib.dump(fitted("random_forest", schema, rows)) != joblib.dump(fitted("random_forest", schema, rows, seed=SEED + 1))


def test_a_fitted_forest_answers_on_one_thread(schema: Schema, rows: Rows) -> None:
    assert fitted("random_forest", schema, rows, threads=2)[-1].n_jobs == 1


@pytest.mark.parametrize("builder", estimators.BUILDERS)
def test_every_model_learns_the_table(builder: str, schema: Schema, rows: Rows, published: Callable[[str], Workspace]) -> None:
    workspace = published("mixed")
    columns, labels = workspace.test_rows()
    probabilities = pickle.infer(fitted(builder, schema, rows), columns, workspace.config("forest"))
    assert (probabilities.argmax(axis=1) == labels).mean() > 0.75


@pytest.mark.parametrize("builder", estimators.BUILDERS)
def test_hostile_rows_get_finite_answers(builder: str, schema: Schema, rows: Rows, published: Callable[[str], Workspace]) -> None:
    config = published("mixed").config("forest")
    probabilities = pickle.infer(fitted(builder, schema, rows), hostile(config), config)
    assert np.isfinite(probabilities).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("builder", estimators.BUILDERS)
def test_a_column_without_a_single_number_is_no_obstacle(
    builder: str, schema: Schema, rows: Rows, published: Callable[[str], Workspace]
) -> None:
    columns, labels = rows
    empty = columns | {"n2": np.full(len(labels), np.nan, dtype=np.float32)}
    config = published("mixed").config("forest")
    model = fitted(builder, schema, (empty, labels))
    assert np.isfinite(pickle.infer(model, hostile(config), config)).all()


@pytest.mark.parametrize("builder", estimators.BUILDERS)
def test_a_constant_column_is_no_obstacle(
    builder: str, schema: Schema, rows: Rows, published: Callable[[str], Workspace]
) -> None:
    columns, labels = rows
    constant = columns | {"n2": np.full(len(labels), 3.0, dtype=np.float32)}
    config = published("mixed").config("forest")
    model = fitted(builder, schema, (constant, labels))
    assert np.isfinite(pickle.infer(model, hostile(config), config)).all()


def test_an_unknown_builder_lists_the_known_ones(schema: Schema) -> None:
    with pytest.raises(BadInput, match=r"builder 'boosting' is not known; .*random_forest, logistic_regression"):
        estimators.build("boosting", schema, {}, SEED)


@pytest.mark.parametrize("builder", estimators.BUILDERS)
@pytest.mark.parametrize("wrong", [{"no_such_argument": 1}, {"random_state": 5}])
def test_an_argument_that_the_estimator_does_not_take_is_refused(builder: str, wrong: dict[str, Any], schema: Schema) -> None:
    with pytest.raises(BadInput, match=f"hyperparameters of '{builder}'"):
        estimators.build(builder, schema, wrong, SEED)


@pytest.mark.parametrize(
    ("builder", "wrong"),
    [("random_forest", {"n_estimators": 0}), ("random_forest", {"max_depth": "deep"}), ("logistic_regression", {"C": -1.0})],
)
def test_a_value_that_the_estimator_does_not_take_is_refused(
    builder: str, wrong: dict[str, Any], schema: Schema, rows: Rows
) -> None:
    with pytest.raises(BadInput, match="the model cannot be fitted"):
        estimators.fit(estimators.build(builder, schema, wrong, SEED), *rows, 1)
