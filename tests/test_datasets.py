"""pipeline.datasets and stages.prepare: a seeded, stratified split, and nothing learnt from held-out rows."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import builders
import numpy as np
import pandas as pd
import pytest
from builders import MODELS, SEED, Workspace

from isoform.errors import BadInput, CheckFailed
from isoform.formats import FORMATS
from pipeline import datasets, layout
from pipeline.params import Data
from stages import prepare


def data(**changes: Any) -> Data:
    return Data(**{**builders.settings("mixed")["data"], **changes})


def numbered(rows: int = 100) -> pd.DataFrame:
    """Return the mixed table with the row's position in place of its first column."""
    return builders.frame("mixed", rows).assign(n0=np.arange(rows, dtype=np.float64))


def split_positions(table: pd.DataFrame, **changes: Any) -> tuple[list[int], list[int]]:
    (train, _), (test, _) = datasets.split(table, data(**changes), SEED)
    return train["n0"].astype(int).tolist(), test["n0"].astype(int).tolist()


def test_every_row_is_in_exactly_one_part() -> None:
    train, test = split_positions(numbered())
    assert not set(train) & set(test)
    assert sorted([*train, *test]) == list(range(100))
    assert len(test) == 20


def test_each_part_keeps_the_order_of_the_table() -> None:
    train, test = split_positions(numbered())
    assert train == sorted(train)
    assert test == sorted(test)


def test_the_split_depends_on_the_seed_and_on_nothing_else() -> None:
    table = numbered()
    assert split_positions(table) == split_positions(table)
    other = datasets.split(table, data(), SEED + 1)
    assert other[1][0]["n0"].astype(int).tolist() != split_positions(table)[1]


def test_both_parts_have_the_classes_in_the_same_shares() -> None:
    table = numbered(200).assign(y=[0] * 150 + [1] * 50)
    (_, train), (_, test) = datasets.split(table, data(), SEED)
    assert train.mean() == test.mean() == 0.25


def test_a_cap_takes_that_many_rows_in_order() -> None:
    train, test = split_positions(numbered(), rows=50)
    assert len(train) + len(test) == len({*train, *test}) == 50
    assert train == sorted(train)
    assert split_positions(numbered(), rows=500) == split_positions(numbered())


