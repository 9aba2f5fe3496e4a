"""The scikit-learn models: params.yaml names an estimator, `build` puts the preprocessing in front, `fit` fits both.

Any class that keeps to scikit-learn's interface will do, as itself or inside another: a mapping with `builder` and,
if need be, `hyperparameters` stands for an estimator wherever a hyperparameter may be one.
All arithmetic before the estimator is float32, as in the exported graph: a value must not move across a
tree's threshold because two formats round it differently.
"""

import pkgutil
import warnings
from collections.abc import Mapping
from typing import Any

import joblib
import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.utils import get_tags

from isoform.errors import BadInput, first_line
from isoform.metadata import Task
from isoform.rows import Columns
from pipeline.datasets import Schema
from pipeline.params import PATH, SklearnModel


def build(name: str, model: SklearnModel, schema: Schema, seed: int) -> Pipeline:
    """Return the unfitted Pipeline of model `name`, from raw columns to classes or to a number.

    Raises `BadInput` naming the key of params.yaml: for a path that leads to no estimator, for arguments that it does
    not take, and for an estimator that does another task than `data.task` or gives no probabilities.
    """
    key = f"models.sklearn.{name}"
    estimator = _instantiate(model.builder, model.hyperparameters, seed, key)
    _expect_task(estimator, schema.task, key)
    # A stacking without a final estimator gets one that has probabilities, when it is fitted.
    if schema.task == "classification" and getattr(estimator, "final_estimator", estimator) is not None:
        _expect_probabilities(estimator, key)
    numeric, categorical = ordinal() if model.preprocessing == "ordinal" else onehot(sparse=_sums_columns(estimator))
    parts = [("numeric", numeric, schema.numeric), ("categorical", categorical, schema.categorical)]
    columns = ColumnTransformer([part for part in parts if part[2]])
    return Pipeline([("columns", columns), ("model", estimator)])


def fit(name: str, pipeline: Pipeline, columns: Columns, targets: np.ndarray, jobs: int = -1) -> Pipeline:
    """Fit the Pipeline of model `name` on `jobs` threads (-1 is one a core) and return it set to answer on one.

    The number of threads does not change what is fitted, because each part of an ensemble has a seed of its own, and
    is not stored, because it is no parameter of the estimator. Answering is another matter: a forest's trees are added
    up in the order in which threads finish, and only one thread has no noise.
    Raises `BadInput` for what the estimator refuses.
    """
    import pandas as pd

    estimator, key = pipeline[-1], f"models.sklearn.{name}"
    # What does not ask for threads itself gets none: a kernel that is computed in parts rounds by their number.
    threads = jobs if "n_jobs" in estimator.get_params(deep=False) else 1
    try:
        # scikit-learn's threads replace the warning filters of the process, and leave each other's: ours come back.
        with warnings.catch_warnings(), joblib.parallel_config(backend="threading", n_jobs=threads):
            pipeline.fit(pd.DataFrame(columns), targets)
    except Exception as error:  # estimators raise whatever their arithmetic raises
        title = f"{key}: {type(estimator).__name__} cannot be fitted ({first_line(error)})"
        raise BadInput(PATH, title, "correct its hyperparameters, or choose another") from error
    if hasattr(estimator, "best_estimator_"):
        # A search also remembers how many seconds it took, so its bytes differ each time; what it found is the model.
        estimator = estimator.best_estimator_
        pipeline.steps[-1] = ("model", estimator)
    if is_classifier(estimator):
        _expect_probabilities(estimator, key)
    if "n_jobs" in estimator.get_params(deep=False) and not isinstance(estimator, LogisticRegression):  # which ignores it
        estimator.set_params(n_jobs=1)
    return pipeline


def ordinal() -> tuple[Any, Any]:
    """Median imputation; ordinal codes, unknown is -1. For trees, which ask only whether a number is larger."""
    return _impute(), OrdinalEncoder(dtype=np.float32, handle_unknown="use_encoded_value", unknown_value=-1)


