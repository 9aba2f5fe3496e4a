"""isoform.formats.attributes: what options leave behind is read back, and no attribute is listed that nothing leaves behind."""

import copy
import functools
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    ARDRegression,
    BayesianRidge,
    ElasticNetCV,
    HuberRegressor,
    Lars,
    LassoCV,
    LassoLarsCV,
    LassoLarsIC,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    PassiveAggressiveRegressor,
    RANSACRegressor,
    Ridge,
    RidgeCV,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, RadiusNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, OrdinalEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier

from isoform.formats import attributes, joblib, joblib_unpickling, ledger, pickle, policy, unpickling
from isoform.metadata import Config

ROWS = 120
NUMERIC, CATEGORICAL = ["n0", "n1", "n2"], ["c0", "c1"]
RNG = np.random.default_rng(7)
NUMBERS = RNG.normal(size=(ROWS, 3))
FRAME = pd.DataFrame(NUMBERS, columns=NUMERIC).assign(
    c0=RNG.choice(["a", "b", "c"], ROWS), c1=RNG.choice(["u", "v", "w", "x", "y"], ROWS, p=[0.45, 0.45, 0.05, 0.03, 0.02])
)
FRAME.loc[::10, "n2"] = np.nan
TARGETS = NUMBERS @ [1.0, -2.0, 0.5] + RNG.normal(scale=0.3, size=ROWS)
CLASSES = (TARGETS > 0).astype(int)
CLASSIFICATION = Config(
    model_name="options",
    task="classification",
    builder="",
    hyperparameters={},
    numeric=NUMERIC,
    categorical=CATEGORICAL,
    categories={},
    classes=[0, 1],
    network=None,
)
REGRESSION = replace(CLASSIFICATION, task="regression", classes=[])
LINE, TREE = LogisticRegression(), DecisionTreeClassifier(max_depth=2)
FIRST_TWO = Pipeline([("columns", ColumnTransformer([("n", StandardScaler(), [0, 1])])), ("model", LINE)])

CLASSIFIERS = [
    AdaBoostClassifier(TREE, n_estimators=3),
    BaggingClassifier(TREE, n_estimators=20, oob_score=True, max_features=0.8),
    BernoulliNB(class_prior=np.array([0.4, 0.6])),
    CalibratedClassifierCV(TREE, method="isotonic", cv=3),
    DecisionTreeClassifier(class_weight={0: 1.0, 1: 2.0}, max_leaf_nodes=5, ccp_alpha=0.01),
    GaussianNB(priors=np.array([0.4, 0.6])),
    GradientBoostingClassifier(n_estimators=20, subsample=0.5, n_iter_no_change=2, init="zero"),
    HistGradientBoostingClassifier(max_iter=5, early_stopping=True, class_weight="balanced", interaction_cst=[[0, 1], [2]]),
    HistGradientBoostingClassifier(max_iter=5, monotonic_cst=np.array([1, 0, 0] + 7 * [0])),
    KNeighborsClassifier(weights="distance", algorithm="brute", p=1),
    LinearDiscriminantAnalysis(store_covariance=True, priors=np.array([0.4, 0.6])),
    LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
    LogisticRegression(class_weight={0: 1.0, 1: 2.0}, solver="liblinear"),
    LogisticRegressionCV(Cs=np.array([0.1, 1.0]), cv=3, l1_ratios=(0.0, 0.5), solver="saga", use_legacy_attributes=True),
    LogisticRegressionCV(Cs=3, cv=3, l1_ratios=(0.0,), use_legacy_attributes=False),
    MLPClassifier((5, 4), max_iter=20, early_stopping=True),
    MLPClassifier((5,), max_iter=20, solver="sgd", learning_rate="adaptive"),
    MLPClassifier(np.array([5]), max_iter=20, solver="lbfgs"),
    QuadraticDiscriminantAnalysis(store_covariance=True, reg_param=0.5),
    RadiusNeighborsClassifier(radius=9.0, outlier_label="most_frequent"),
    RandomForestClassifier(n_estimators=30, oob_score=True, class_weight="balanced_subsample", max_samples=0.5),
    RandomForestClassifier(n_estimators=5, monotonic_cst=np.array([1, 0, 0] + 7 * [0]), criterion="entropy"),
    SGDClassifier("log_loss", average=True, early_stopping=True, class_weight="balanced"),
    StackingClassifier([("a", TREE), ("b", LINE)], TREE, cv=3, passthrough=True),
    TunedThresholdClassifierCV(LINE, store_cv_results=True, cv=3, thresholds=np.linspace(0.2, 0.8, 5)),
    CalibratedClassifierCV(SVC(class_weight="balanced", kernel="poly"), cv=2),
    VotingClassifier([("a", TREE), ("b", LINE)], voting="soft", weights=np.array([1.0, 2.0])),
    VotingClassifier([("a", FIRST_TWO)], voting="soft", weights=[1.0]),
    BaggingClassifier(FIRST_TWO, n_estimators=2),
]
with warnings.catch_warnings(action="ignore"):  # of scikit-learn's, that it goes with 1.10
    DEPRECATED = PassiveAggressiveRegressor(max_iter=20)