def test_features_are_canonical_in_both_parts() -> None:
    table = numbered().assign(n1=np.inf, c1=None)
    for columns, labels in datasets.split(table, data(), SEED):
        assert np.isnan(columns["n1"]).all()
        assert set(columns["c1"]) == {""}
        assert columns["n0"].dtype == np.float32
        assert labels.dtype == np.int64


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([True, False] * 50, {0, 1}),
        ([1.0, 2.0] * 50, {1, 2}),
        (["yes", "no"] * 50, {"no", "yes"}),
        (pd.Categorical(["b", "a"] * 50), {"a", "b"}),
        (np.array([3, 200] * 50, dtype=np.uint8), {3, 200}),
    ],
)
def test_labels_are_whole_numbers_or_text(labels: Any, expected: set[Any]) -> None:
    (_, train), _ = datasets.split(numbered().assign(y=labels), data(), SEED)
    assert set(train.tolist()) == expected


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [
        ([0, 1] * 49 + [None, 1], "has no 'y' in 1 rows, the first is 98; drop those rows"),
        ([0.5, 1.0] * 50, "'y' holds fractions"),
        ([0.0, np.inf] * 50, "'y' "),
        ([1] * 100, "'y' has fewer than two classes"),
        ([0] * 99 + [1], "cannot be split"),
        ([0, "a"] * 50, "'y'"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels: list[Any], complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        datasets.split(numbered().assign(y=labels), data(), SEED)


@pytest.mark.parametrize("column", ["y", "n1", "c0"])
def test_a_missing_column_is_named(column: str) -> None:
    with pytest.raises(BadInput, match=f"has no column '{column}'; it has: "):
        datasets.split(numbered().drop(columns=column), data(), SEED)


@pytest.mark.parametrize(("column", "cell"), [("n1", "text"), ("c0", 5), ("c0", "a\0b")])
def test_a_cell_of_another_type_names_its_column(column: str, cell: Any) -> None:
    table = numbered().astype({column: object})
    table.loc[7, column] = cell
    with pytest.raises(BadInput, match=f"column '{column}', row 7"):
        datasets.split(table, data(), SEED)


def altered_held_out(root: Path, plain: Workspace) -> Workspace:
    """Return a workspace whose table differs from the plain one's in its held-out rows alone, and there wildly."""
    table = builders.frame("mixed")
    (_, _), (test, _) = datasets.split(table.assign(n0=np.arange(len(table))), plain.read_params().data, SEED)
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
    for model in MODELS:
        other.train(model)
        other.convert(model)
        for path in plain.folder(model).iterdir():
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
    (_, _), (test, _) = split = datasets.split(table, data(), SEED)
    table.loc[test["n0"].astype(int), "c1"] = "held out"
    split = datasets.split(table, data(), SEED)
    _, _, schema = prepare.prepare(data(), *split)
    assert "held out" in set(split[1][0]["c1"])
    assert schema.categories["c1"] == sorted(set(split[0][0]["c1"]))
    assert schema.classes == [0, 1]


def test_preparing_twice_gives_the_same_bytes(published: Callable[[str], Workspace], tmp_path: Path) -> None:
    again = builders.start(tmp_path / "again", "mixed")
    again.prepare()
    for name in (layout.TRAIN, layout.TEST, layout.SCHEMA):
        assert (again.root / name).read_bytes() == (published("mixed").root / name).read_bytes()


def test_prepared_rows_read_back_as_they_were_split(published: Callable[[str], Workspace]) -> None:
    workspace = published("mixed")
    (train, labels), _ = datasets.split(builders.frame("mixed"), workspace.read_params().data, SEED)
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


def source(tmp_path: Path, name: str, content: bytes = b"") -> Data:
    (tmp_path / name).write_bytes(content)
    return data(source=str(tmp_path / name))


def test_csv_and_parquet_give_the_same_rows(tmp_path: Path) -> None:
    table = builders.frame("mixed")
    table.to_csv(tmp_path / "table.csv", index=False)
    table.to_parquet(tmp_path / "table.parquet")
    parts = [
        datasets.split(datasets.read_source(data(source=str(tmp_path / f"table.{kind}"))), data(), SEED)
        for kind in ("csv", "parquet")
    ]
    for (found, labels), (expected, expected_labels) in zip(*parts, strict=True):
        assert labels.tolist() == expected_labels.tolist()
        for name in found:
            assert pd.Series(found[name]).equals(pd.Series(expected[name])), name


def test_in_csv_na_is_a_missing_number_and_a_text(tmp_path: Path) -> None:
    content = "n0,n1,n2,n3,c0,c1,y\nNA,nan,,null,NA,nan,NA\n1,2,3,4,007,,0\n"
    table = datasets.read_source(source(tmp_path, "table.csv", content.encode()))
    assert table.loc[0, builders.NUMERIC].isna().all()
    assert table["c0"].tolist() == ["NA", "007"]
    assert table["c1"].tolist() == ["nan", ""]
    assert table["y"].tolist() == ["NA", "0"]


@pytest.mark.parametrize("name", ["table.txt", "table", "table.csv.gz"])
def test_a_source_of_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match=r"params\.yaml: data\.source is"):
        datasets.read_source(source(tmp_path, name))


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\0\0", b'n0,y\n1,"2\n', b"a,b\n1,2,3\n1\n\n4,5,6,7\n"])
def test_a_source_that_cannot_be_read_is_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(BadInput, match="table"):
        datasets.read_source(source(tmp_path, name, content))


def test_a_missing_source_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        datasets.read_source(data(source=str(tmp_path / "absent.csv")))
