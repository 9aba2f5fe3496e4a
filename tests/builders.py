"""Tiny tables, and whole versions trained on them and published by the project's own stages."""

import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from isoform import metadata
from isoform.formats import FORMATS, open_format, safetensors, state_dict
from isoform.integrity import sha256, write_atomic
from isoform.loading import read_config
from isoform.metadata import Config, Metadata
from isoform.rows import Columns, canonical
from pipeline import datasets, layout, params
from pipeline.datasets import Schema
from pipeline.publishing import FORMATS_OF, WRITTEN_BY
from stages import convert_safetensors, describe, export_onnx, prepare, train_sklearn, train_torch, validate

REPOSITORY = Path(__file__).parent.parent
SEED = 7
THREADS = 1  # tests run side by side
ROWS = 300
NUMERIC = ["n0", "n1", "n2", "n3"]
CATEGORICAL = ["c0", "c1"]
MODELS = {"forest": "sklearn", "logistic": "sklearn", "network": "torch"}
"""Model → kind; every workspace has these three."""
RANDOM_FOREST = {"builder": "sklearn.ensemble.RandomForestClassifier", "preprocessing": "ordinal"}
LOGISTIC_REGRESSION = {"builder": "sklearn.linear_model.LogisticRegression", "preprocessing": "onehot"}
RANDOM_FOREST_REGRESSOR = {"builder": "sklearn.ensemble.RandomForestRegressor", "preprocessing": "ordinal"}
RIDGE = {"builder": "sklearn.linear_model.Ridge", "preprocessing": "onehot"}
TABLES = ("mixed", "text_classes", "boolean", "numeric", "categorical", "regression")
CASES = [(model, name) for model, kind in MODELS.items() for name in FORMATS_OF[kind]]
"""Every (model, format): what the contract holds for."""
HOSTILE_NUMBERS: list[Any] = [np.nan, np.inf, -np.inf, 3e38, -3e38, 0.0, 1e-45, 16777217.0]
HOSTILE_TEXTS: list[Any] = ["", "unseen", "0", " red", "RED", "日本 語", "\u2028", "x" * 5000]


def frame(table: str, rows: int = ROWS) -> pd.DataFrame:
    """Return a table that a model can learn: numbers with gaps, text with "" and rare values, a target `y`."""
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(rows, len(NUMERIC))) * [1.0, 100.0, 1e-3, 5.0]
    colours = rng.choice(["red", "green", "blue", ""], size=rows)
    towns = rng.choice(["Brno", "Łódź", 'a "quoted", town', ""], size=rows)
    towns[:2] = ["once", "twice"]
    score = numbers[:, 0] + 1.5 * (colours == "red") + rng.normal(size=rows) * 0.3
    numbers[rng.random(numbers.shape) < 0.1] = np.nan
    made = pd.DataFrame(numbers, columns=NUMERIC).assign(c0=colours, c1=towns)
    if table == "text_classes":
        return made.assign(y=np.select([score < -0.3, score < 0.8], ["no", "perhaps"], "yes"))
    if table == "regression":
        return made.assign(y=1e4 + 1e3 * score)
    return made.assign(y=score > 0.3 if table == "boolean" else (score > 0.3).astype(np.int64))


def settings(table: str, **data: Any) -> dict[str, Any]:
    """Return the content of params.yaml for a table; `data` replaces keys of its section data."""
    model = {"version": "1.0.0", "created_at": "2026-01-02T03:04:05Z"}
    forest = {"n_estimators": 5, "max_depth": 4}
    training = {"epochs": 2, "batch_size": 32, "learning_rate": 0.01, "weight_decay": 0.01}
    training |= {"learning_rate_decay": 0.9, "checkpoint_every_steps": 8}
    network = {"hidden": 8, "embedding": 2, "dropout": 0.3}
    regression = table == "regression"
    linear = {"alpha": 1.0} if regression else {"C": 1.0, "max_iter": 300}
    return {
        "seed": SEED,
        "reproducibility": "portable",
        "threads": THREADS,
        "device": "cpu",
        "data": {
            "source": "data/raw/table.parquet",
            "rows": 0,
            "test_share": 0.2,
            "task": "regression" if regression else "classification",
            "target": "y",
            "numeric": [] if table == "categorical" else NUMERIC,
            "categorical": [] if table == "numeric" else CATEGORICAL,
            **data,
        },
        "onnx": {"opset": 18, "ir_version": 10},
        "evaluation": {"bootstrap": 100, "parity_rows": 20, "parity_batches": [1, 7], "golden_rows": 3},
        "models": {
            "sklearn": {
                "forest": {**model, **(RANDOM_FOREST_REGRESSOR if regression else RANDOM_FOREST), "hyperparameters": forest},
                "logistic": {**model, **(RIDGE if regression else LOGISTIC_REGRESSION), "hyperparameters": linear},
            },
            "torch": {
                "network": {
                    **model,
                    "builder": "SimpleRegressor" if regression else "SimpleClassifier",
                    "hyperparameters": {"network": network, "training": training},
                }
            },
        },
    }