REGRESSORS = [
    DEPRECATED,
    ARDRegression(compute_score=True),
    BaggingRegressor(n_estimators=20, oob_score=True),
    BayesianRidge(compute_score=True),
    DummyRegressor(strategy="quantile", quantile=0.3),
    ElasticNetCV(l1_ratio=[0.2, 0.8], alphas=4, cv=3),
    ExtraTreesRegressor(n_estimators=30, bootstrap=True, oob_score=True, criterion="absolute_error"),
    GaussianProcessRegressor(
        ConstantKernel() * RBF([1.0] * 10, np.tile([0.1, 9.0], (10, 1))) + WhiteKernel(),
        alpha=np.full(ROWS, 0.1),
        normalize_y=True,
    ),
    GradientBoostingRegressor(n_estimators=5, loss="huber", max_features=2),
    GradientBoostingRegressor(n_estimators=5, loss="quantile", subsample=0.5),
    HistGradientBoostingRegressor(max_iter=5, loss="quantile", quantile=0.2, early_stopping=True),
    GaussianProcessRegressor(alpha=0.5),
    HuberRegressor(alpha=0.1),
    KNeighborsRegressor(weights="distance", algorithm="kd_tree", leaf_size=5),
    Lars(n_nonzero_coefs=2, fit_path=False),
    LassoCV(alphas=np.array([0.1, 1.0]), cv=3),
    LassoLarsCV(cv=3),
    LassoLarsIC(),
    LinearRegression(positive=True),
    MLPRegressor(hidden_layer_sizes=(4,), max_iter=20, early_stopping=True),
    PLSRegression(2),
    RANSACRegressor(min_samples=0.5),
    RandomForestRegressor(n_estimators=30, oob_score=True, max_features=2),
    Ridge(alpha=np.array([0.5])),
    RidgeCV(alphas=np.array([0.1, 1.0]), store_cv_results=True),
    SGDRegressor(average=5, early_stopping=True),
    SVR(kernel="sigmoid"),
]
NEW = {"handle_unknown": "use_encoded_value", "unknown_value": -1}
STEPS = [
    ColumnTransformer([("n", SimpleImputer(strategy="constant", fill_value=1.5), slice(0, 3))], remainder="drop"),
    ColumnTransformer(
        [
            ("n", SimpleImputer(), NUMERIC),
            ("c", OrdinalEncoder(min_frequency=5, **NEW).set_output(transform="default"), CATEGORICAL),
        ]
    ),
    ColumnTransformer(
        [
            (
                "n",
                Pipeline(
                    [("s", StandardScaler()), ("f", SimpleImputer()), ("p", PCA(2, whiten=True)), ("q", PolynomialFeatures(2))]
                ),
                NUMERIC,
            ),
            ("c", OneHotEncoder(min_frequency=5, handle_unknown="infrequent_if_exist"), CATEGORICAL),
        ]
    ),
    ColumnTransformer(
        [
            ("n", SimpleImputer(strategy="median", keep_empty_features=True), NUMERIC),
            ("o", OrdinalEncoder(encoded_missing_value=-2, **NEW), ["c0"]),
            ("h", OneHotEncoder(categories=[np.array(["u", "v", "w", "x", "y"])], handle_unknown="ignore"), ["c1"]),
        ]
    ),
    ColumnTransformer([("n", SimpleImputer(strategy="most_frequent"), NUMERIC), ("c", OneHotEncoder(), [])]),
    ColumnTransformer([("n", SimpleImputer(), np.array(NUMERIC, dtype=object))], transformer_weights={"n": 0.5}),
]
POSITIVE = MinMaxScaler((0, 5), clip=True)
SPARE = {
    # Tables, of three classes or more.
    "_average_coef",
    "_standard_coef",
    # So that native.py says what is wrong with them.
    "_drop_idx_after_grouping",
    "drop_idx_",
}
"""What may hold an array, or one of so many dimensions, and is not seen to here."""


