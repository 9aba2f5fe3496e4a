"""What benchmarks/compatibility.py tries: every classifier and regressor of scikit-learn, and some of them in other ways.

A case is an entry of params.yaml. An estimator has its default arguments, except where it needs others to be fitted or to
give probabilities. Trees get ordinal codes, everything else scaled columns and one-hot codes.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from isoform.metadata import Task
from pipeline.params import Data

ROWS = 450
NUMERIC, CATEGORICAL = ["age", "income", "share", "visits"], ["colour", "town"]


def estimator(builder: str, **hyperparameters: Any) -> dict[str, Any]:
    """Return an estimator as params.yaml writes it, from its path without `sklearn.`."""
    return {"builder": f"sklearn.{builder}", "hyperparameters": hyperparameters}


def chain(*steps: dict[str, Any]) -> dict[str, Any]:
    """Return a Pipeline of estimators."""
    return estimator("pipeline.Pipeline", steps=[[f"step {i}", step] for i, step in enumerate(steps)])


LOGISTIC, RIDGE = estimator("linear_model.LogisticRegression"), estimator("linear_model.Ridge")
CLASSIFIERS = {"estimators": [["line", LOGISTIC], ["tree", estimator("tree.DecisionTreeClassifier", max_depth=4)]]}
REGRESSORS = {"estimators": [["line", RIDGE], ["tree", estimator("tree.DecisionTreeRegressor", max_depth=4)]]}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "CCA": {"n_components": 1},
    "ClassifierChain": {"estimator": LOGISTIC},
    "FixedThresholdClassifier": {"estimator": LOGISTIC},
    "MLPClassifier": {"hidden_layer_sizes": [20], "max_iter": 300},
    "MLPRegressor": {"hidden_layer_sizes": [20], "max_iter": 300},
    "MultiOutputClassifier": {"estimator": LOGISTIC},
    "MultiOutputRegressor": {"estimator": RIDGE},
    "NuSVC": {"probability": True},
    "OneVsOneClassifier": {"estimator": LOGISTIC},
    "OneVsRestClassifier": {"estimator": LOGISTIC},
    "OutputCodeClassifier": {"estimator": LOGISTIC},
    "PLSCanonical": {"n_components": 1},
    "QuadraticDiscriminantAnalysis": {"reg_param": 0.1},
    "RadiusNeighborsClassifier": {"radius": 5.0, "outlier_label": "most_frequent"},
    "RadiusNeighborsRegressor": {"radius": 5.0},
    "RegressorChain": {"estimator": RIDGE},
    "SGDClassifier": {"loss": "log_loss"},
    "SVC": {"probability": True},
    "SelfTrainingClassifier": {"estimator": LOGISTIC},
    "StackingClassifier": CLASSIFIERS,
    "StackingRegressor": REGRESSORS,
    "TransformedTargetRegressor": {"regressor": RIDGE},
    "TunedThresholdClassifierCV": {"estimator": LOGISTIC},
    "VotingClassifier": {"voting": "soft", **CLASSIFIERS},
    "VotingRegressor": REGRESSORS,
}
"""What an estimator needs beside its defaults."""
GRID, POSITIVE = {"param_grid": {"C": [0.1, 1.0, 10.0]}}, estimator("preprocessing.MinMaxScaler", clip=True)
OF_TREES = ("Tree", "Forest", "Boost", "Bagging")
CALIBRATED, HISTOGRAM = "calibration.CalibratedClassifierCV", "ensemble.HistGradientBoosting"
VARIANTS: list[tuple[str, Task, dict[str, Any]]] = [
    ("isotonic calibration", "classification", estimator(CALIBRATED, method="isotonic", estimator=LOGISTIC)),
    ("temperature scaling", "classification", estimator(CALIBRATED, method="temperature", estimator=LOGISTIC)),
    ("calibrated SVC", "classification", estimator(CALIBRATED, estimator=estimator("svm.SVC"), ensemble=False)),
    ("calibrated RidgeClassifier", "classification", estimator(CALIBRATED, estimator=estimator("linear_model.RidgeClassifier"))),
    ("boosted lines", "classification", estimator("ensemble.AdaBoostClassifier", estimator=LOGISTIC)),
    ("bagged lines", "classification", estimator("ensemble.BaggingClassifier", estimator=LOGISTIC)),
    ("neighbours by distance", "classification", estimator("neighbors.KNeighborsClassifier", weights="distance")),
    ("searched logistic regression", "classification", estimator("model_selection.GridSearchCV", estimator=LOGISTIC, **GRID)),
    ("principal components", "classification", chain(estimator("decomposition.PCA", n_components=5), LOGISTIC)),
    ("counts of naive Bayes", "classification", chain(POSITIVE, estimator("naive_bayes.MultinomialNB"))),
    ("histogram boosting, Poisson", "regression", estimator(f"{HISTOGRAM}Regressor", loss="poisson")),
    ("histogram boosting, gamma", "regression", estimator(f"{HISTOGRAM}Regressor", loss="gamma")),
    ("histogram boosting, quantile", "regression", estimator(f"{HISTOGRAM}Regressor", loss="quantile", quantile=0.9)),
    ("squared terms", "regression", chain(estimator("preprocessing.PolynomialFeatures"), RIDGE)),
]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One row of the document."""

    section: str
    name: str
    task: Task
    classes: int
    entry: dict[str, Any]
    """builder, preprocessing and hyperparameters."""