@dataclass(frozen=True)
class Workspace:
    """A folder laid out as the repository is: params.yaml, data/, models/, reports/."""

    root: Path

    def inside(self) -> contextlib.AbstractContextManager[None]:
        """Make it the current folder, as DVC does for a stage."""
        return contextlib.chdir(self.root)

    def write_params(self, content: dict[str, Any]) -> None:
        (self.root / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))

    def read_params(self) -> params.Params:
        return params.load(self.root / "params.yaml")

    def folder(self, model: str) -> Path:
        return self.root / layout.version_dir(model, "1.0.0")

    def config(self, model: str) -> Config:
        return read_config(self.folder(model), self.metadata(model))

    def metadata(self, model: str) -> Metadata:
        return metadata.read(self.folder(model))

    def file(self, model: str, name: str) -> Path:
        """Return the path of a format's file."""
        return self.folder(model) / FORMATS[name].filename

    def schema(self) -> Schema:
        with self.inside():
            return datasets.read_schema()

    def train_rows(self) -> tuple[Columns, np.ndarray]:
        with self.inside():
            return datasets.read_train(datasets.read_schema())

    def test_rows(self) -> tuple[Columns, np.ndarray]:
        with self.inside():
            return datasets.read_test(datasets.read_schema())

    def prepare(self) -> None:
        with self.inside():
            prepare.main()

    def train(self, model: str) -> None:
        with self.inside():
            (train_sklearn if MODELS[model] == "sklearn" else train_torch).main(model)

    def convert(self, model: str) -> None:
        with self.inside():
            export_onnx.main(MODELS[model], model)
            if MODELS[model] == "torch":
                convert_safetensors.main(model)

    def validate(self, model: str) -> None:
        with self.inside():
            validate.main(MODELS[model], model)

    def write(self, model: str, name: str, data: bytes) -> None:
        """Put other bytes in the place of a format's file, as if its stage had written and recorded them."""
        self.file(model, name).write_bytes(data)
        record = self.folder(model) / f"{WRITTEN_BY[name]}.sha256"
        others = [line for line in record.read_text().splitlines() if not line.endswith(f"  {FORMATS[name].filename}")]
        record.write_text("\n".join([*others, f"{sha256(data)}  {FORMATS[name].filename}"]) + "\n")

    def replace(self, model: str, entry: str, data: bytes) -> None:
        """Put other bytes in the place of a published file and let metadata.json vouch for them."""
        document = self.metadata(model)
        changed = dataclasses.replace(document.files[entry], bytes=len(data), sha256=sha256(data))
        write_atomic(self.folder(model) / changed.path, data)
        document = dataclasses.replace(document, files=document.files | {entry: changed})
        write_atomic(self.folder(model) / "metadata.json", metadata.to_json(document))

    def alter_golden(self, model: str, change: Callable[[dict[str, Any]], None]) -> Path:
        """Have `change` alter the content of golden.json, let metadata.json vouch for it, and return the version's folder."""
        content = json.loads((self.folder(model) / "golden.json").read_text())
        change(content)
        self.replace(model, "golden", json.dumps(content).encode())
        return self.folder(model)


def start(root: Path, table: str, content: pd.DataFrame | None = None, **data: Any) -> Workspace:
    """Return a workspace with a raw table and params.yaml, nothing run yet."""
    raw = root / "data" / "raw"
    raw.mkdir(parents=True)
    (frame(table) if content is None else content).to_parquet(raw / "table.parquet", index=False)
    for name in ("requirements.lock", ".python-version"):
        shutil.copy(REPOSITORY / name, root / name)
    workspace = Workspace(root)
    workspace.write_params(settings(table, **data))
    return workspace


def prepared(workspace: Workspace) -> dict[str, Any]:
    """Run the stages prepare and describe, and return data/summary.json."""
    workspace.prepare()
    with workspace.inside():
        describe.main()
    summary: dict[str, Any] = json.loads((workspace.root / layout.SUMMARY).read_text())
    return summary


def publish_all(root: Path, table: str) -> Workspace:
    """Return a workspace in which every stage has run for every model."""
    workspace = start(root, table)
    workspace.prepare()
    for model in MODELS:
        workspace.train(model)
        workspace.convert(model)
        workspace.validate(model)
    return workspace


def publish_older(root: Path, table: str) -> Workspace:
    """Return a workspace that holds the files of the same models, trained from another seed; none is published."""
    workspace = start(root, table)
    workspace.write_params(settings(table) | {"seed": SEED + 1})
    workspace.prepare()
    for model in ("forest", "network"):
        workspace.train(model)
        workspace.convert(model)
    return workspace


def dumpable(name: str, data: bytes, config: Config) -> Any:
    """Return what `dump` of a format takes, from a file of that format."""
    if name == "onnx":
        import onnx

        return onnx.load_model_from_string(data)
    if name in ("state_dict", "checkpoint"):
        return state_dict.read(data)
    if name == "safetensors":
        return safetensors.read(data)
    return open_format(name).load(data, config)


def hostile(config: Config) -> Columns:
    """Return canonical rows that no table should hold, as many of each kind of column."""
    cells = dict.fromkeys(config.numeric, HOSTILE_NUMBERS) | dict.fromkeys(config.categorical, HOSTILE_TEXTS)
    return canonical(cells, config.numeric, config.categorical)


def python(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run this interpreter in `cwd`, with this checkout on its path."""
    variables = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=variables, capture_output=True, text=True, timeout=120, check=False
    )
