"""pipeline.proposal: a `data:` section for any table, which loads as it stands and which prepare takes."""

import datetime
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import builders
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from builders import REPOSITORY, Workspace
from hypothesis import given
from hypothesis import strategies as st

from isoform.errors import BadInput
from pipeline import plain_yaml, proposal
from pipeline.params import Data
from proofs.workspace import environment

SKLEARN = {"iris": "classification", "digits": "classification", "breast_cancer": "classification", "diabetes": "regression"}


def shipped(name: str) -> pd.DataFrame:
    """Return a data set that ships with scikit-learn."""
    import sklearn.datasets

    frame: pd.DataFrame = getattr(sklearn.datasets, f"load_{name}")(as_frame=True).frame
    return frame


def messy(rows: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    odd = [
        "two words",
        'a "quoted", one',
        "it's",
        "no",
        "Y",
        "null",
        "1e3",
        "new\nline",
        "${x}",
        " #x: -",
        "žluť 日本 💥",
        "-",
        "x" * 300,
    ]
    odd += ["a.b", "[]", "{}", "&a", "*a", "!t", "%", "@", "`", "?", "\\", "a: b", "tab\t", "\u2028", "0x10", "010", "=", "<<"]
    return pd.DataFrame({name: rng.normal(size=rows) for name in odd}).assign(
        **{
            "text cat": rng.choice(["u", "v", ""], rows),
            "mean": rng.choice(["NA", "nan", "x"], rows),
            "zip": ["01067", "10115"] * (rows // 2),
        },
        gaps=np.where(rng.random(rows) < 0.3, np.nan, rng.normal(size=rows)),
        flag=rng.choice([True, False], rows),
        code=rng.integers(0, 4, rows),
        when=[f"2020-01-{1 + i % 28:02}" for i in range(rows)],
        clock=[f"{i % 24}:30" for i in range(rows)],
        user=[f"u{i}" for i in range(rows)],
        row=range(rows),
        const="same",
        void=None,
        power=["?", "?", *[str(i % 50) for i in range(rows - 2)]],
        label=rng.normal(size=rows),
        answer=rng.choice(["yes", "no", "maybe"], rows),
    )


def workspace(root: Path, frame: pd.DataFrame) -> Workspace:
    """Return a workspace with the table as CSV and as Parquet, and no params.yaml yet."""
    made = builders.start(root, "mixed", frame)
    frame.to_csv(root / "data/raw/table.csv", index=False)
    (root / "params.yaml").unlink()
    return made


def propose(made: Workspace, kind: str, target: str = "") -> Data:
    """Paste the proposal in the place of params.yaml's section and load the file, as the owner of a fork would."""
    with made.inside():
        text = proposal.propose(Path(f"data/raw/table.{kind}"), target)
    rest = {key: value for key, value in builders.settings("mixed").items() if key != "data"}
    (made.root / "params.yaml").write_text(f"{text}\n\n{yaml.safe_dump(rest, sort_keys=False)}")
    assert all("\t" not in line for line in text.splitlines())
    return made.read_params().data


def line(made: Workspace, kind: str, name: str, target: str = "") -> str:
    """Return the line of a column, or of a key."""
    with made.inside():
        lines = proposal.propose(Path(f"data/raw/table.{kind}"), target).splitlines()
    found = [line for line in lines if f" {name} " in f"{line} " or f"{name}:" in line]
    assert len(found) == 1, found
    return " ".join(found[0].split())


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("name", SKLEARN)
def test_the_tables_of_scikit_learn_are_proposed_whole_and_go_through_prepare(tmp_path: Path, name: str, kind: str) -> None:
    frame = shipped(name)
    made = workspace(tmp_path, frame)
    found = propose(made, kind)
    assert (found.task, found.target) == (SKLEARN[name], "target")
    constant = [column for column in frame if frame[column].nunique() == 1]
    assert found.numeric == [column for column in frame if column not in ("target", *constant)]
    assert found.categorical == []
    builders.prepared(made)
    assert len(made.train_rows()[1]) + len(made.test_rows()[1]) == len(frame)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("target", ["", "two words", "code", "flag", "text cat"])
def test_a_messy_table_is_proposed_so_that_prepare_takes_it(tmp_path: Path, kind: str, target: str) -> None:
    frame = messy()
    if target == "text cat":
        frame["text cat"] = ["u", "v", "w"] * 20
    made = workspace(tmp_path, frame)
    found = propose(made, kind, target)
    assert found.target == (target or "answer")
    assert found.task == ("regression" if target == "two words" else "classification")
    left_out = {"when", "clock", "user", "row", "const", "void", "power", "label"} - (
        {"label"} if target == "two words" else set()
    )
    assert {*found.numeric, *found.categorical} == set(frame) - left_out - {found.target}
    assert set(found.categorical) == {"text cat", "mean", "zip", *(["answer"] if target else [])} - {target}
    builders.prepared(made)


REMARKS = {
    "gaps": "missing, ",
    "code": "4 distinct, all integers: if they are codes, ",
    "when": "dates, such as '2020-01-01': turn the column into numbers first, for example year, month, weekday",
    "clock": "dates, such as '0:30'",
    "user": "60 distinct of 60: an identifier, or free text",
    "row": "60 distinct: numbers the rows",
    "const": "constant: 'same'",
    "void": "holds nothing",
    "power": "numbers, but for 2 cells such as '?'; ",
    "label": "not with this name: an output of the model is called so",
    "target": "the last column, a guess; 3 classes: 'maybe' ",
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("name", REMARKS)
def test_a_remark_says_what_a_column_is_or_why_it_is_left_out(tmp_path: Path, name: str, kind: str) -> None:
    found = line(workspace(tmp_path, messy()), kind, name)
    assert REMARKS[name] in found
    assert found.startswith("# -") == (name not in ("gaps", "code", "target"))


@pytest.mark.parametrize(
    ("column", "task", "remark"),
    [
        (["a", "b"] * 20, "classification", "2 classes: 'a' 20, 'b' 20"),
        ([0, 1] * 20, "classification", "2 classes: 0 20, 1 20"),
        ([True, False] * 20, "classification", "2 classes: False 20, True 20"),
        ([i % 20 for i in range(40)], "classification", "20 classes: 0 2, 1 2, 2 2, 3 2, 4 2, …"),
        ([i % 21 for i in range(42)], "regression", "21 distinct numbers, from 0 to 20"),
        ([0, 1] * 20 + [2], "regression", "3 distinct numbers, from 0 to 2"),
        ([0.5, 1.5] * 20, "regression", "2 distinct numbers, from 0.5 to 1.5"),
        (["a", "b"] * 20 + ["c"], "classification", "; 1 with one row: give two or more, or drop them"),
        (["a", "b", None] * 20, "classification", "; missing in 20 rows: drop those, or fill them in"),
        ([1.5, 2.5, None] * 20, "regression", "; missing in 20 rows: drop those, or fill them in"),
        (["x\ny", "# z"] * 20, "classification", r"2 classes: '# z' 20, 'x\ny' 20"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_task_is_guessed_from_the_target(tmp_path: Path, kind: str, column: list[Any], task: str, remark: str) -> None:
    made = workspace(tmp_path, pd.DataFrame({"n": np.arange(len(column)) % 5, "y": column}))
    assert propose(made, kind).task == task
    assert remark in line(made, kind, "target")


@pytest.mark.parametrize(
    "name",
    ["yes", "No", "on", "y", "N", "null", "~", "true", "1e3", "0x1F", "1_000", ".inf", "1:30", "2020-01-01", "=", "<<", ""],
)
def test_a_name_is_text_to_yaml_1_1_and_1_2_and_dvc(name: str) -> None:
    check_scalar(name)
    assert proposal.scalar(name).startswith('"')  # whatever reads it: to some, y and n are booleans


def test_a_long_name_stays_in_one_line() -> None:
    check_scalar("many words " * 100)
    assert proposal.scalar("sepal_length_1") == "sepal_length_1"


@given(st.text(max_size=12))
def test_any_name_is_quoted_right(name: str) -> None:
    if not any("\ud800" <= letter <= "\udfff" for letter in name):
        check_scalar(name)


def check_scalar(name: str) -> None:
    from dvc.utils.serialize import parse_yaml

    written = f"a:\n  - {proposal.scalar(name)}   # remark\n"
    assert len(written.splitlines()) == 2 or "\u2028" in name
    for read in (
        yaml.safe_load,
        lambda text: yaml.load(text, Loader=plain_yaml._Loader),
        lambda text: parse_yaml(text, "params.yaml"),
    ):
        assert read(written)["a"] == [name]  # type: ignore[no-untyped-call]


REFUSED: dict[str, tuple[bytes, str, str]] = {
    "no such column": (b"n,y\n1,2\n", "absent", "has no column 'absent'; its columns are: n, y"),
    "the target twice": (b"n,y,y\n1,2,3\n", "y", "has column 'y' 2 times"),
    "nothing at all": (b"", "", "has no columns; give a table with a header"),
    "no rows": (b"n,y\n", "", "'y' cannot be predicted: holds nothing; give TARGET=column"),
    "a constant target": (b"n,y\n1,2\n2,2\n", "", "'y' cannot be predicted: constant: 2"),
    "dates to predict": (b"n,y\n1,2020-01-02\n2,2020-01-03\n", "", "'y' cannot be predicted: dates, such as '2020-01-02'"),
    "nothing to predict from": (
        b"n,y\n1,2\n1,3\n",
        "",
        "has no column to predict 'y' from ('n': constant: 1); give more columns, separated by commas",
    ),
    "the target alone": (b"y\n2\n3\n", "", "has no column to predict 'y' from (it has no other)"),
    "bytes": (b"\xff\xfe", "", "line 1 is not UTF-8"),
    "ragged lines": (b"n,y\n1\n", "", "line 2 has 1 cells, the header has 2"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_proposed_is_one_line(tmp_path: Path, case: str) -> None:
    content, target, complaint = REFUSED[case]
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(BadInput) as caught:
        proposal.propose(tmp_path / "t.csv", target)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["absent.csv", "folder", "t.jsonl", "t.parquet"])
def test_a_file_of_another_kind_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "t.jsonl").touch()
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(BadInput, match=name):
        proposal.propose(tmp_path / name)


def test_a_column_that_stands_twice_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("n,a,a,y\n1,1,1,0\n2,2,2,1\n3,3,3,0\n4,4,4,1\n")
    text = proposal.propose(tmp_path / "t.csv")
    assert "# - a                         # not with this name: it stands more than once" in text
    assert yaml.safe_load(text)["data"]["numeric"] == ["n"]


def test_other_types_of_parquet_are_left_out_with_the_reason(tmp_path: Path) -> None:
    columns = {
        "n": pa.array([1.5, None, 2.5, 3.5]),
        "price": pa.array([1, None, 3, 4], pa.decimal128(9, 2)),
        "when": pa.array([datetime.datetime(2020, 1, 2)] * 4),
        "took": pa.array([1, 2, 3, 4], pa.duration("s")),
        "tags": pa.array([["a"], ["b"], [], None]),
        "blob": pa.array([b"a", b"b", b"c", b"d"]),
        "text": pa.array(["1", "2", "1", "2"]),
        "y": pa.array(["u", "v", "u", "v"]).dictionary_encode(),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    text = proposal.propose(tmp_path / "t.parquet")
    data = yaml.safe_load(text)["data"]
    assert (data["numeric"], data["categorical"]) == (["n", "price"], ["text"])
    for remark in ("dates, such as 2020-01-02 00:00:00", "holds a list: give numbers or text", "holds a bytes"):
        assert remark in text
    assert "2 distinct, numbers written as text: if they are no codes, make it a column of numbers" in text


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `make propose`, without setting up an environment first."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["make", "--silent", "--old-file", ".venv/.run", "propose", *arguments]
        return subprocess.run(command, cwd=REPOSITORY, env=environment(), capture_output=True, text=True, check=False)

    return run


def test_make_propose_prints_the_section(make: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> None:
    path = tmp_path / "a 'quoted' \"file\" of $5.csv"
    shipped("iris").to_csv(path, index=False)
    done = make(f"FILE={str(path).replace('$', '$$')}", "TARGET=petal width (cm)")
    assert done.returncode == 0, done.stderr
    data = yaml.safe_load(done.stdout)["data"]
    assert (data["source"], data["target"], data["task"]) == (str(path), "petal width (cm)", "regression")


def test_make_propose_without_a_file_prints_its_usage(make: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = make()
    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: make propose: no FILE was given; usage: make propose FILE=data/raw/mine.csv [TARGET=column]\n"
    )
    assert done.stdout == ""
