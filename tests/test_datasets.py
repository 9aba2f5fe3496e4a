"""pipeline.datasets, stages.prepare and stages.describe: a seeded split, and nothing learnt from held-out rows."""

import dataclasses
import json
import math
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import builders
import numpy as np
import pandas as pd
import pytest
from builders import MODELS, SEED, Workspace
from hypothesis import given
from hypothesis import strategies as st

from isoform.errors import CheckFailed
from isoform.formats import FORMATS
from isoform.rows import canonical
from pipeline import datasets, layout
from pipeline.params import Data
from stages import prepare
from stages.prepare import Part


def data(**changes: Any) -> Data:
    return Data(**{**builders.settings("mixed")["data"], **changes})


def numbered(rows: int = 100) -> pd.DataFrame:
    """Return the mixed table with the row's position in place of its first column."""
    return builders.frame("mixed", rows).assign(n0=np.arange(rows, dtype=np.float64))


def split(table: pd.DataFrame, seed: int = SEED, **changes: Any) -> tuple[Part, Part]:
    settings = data(**changes)
    return prepare.split(canonical(table, settings.numeric, settings.categorical), table["y"].to_numpy(), settings, seed)


def split_positions(table: pd.DataFrame, **changes: Any) -> tuple[list[int], list[int]]:
    (train, _), (test, _) = split(table, **changes)
    return train["n0"].astype(int).tolist(), test["n0"].astype(int).tolist()


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_every_row_is_in_exactly_one_part(task: str) -> None:
    train, test = split_positions(numbered(), task=task)
    assert not set(train) & set(test)
    assert sorted([*train, *test]) == list(range(100))
    assert len(test) == 20


def test_each_part_keeps_the_order_of_the_table() -> None:
    train, test = split_positions(numbered())
    assert train == sorted(train)
    assert test == sorted(test)


def test_rows_keep_their_target() -> None:
    table = numbered().assign(y=np.arange(100) * 0.5)
    for columns, target in split(table, task="regression", rows=50):
        assert (columns["n0"] * 0.5).tolist() == target.tolist()


def test_the_split_depends_on_the_seed_and_on_nothing_else() -> None:
    table = numbered()
    assert split_positions(table) == split_positions(table)
    other = split(table, SEED + 1)
    assert other[1][0]["n0"].astype(int).tolist() != split_positions(table)[1]


def test_both_parts_have_the_classes_in_the_same_shares() -> None:
    table = numbered(200).assign(y=[0] * 150 + [1] * 50)
    (_, train), (_, test) = split(table)
    assert train.mean() == test.mean() == 0.25


def test_a_cap_takes_that_many_rows_in_order() -> None:
    train, test = split_positions(numbered(), rows=50)
    assert len(train) + len(test) == len({*train, *test}) == 50
    assert train == sorted(train)
    assert split_positions(numbered(), rows=500) == split_positions(numbered())


def test_a_cap_keeps_every_class_in_both_parts() -> None:
    table = numbered(400).assign(y=[f"class {max(i - 350, 0) // 10}" for i in range(400)])
    (_, train), (_, test) = split(table, rows=20)
    assert len(train) + len(test) == 20
    assert set(train) == set(test) == set(table["y"])


def altered_held_out(root: Path, plain: Workspace) -> Workspace:
    """Return a workspace whose table differs from the plain one's in its held-out rows alone, and there wildly."""
    table = builders.frame("mixed")
    _, (test, _) = split(table.assign(n0=np.arange(len(table), dtype=float)))
    held_out = test["n0"].astype(int)
    table.loc[held_out, ["n0", "n1", "n3"]] = 1e9
    table.loc[held_out, "n2"] = np.nan
    table.loc[held_out, ["c0", "c1"]] = "only in held-out rows"
    return builders.start(root, "mixed", table)


def test_held_out_rows_decide_nothing_about_a_model(published: Callable[[str], Workspace], tmp_path: Path) -> None:
    plain = published("mixed")
    other = altered_held_out(tmp_path / "other", plain)
    other.prepare()
    assert other.schema().test_sha256 != plain.schema().test_sha256
    assert dataclasses.replace(other.schema(), test_sha256="") == dataclasses.replace(plain.schema(), test_sha256="")
    # scikit-learn's in fresh processes, as DVC runs them: a pickle also records which texts are one object, and in a process
    # of many tests that is not the same each time.
    again = Workspace(Path(shutil.copytree(plain.root, tmp_path / "again")))
    for model in MODELS:
        for workspace in (other, again):
            if MODELS[model] == "sklearn":
                done = builders.python("-m", "stages.train_sklearn", model, cwd=workspace.root)
                assert done.returncode == 0, done.stderr
            else:
                workspace.train(model)
            workspace.convert(model)
        for path in again.folder(model).iterdir():
            if path.name in [entry.filename for entry in FORMATS.values()]:
                assert (other.folder(model) / path.name).read_bytes() == path.read_bytes(), path.name


