"""isoform.formats.attributes knows what options leave behind: an estimator fitted with one is read back and answers as it did."""

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
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
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
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

from isoform.formats import joblib, joblib_unpickling, pickle, policy, unpickling
from isoform.metadata import Config

ROWS = 120
NUMERIC, CATEGORICAL = ["n0", "n1", "n2"], ["c0", "c1"]
RNG = np.random.default_rng(7)
NUMBERS = RNG.normal(size=(ROWS, 3))
FRAME = pd.DataFrame(NUMBERS, columns=NUMERIC).assign(
    c0=RNG.choice(["a", "b", "c"], ROWS), c1=RNG.choice(["u", "v", "w", "x", "y"], ROWS, p=[0.45, 0.45, 0.05, 0.03, 0.02])
)
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
]
REGRESSORS = [
    ARDRegression(compute_score=True),
    BaggingRegressor(n_estimators=20, oob_score=True),
    BayesianRidge(compute_score=True),
    DummyRegressor(strategy="quantile", quantile=0.3),
    ElasticNetCV(l1_ratio=[0.2, 0.8], alphas=np.array([0.1, 1.0]), cv=3),
    ExtraTreesRegressor(n_estimators=30, bootstrap=True, oob_score=True, criterion="absolute_error"),
    GaussianProcessRegressor(ConstantKernel() * RBF(np.ones(10)) + WhiteKernel(), alpha=np.full(ROWS, 0.1), normalize_y=True),
    GradientBoostingRegressor(n_estimators=5, loss="huber", max_features=2),
    GradientBoostingRegressor(n_estimators=5, loss="quantile", subsample=0.5),
    HistGradientBoostingRegressor(max_iter=5, loss="quantile", quantile=0.2, early_stopping=True),
    HuberRegressor(alpha=0.1),
    KNeighborsRegressor(weights="distance", algorithm="kd_tree", leaf_size=5),
    Lars(n_nonzero_coefs=2, fit_path=False),
    LassoCV(alphas=np.array([0.1, 1.0]), cv=3),
    LassoLarsCV(cv=3),
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
    ColumnTransformer([("n", SimpleImputer(strategy="constant", fill_value=1.5), NUMERIC)], remainder="drop"),
    ColumnTransformer([("n", SimpleImputer(), NUMERIC), ("c", OrdinalEncoder(min_frequency=5, **NEW), CATEGORICAL)]),
    ColumnTransformer(
        [
            ("n", Pipeline([("f", SimpleImputer()), ("p", PCA(2, whiten=True)), ("q", PolynomialFeatures(2))]), NUMERIC),
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
    ColumnTransformer([("n", SimpleImputer(strategy="most_frequent"), NUMERIC), ("c", OneHotEncoder(drop="if_binary"), [])]),
]


def numbers() -> ColumnTransformer:
    """Return what most models of ours begin with: 10 or so columns."""
    gaps = Pipeline([("fill", SimpleImputer()), ("scale", StandardScaler())])
    return ColumnTransformer([("n", gaps, NUMERIC), ("c", OneHotEncoder(handle_unknown="ignore", max_categories=4), CATEGORICAL)])


def read_back(model: Pipeline, config: Config) -> None:
    """Fit, write and read a Pipeline in both formats, and compare what it answers."""
    with warnings.catch_warnings(action="ignore"):  # of what has not converged
        model.fit(FRAME, CLASSES if config.task == "classification" else TARGETS)
    for writer, unpickler in ((pickle, unpickling.Unpickler), (joblib, joblib_unpickling.JoblibUnpickler)):
        found: Any = policy.read(writer.dump(model), config, allow_version_skew=False, unpickler=unpickler)
        np.testing.assert_array_equal(found.predict(FRAME), model.predict(FRAME))


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=lambda estimator: type(estimator).__name__)
def test_a_classifier_with_options_is_read_back(estimator: Any) -> None:
    read_back(Pipeline([("columns", numbers()), ("model", estimator)]), CLASSIFICATION)


@pytest.mark.parametrize("estimator", REGRESSORS, ids=lambda estimator: type(estimator).__name__)
def test_a_regressor_with_options_is_read_back(estimator: Any) -> None:
    read_back(Pipeline([("columns", numbers()), ("model", estimator)]), REGRESSION)


@pytest.mark.parametrize("step", STEPS, ids=range(len(STEPS)))
def test_columns_with_options_are_read_back(step: Any) -> None:
    read_back(Pipeline([("columns", step), ("model", LINE)]), CLASSIFICATION)


def test_counts_are_read_back() -> None:
    scale = MinMaxScaler((0, 5), clip=True)
    model = Pipeline([("columns", numbers()), ("scale", scale), ("model", MultinomialNB(fit_prior=False))])
    read_back(model, CLASSIFICATION)