def numbers() -> ColumnTransformer:
    """Return what most models of ours begin with: 10 or so columns."""
    gaps = Pipeline([("fill", SimpleImputer()), ("scale", StandardScaler())])
    return ColumnTransformer([("n", gaps, NUMERIC), ("c", OneHotEncoder(handle_unknown="ignore", max_categories=4), CATEGORICAL)])


MODELS = {
    **{
        f"{type(estimator).__name__} {at}": (Pipeline([("columns", numbers()), ("model", estimator)]), config)
        for estimators, config in ((CLASSIFIERS, CLASSIFICATION), (REGRESSORS, REGRESSION))
        for at, estimator in enumerate(estimators)
    },
    **{f"columns {at}": (Pipeline([("columns", step), ("model", LINE)]), CLASSIFICATION) for at, step in enumerate(STEPS)},
    "counts": (Pipeline([("columns", numbers()), ("scale", POSITIVE), ("model", MultinomialNB())]), CLASSIFICATION),
}


@functools.cache
def fitted(name: str) -> Pipeline:
    """Return a model of `MODELS`, fitted; not to be changed."""
    model, config = MODELS[name]
    with warnings.catch_warnings(action="ignore"):  # of what has not converged
        return model.fit(FRAME, CLASSES if config.task == "classification" else TARGETS)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_with_options_is_read_back(name: str) -> None:
    model, config = fitted(name), MODELS[name][1]
    for writer, unpickler in ((pickle, unpickling.Unpickler), (joblib, joblib_unpickling.JoblibUnpickler)):
        found: Any = policy.read(writer.dump(model), config, allow_version_skew=False, unpickler=unpickler)
        np.testing.assert_array_equal(found.predict(FRAME), model.predict(FRAME))
        if config.task == "classification":
            np.testing.assert_array_equal(found.predict_proba(FRAME), model.predict_proba(FRAME))


STUMPS = GradientBoostingClassifier(n_estimators=60, max_depth=1)
BASE = DecisionTreeClassifier(max_depth=2)
LARGE = {
    "many small trees": GradientBoostingClassifier(n_estimators=1000, max_depth=1),
    "many small histogram trees": HistGradientBoostingClassifier(max_iter=100, max_leaf_nodes=2),
    "calibrated bags of boosted trees": CalibratedClassifierCV(BaggingClassifier(STUMPS, n_estimators=4), cv=3),
    "votes of calibrated bags": VotingClassifier(
        [("a", CalibratedClassifierCV(BaggingClassifier(HistGradientBoostingClassifier(max_iter=20), n_estimators=4), cv=2))],
        voting="soft",
    ),
    "stacked bags of one kind": StackingClassifier(
        [("a", BaggingClassifier(BASE, n_estimators=3)), ("b", BaggingClassifier(BASE, n_estimators=3))], LINE, cv="prefit"
    ),
}