def test_prepared_parts_share_no_row(published: Callable[[str], Workspace]) -> None:
    workspace = published("mixed")
    (train, _), (test, _) = workspace.train_rows(), workspace.test_rows()
    rows = [{tuple(map(str, row)) for row in zip(*columns.values(), strict=True)} for columns in (train, test)]
    assert len(rows[0]) + len(rows[1]) == builders.ROWS
    assert not rows[0] & rows[1]


def test_categories_and_classes_are_those_of_the_training_rows_sorted() -> None:
    table = numbered()
    _, (held_out, _) = split(table)
    table.loc[held_out["n0"].astype(int), "c1"] = "held out"
    train, test = split(table)
    _, _, schema = prepare.prepare(data(), train, test)
    assert "held out" in set(test[0]["c1"])
    assert schema.categories["c1"] == sorted(set(train[0]["c1"]))
    assert schema.classes == [0, 1]


def test_preparing_twice_gives_the_same_bytes(published: Callable[[str], Workspace], tmp_path: Path) -> None:
    again = builders.start(tmp_path / "again", "mixed")
    again.prepare()
    for name in (layout.TRAIN, layout.TEST, layout.SCHEMA):
        assert (again.root / name).read_bytes() == (published("mixed").root / name).read_bytes()


def test_prepared_rows_read_back_as_they_were_split(published: Callable[[str], Workspace]) -> None:
    workspace = published("mixed")
    (train, labels), _ = split(builders.frame("mixed"))
    found, found_labels = workspace.train_rows()
    assert {name: column.tobytes() for name, column in found.items() if name in builders.NUMERIC} == {
        name: train[name].tobytes() for name in builders.NUMERIC
    }
    assert all(found[name].tolist() == train[name].tolist() for name in builders.CATEGORICAL)
    assert found_labels.tolist() == labels.tolist()


@pytest.mark.parametrize(("name", "read"), [(layout.TRAIN, datasets.read_train), (layout.TEST, datasets.read_test)])
def test_a_prepared_table_that_changed_is_refused(workspace: Workspace, name: Path, read: Callable[[Any], Any]) -> None:
    schema = workspace.schema()
    content = bytearray((workspace.root / name).read_bytes())
    content[100] ^= 1
    (workspace.root / name).write_bytes(content)
    with workspace.inside(), pytest.raises(CheckFailed, match="sha256 is"):
        read(schema)


def test_class_indices_are_positions_in_the_classes(published: Callable[[str], Workspace]) -> None:
    schema = published("text_classes").schema()
    assert schema.classes == ["no", "perhaps", "yes"]
    assert datasets.class_indices(np.array(["yes", "no", "perhaps"], dtype=object), schema).tolist() == [2, 0, 1]


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=30))
def test_the_scale_is_the_standard_deviation_and_never_zero(numbers: list[float]) -> None:
    scale = prepare.scale(numbers)
    assert scale > 0
    assert scale == pytest.approx(statistics.pstdev(numbers), rel=1e-9) or math.isclose(scale, 1.0)


def test_the_scale_is_that_of_the_training_rows(tmp_path: Path) -> None:
    table = numbered().assign(y=np.random.default_rng(1).normal(5.0, 3.0, 100))
    workspace = builders.start(tmp_path, "mixed", table, task="regression")
    workspace.prepare()
    schema, (_, target) = workspace.schema(), workspace.train_rows()
    assert target.dtype == np.float64
    assert schema.target_scale == pytest.approx(float(target.std()), rel=1e-12)
    assert (schema.task, schema.classes) == ("regression", [])


def test_a_regression_is_described_by_the_range_of_its_target(tmp_path: Path) -> None:
    table = numbered().assign(y=np.arange(100) / 4)
    summary = builders.prepared(builders.start(tmp_path, "mixed", table, task="regression"))
    assert "classes" not in summary
    assert summary["task"] == "regression"
    parts = summary["target_values"]
    assert set(parts) == {"train", "test"}
    assert parts["train"]["dtype"] == "float64"
    assert parts["train"]["missing"] == parts["test"]["missing"] == 0
    assert min(part["min"] for part in parts.values()) == 0.0
    assert max(part["max"] for part in parts.values()) == 24.75


def test_classes_are_described_by_their_rows_in_each_part(published: Callable[[str], Workspace], tmp_path: Path) -> None:
    table = numbered().assign(y=["no"] * 75 + ["ano"] * 25)
    summary = builders.prepared(builders.start(tmp_path, "mixed", table))
    assert summary["classes"] == {"ano": {"train": 20, "test": 5}, "no": {"train": 60, "test": 15}}
    assert "target_values" not in summary
    assert json.loads((tmp_path / layout.SCHEMA).read_text())["task"] == "classification"


def test_prepare_needs_no_scikit_learn(tmp_path: Path) -> None:
    workspace = builders.start(tmp_path, "mixed")
    code = "import sys; from stages import prepare; prepare.main(); print({'sklearn', 'torch'} & sys.modules.keys())"
    done = builders.python("-c", code, cwd=workspace.root)
    assert done.stdout.strip() == "set()", done.stderr