def cases() -> Iterator[Case]:
    """Yield every case, section by section."""
    from sklearn.utils import all_estimators

    kinds: list[tuple[str, str, Task, int]] = [
        ("Classifiers, two classes", "classifier", "classification", 2),
        ("Classifiers, three classes", "classifier", "classification", 3),
        ("Regressors", "regressor", "regression", 0),
    ]
    for section, kind, task, classes in kinds:
        for name, found in all_estimators(type_filter=kind):
            package = ".".join(itertools.takewhile(lambda part: part[0] != "_", found.__module__.split(".")))
            entry = {"builder": f"{package}.{name}", "hyperparameters": ARGUMENTS.get(name, {})}
            entry["preprocessing"] = "ordinal" if any(word in name for word in OF_TREES) else "onehot"
            yield Case(section=section, name=name, task=task, classes=classes, entry=entry)
    for name, task, made in VARIANTS:
        entry = made | {"preprocessing": "ordinal" if HISTOGRAM in made["builder"] else "onehot"}
        yield Case(section="In other ways", name=name, task=task, classes=0 if task == "regression" else 3, entry=entry)


def table(case: Case) -> tuple[dict[str, np.ndarray], np.ndarray, Data]:
    """Return a small seeded table: numbers and texts with gaps, and a target that they explain in part, above 0."""
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(ROWS, len(NUMERIC))) * [12.0, 3e4, 0.1, 2.0] + [40.0, 5e4, 0.5, 3.0]
    columns: dict[str, np.ndarray] = {
        "colour": rng.choice(["red", "green", "blue", ""], size=ROWS).astype(object),
        "town": rng.choice(["Brno", "Łódź", "São Paulo", "Ústí", ""], p=[0.4, 0.3, 0.2, 0.05, 0.05], size=ROWS).astype(object),
    }
    score = (numbers[:, 0] - 40) / 12 + (numbers[:, 3] > 3) + 1.5 * (columns["colour"] == "red") + rng.normal(size=ROWS) * 0.4
    numbers[rng.random(numbers.shape) < 0.08] = np.nan
    columns = {name: numbers[:, i].astype(np.float32) for i, name in enumerate(NUMERIC)} | columns
    if case.task == "regression":
        target = np.exp(score / 2) + 0.5
    else:
        bounds = np.quantile(score, np.arange(1, case.classes) / case.classes)
        target = np.array(["high", "low", "middle"], dtype=object)[np.digitize(score, bounds)]
    data = Data(
        source="made up", task=case.task, target="y", rows=0, test_share=1 / 3, numeric=NUMERIC, categorical=CATEGORICAL
    )  # fmt: skip
    return columns, target, data
