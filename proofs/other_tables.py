"""The tables of `make tables`: what each holds, and the edit of params.yaml that makes the pipeline its own.

Four are those that scikit-learn ships. Two are made: one of gaps, odd names and few rows of a class, one of text alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SMALL: dict[str, Any] = {
    "data.rows": 0,
    "evaluation.bootstrap": 100,
    "evaluation.parity_rows": 32,
    "models.sklearn.pipeline_rf.hyperparameters": {"n_estimators": 30, "min_samples_leaf": 2},
    "models.torch.simple_classifier.hyperparameters.network.hidden": 32,
    "models.torch.simple_classifier.hyperparameters.training": {
        "epochs": 20,
        "batch_size": 32,
        "learning_rate": 0.01,
        "weight_decay": 0.01,
        "learning_rate_decay": 0.9,
        "checkpoint_every_steps": 100,
    },
}
"""What all of them set: the default models, sized for some hundred rows."""
ORDERS = 600


@dataclass(frozen=True)
class Table:
    """A file under data/raw and the keys of params.yaml that differ from the default's."""

    name: str
    file: str
    make: Callable[[], pd.DataFrame]
    params: dict[str, Any]

    def write(self, path: Path) -> None:
        """Write the table as its suffix says."""
        path.parent.mkdir(parents=True, exist_ok=True)
        table = self.make()
        table.to_parquet(path, index=False) if path.suffix == ".parquet" else table.to_csv(path, index=False)


def shipped(name: str) -> pd.DataFrame:
    """Return a table that scikit-learn ships, its target as numbers in the column `target`."""
    from sklearn import datasets

    frame: pd.DataFrame = getattr(datasets, f"load_{name}")(as_frame=True).frame
    return frame


def iris() -> pd.DataFrame:
    """Names with spaces and brackets; three classes of text."""
    frame = shipped("iris")
    return frame.assign(target=np.array(["setosa", "versicolor", "virginica"])[frame["target"]])


def breast_cancer() -> pd.DataFrame:
    """A boolean target."""
    frame = shipped("breast_cancer")
    return frame.assign(benign=frame.pop("target") == 1)


def orders() -> pd.DataFrame:
    """Numbers with gaps and text, names that meet operators and quotes, a constant column, and 3 rows of one class."""
    rng = np.random.default_rng(0)
    paid = rng.gamma(2, 40, ORDERS).round(2)
    weight = np.where(rng.random(ORDERS) < 0.2, np.nan, rng.normal(5, 2, ORDERS).round(3))
    town = rng.choice(["Łódź", "São Paulo", "東京", 'a "quoted", town', ""], ORDERS)
    gift = rng.choice(["yes", "no", ""], ORDERS, p=[0.2, 0.7, 0.1])
    score = paid / 40 + (town == "Łódź") * 2 - (gift == "yes") + rng.normal(0, 0.5, ORDERS)
    verdict = np.select([score < 1.5, score < 3], ["keep", "ask again"], "return").astype(object)
    verdict[:3] = "lost"
    return pd.DataFrame(
        {
            "mean": paid,
            "weight (kg)": weight,
            "cat": town,
            'gift, "wrapped"?': gift,
            "größe": rng.integers(1, 5, ORDERS),
            "always": 7,
            "order": [f"A-{i:05}" for i in range(ORDERS)],
            "verdict": verdict,
        }
    )


def words() -> pd.DataFrame:
    """Text columns alone; twenty integer classes."""
    rng = np.random.default_rng(1)
    classes = np.arange(ORDERS) % 20
    first = np.array(list("abcde"))[np.where(rng.random(ORDERS) < 0.9, classes % 5, rng.integers(0, 5, ORDERS))]
    second = np.array(list("wxyz"))[np.where(rng.random(ORDERS) < 0.9, classes // 5, rng.integers(0, 4, ORDERS))]
    return pd.DataFrame({"first": first, "second": second, "noise": rng.choice(list("0123456789"), ORDERS), "group": classes})


def data(frame_of: Callable[[], pd.DataFrame], target: str, **changes: Any) -> dict[str, Any]:
    """Return the keys of section `data` for a table whose other columns are all numeric, but for `changes`."""
    columns = {"numeric": [name for name in frame_of().columns if name != target], "categorical": [], **changes}
    return {"data.task": "classification", "data.target": target, **{f"data.{key}": value for key, value in columns.items()}}


def added(name: str, builder: str, preprocessing: str, **hyperparameters: Any) -> dict[str, Any]:
    """Return the keys of a further scikit-learn model."""
    version = {"version": "1.0.0", "created_at": "2026-11-24T00:00:00Z"}
    entry = {"builder": builder, "preprocessing": preprocessing, "hyperparameters": hyperparameters}
    return {f"models.sklearn.{name}": version | entry}


def digits() -> pd.DataFrame:
    """Ten integer classes, 64 numeric columns of which some are constant."""
    return shipped("digits")


def diabetes() -> pd.DataFrame:
    """A regression."""
    return shipped("diabetes")


TABLES = (
    Table(
        "digits",
        "digits.parquet",
        digits,
        data(digits, "target")
        | added("gradient_boosting", "sklearn.ensemble.HistGradientBoostingClassifier", "ordinal", max_iter=10),
    ),
    Table("iris", "iris.csv", iris, data(iris, "target")),
    Table("breast_cancer", "breast_cancer.parquet", breast_cancer, data(breast_cancer, "benign")),
    Table(
        "diabetes",
        "diabetes.csv",
        diabetes,
        data(diabetes, "target", task="regression")
        | {
            "models.sklearn.pipeline_rf.builder": "sklearn.ensemble.RandomForestRegressor",
            "models.sklearn.pipeline_lr.builder": "sklearn.linear_model.Ridge",
            "models.sklearn.pipeline_lr.hyperparameters": {"alpha": 1.0},
            "models.torch.simple_classifier.builder": "SimpleRegressor",
        }
        | added("gradient_boosting", "sklearn.ensemble.HistGradientBoostingRegressor", "ordinal", max_iter=30),
    ),
    Table(
        "orders",
        "orders.csv",
        orders,
        data(
            orders,
            "verdict",
            numeric=["mean", "weight (kg)", "größe", "always"],
            categorical=["cat", 'gift, "wrapped"?'],
        ),
    ),
    Table("words", "words.parquet", words, data(words, "group", numeric=[], categorical=["first", "second", "noise"])),
)