def onehot(*, sparse: bool) -> tuple[Any, Any]:
    """Median imputation and scaling; one-hot codes, unknown is all zeros. For what adds columns or measures distances.

    Values are clipped to the range of the training rows before they are standardised, so that no number,
    however large, overflows the sum.
    """
    scale = make_pipeline(_impute(), MinMaxScaler(clip=True), StandardScaler())
    return scale, OneHotEncoder(dtype=np.float32, handle_unknown="ignore", sparse_output=sparse)


def _sums_columns(estimator: Any) -> bool:
    """Tell whether one-hot codes may stay sparse: some estimators refuse that, others keep them, which skl2onnx refuses."""
    return type(estimator).__module__.startswith("sklearn.linear_model.") and get_tags(estimator).input_tags.sparse


def _impute() -> SimpleImputer:
    # keep_empty_features: a column that is missing in every training row becomes zeros instead of vanishing.
    return SimpleImputer(strategy="median", keep_empty_features=True)


def _instantiate(builder: str, hyperparameters: Mapping[str, Any], seed: int, key: str) -> Any:
    """Return the estimator at the import path `builder`, seeded; `key` is where it stands in params.yaml."""
    made = _class_at(builder, f"{key}.builder")
    arguments = {name: _value(value, seed, f"{key}.hyperparameters.{name}") for name, value in hyperparameters.items()}
    try:
        estimator = made(**arguments)
    except (TypeError, ValueError) as error:
        raise BadInput(PATH, f"{key}.hyperparameters: {first_line(error)}", "correct them") from None
    have = estimator.get_params(deep=False)
    if "random_state" in have and have["random_state"] is None:
        estimator.set_params(random_state=seed)
    if have.get("n_jobs") is not None:
        estimator.set_params(n_jobs=None)  # `fit` decides, and the file must not remember
    return estimator


def _class_at(path: str, key: str) -> Any:
    action = "give the import path of an estimator, such as sklearn.ensemble.RandomForestClassifier"
    try:
        found = pkgutil.resolve_name(path)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise BadInput(PATH, f"{key} is '{path}', which cannot be imported ({first_line(error)})", action) from None
    if not isinstance(found, type) or not hasattr(found, "get_params"):
        raise BadInput(PATH, f"{key} is '{path}', which is no estimator", action)
    return found


def _value(value: Any, seed: int, key: str) -> Any:
    """Return a hyperparameter with every mapping that has a `builder` replaced by its estimator."""
    if isinstance(value, Mapping):
        if "builder" not in value:
            return {name: _value(inner, seed, f"{key}.{name}") for name, inner in value.items()}
        arguments = value.get("hyperparameters", {})
        if value.keys() - {"builder", "hyperparameters"} or not isinstance(arguments, Mapping):
            raise BadInput(PATH, f"{key} is no estimator", "give it a builder and a mapping of hyperparameters, and no other key")
        return _instantiate(value["builder"], arguments, seed, key)
    if isinstance(value, list):
        return [_value(inner, seed, f"{key}.{position}") for position, inner in enumerate(value)]
    return value


def _expect_task(estimator: Any, task: Task, key: str) -> None:
    title = f"{key}.builder is {type(estimator).__name__}"
    kind, is_kind = {"classification": ("classifier", is_classifier), "regression": ("regressor", is_regressor)}[task]
    try:
        fits = is_kind(estimator)
    except (AttributeError, TypeError) as error:
        reason = f"{title}, of which scikit-learn cannot tell what it is ({first_line(error)[:200]})"
        raise BadInput(PATH, reason, f"give a {kind}; one inside another is a mapping with builder") from None
    if not fits:
        raise BadInput(PATH, f"{title}, which is no {kind}, and data.task is {task}", f"choose a {kind}")


def _expect_probabilities(estimator: Any, key: str) -> None:
    if not hasattr(estimator, "predict_proba"):
        reason = f"{key}.builder is {type(estimator).__name__}, which gives no probabilities with these hyperparameters"
        action = "wrap it in sklearn.calibration.CalibratedClassifierCV or choose another"
        raise BadInput(PATH, reason, action)
