"""The scikit-learn models: a builder turns hyperparameters into an unfitted Pipeline from raw columns to classes.

A new model of a known kind is an entry in params.yaml; a new kind is one function here and its line in BUILDERS.
All arithmetic before the estimator is float32, as in the exported graph: a value must not move across a
tree's threshold because two formats round it differently.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, StandardScaler

from isoform.errors import BadInput
from isoform.rows import Columns
from pipeline.datasets import Schema


def random_forest(schema: Schema, hyperparameters: Mapping[str, Any], seed: int) -> Pipeline:
    """Median imputation, ordinal codes (unknown is -1), forest."""
    encode = OrdinalEncoder(dtype=np.float32, handle_unknown="use_encoded_value", unknown_value=-1)
    forest = RandomForestClassifier(random_state=seed, **hyperparameters)
    return _assemble(schema, _impute(), encode, forest)


def logistic_regression(schema: Schema, hyperparameters: Mapping[str, Any], seed: int) -> Pipeline:
    """Median imputation, scaling, one-hot codes (unknown is all zeros), logistic regression.

    Values are clipped to the range of the training rows before they are standardised, so that no number,
    however large, overflows the sum.
    """
    scale = make_pipeline(_impute(), MinMaxScaler(clip=True), StandardScaler())
    encode = OneHotEncoder(dtype=np.float32, handle_unknown="ignore")
    return _assemble(schema, scale, encode, LogisticRegression(random_state=seed, **hyperparameters))


BUILDERS: dict[str, Callable[[Schema, Mapping[str, Any], int], Pipeline]] = {
    "random_forest": random_forest,
    "logistic_regression": logistic_regression,
}


def build(builder: str, schema: Schema, hyperparameters: Mapping[str, Any], seed: int) -> Pipeline:
    """Return the unfitted Pipeline; raises `BadInput` for an unknown builder or argument."""
    if builder not in BUILDERS:
        raise BadInput("params.yaml", f"builder '{builder}' is not known", f"pipeline/estimators.py has: {', '.join(BUILDERS)}")
    try:
        return BUILDERS[builder](schema, hyperparameters, seed)
    except TypeError as error:
        raise BadInput("params.yaml", f"hyperparameters of '{builder}': {error}", "correct them") from None


def fit(pipeline: Pipeline, columns: Columns, labels: np.ndarray, jobs: int = -1) -> Pipeline:
    """Fit on `jobs` cores (-1 is every one) and return the Pipeline set to answer on one.

    Each tree of a forest has a seed of its own, so the number of cores does not change it. Answering is another
    matter: the trees are added up in the order in which threads finish, and only one thread has no noise.
    Raises `BadInput` for a hyperparameter that the estimator refuses.
    """
    import pandas as pd

    estimator = pipeline[-1]
    threaded = "n_jobs" in estimator.get_params() and not isinstance(estimator, LogisticRegression)
    if threaded:
        estimator.set_params(n_jobs=jobs)
    try:
        pipeline.fit(pd.DataFrame(columns), labels)
    except ValueError as error:
        raise BadInput("params.yaml", f"the model cannot be fitted ({error})", "correct its hyperparameters") from None
    if threaded:
        estimator.set_params(n_jobs=1)
    return pipeline


def _impute() -> SimpleImputer:
    # keep_empty_features: a column that is missing in every training row becomes zeros instead of vanishing.
    return SimpleImputer(strategy="median", keep_empty_features=True)


def _assemble(schema: Schema, numeric: Any, categorical: Any, estimator: Any) -> Pipeline:
    parts = [("numeric", numeric, schema.numeric), ("categorical", categorical, schema.categorical)]
    columns = ColumnTransformer([part for part in parts if part[2]])
    return Pipeline([("columns", columns), ("model", estimator)])