@pytest.mark.parametrize("name", LARGE)
def test_what_ensembles_share_is_within_the_limits_of_any_large_file(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "SPARE_BYTES", 0)
    monkeypatch.setattr(ledger, "SPARE_COPIES", 1 << 20)  # of which a random state takes a sixteenth
    cells = numbers().fit(FRAME)
    model = clone(LARGE[name])
    if getattr(model, "cv", None) == "prefit":
        model.estimators = [(one, part.fit(cells.transform(FRAME), CLASSES)) for one, part in model.estimators]
    found = Pipeline([("columns", cells), ("model", model.fit(cells.transform(FRAME), CLASSES))])
    for writer, unpickler in ((pickle, unpickling.Unpickler), (joblib, joblib_unpickling.JoblibUnpickler)):
        policy.read(writer.dump(found), CLASSIFICATION, allow_version_skew=False, unpickler=unpickler)


def test_a_small_tree_behind_many_short_categories_is_read() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    texts = [a + b + c for a in letters for b in letters for c in letters]
    table = pd.DataFrame(
        {name: FRAME[name].iloc[np.arange(len(texts)) % len(FRAME)].to_numpy() for name in FRAME} | {"c0": texts}
    )
    codes = OneHotEncoder(handle_unknown="ignore")
    columns = ColumnTransformer([("n", SimpleImputer(), NUMERIC), ("c", codes, ["c0"]), ("d", clone(codes), ["c1"])])
    model = Pipeline([("columns", columns), ("m", BASE)])
    model.fit(table, np.arange(len(texts)) % 2)
    policy.read(pickle.dump(model), CLASSIFICATION, allow_version_skew=False, unpickler=unpickling.Unpickler)


def arrays_in(part: Any, seen: dict[int, Any]) -> Iterator[tuple[str, int]]:
    """Yield the name and the dimensions of each array that is an attribute of an object in `part`, or stands in a list there."""
    if id(part) in seen:
        return
    seen[id(part)] = part
    if isinstance(part, np.ndarray) and part.dtype == object:
        part = part.ravel().tolist()
    if isinstance(part, list | tuple | dict):
        for one in attributes.parts_of(part):
            yield from arrays_in(one, seen)
    elif not isinstance(part, type):
        for name, value in getattr(part, "__dict__", {}).items():
            yield from ((name, one.ndim) for one in attributes.parts_of(value) if isinstance(one, np.ndarray))
            yield from arrays_in(value, seen)


def test_no_attribute_is_listed_that_holds_no_array() -> None:
    found: dict[str, int] = {}
    for name in MODELS:
        for attribute, dimensions in arrays_in(fitted(name), {}):
            found[attribute] = max(found.get(attribute, 0), dimensions)
    missing = {name for name, limit in attributes.DIMENSIONS.items() if found.get(name, 0) < limit}
    assert missing == SPARE


def test_a_division_by_zero_on_the_way_to_an_answer_is_not_told() -> None:
    model = copy.deepcopy(fitted(next(name for name in MODELS if name.startswith("GaussianNB"))))
    model[-1].class_prior_ = np.array([0.0, 1.0])
    with pytest.raises(RuntimeWarning, match="divide by zero"):
        model.predict_proba(FRAME)
    found = policy.read(pickle.dump(model), CLASSIFICATION, allow_version_skew=False, unpickler=unpickling.Unpickler)
    cells = {name: FRAME[name].to_numpy(np.float32) for name in NUMERIC} | {
        name: FRAME[name].to_numpy(object) for name in CATEGORICAL
    }
    np.testing.assert_array_equal(pickle.infer(found, cells, CLASSIFICATION)[:, 1], 1.0)


def test_lists_are_of_what_holds_arrays() -> None:
    assert attributes.DIMENSIONS.keys() >= attributes.LISTS
