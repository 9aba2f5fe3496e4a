"""pipeline.raw: any CSV or Parquet file becomes canonical columns and a target, or one line that says what to do."""

import csv
from pathlib import Path
from typing import Any

import builders
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoform import tables
from isoform.errors import BadInput
from isoform.rows import MISSING_NUMBERS, canonical, texts
from pipeline import raw
from pipeline.params import Data


def data(source: Path, **changes: Any) -> Data:
    columns = {"numeric": ["n"], "categorical": ["c"], **changes}
    # A source outside the repository would be refused; how it is read does not depend on where it lies.
    return Data(**{**builders.settings("mixed")["data"], **columns}).model_copy(update={"source": str(source)})


def write_csv(path: Path, rows: list[list[str]], **dialect: Any) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, **dialect).writerows(rows)
    return path


def written(path: Path, **columns: Any) -> Path:
    rows = max(len(column) for column in columns.values())
    pq.write_table(
        pa.table({"n": pa.array([1.0] * rows), "c": pa.array(["a"] * rows), "y": [0, 1] * (rows // 2)} | columns), path
    )
    return path


def refused(path: Path, **changes: Any) -> str:
    with pytest.raises(BadInput) as caught:
        raw.read(data(path, **changes))
    assert "\n" not in str(caught.value)
    return str(caught.value)


MESSY = [
    "",
    "NA",
    "NaN",
    "nan",
    "null",
    "1",
    " 3",
    "3 ",
    "1e5",
    "-0.0",
    "inf",
    "-Infinity",
    "1e999",
    "9" * 30,
    "1e-50",
    ".5",
    "5.",
]
MESSY += [
    "True",
    "False",
    "true",
    "FALSE",
    "1_000",
    "0x10",
    "one",
    "１",
    "1,5",
    "2020-01-02",
    "3\u00a0",
    " ",
    "TrUe",
    "nan(1)",
    "+-1",
]


@given(st.lists(st.sampled_from(MESSY) | st.floats(width=32).map(str) | st.integers().map(str) | st.text(max_size=3), max_size=6))
def test_training_and_serving_read_a_csv_alike(cells: list[str]) -> None:
    """The same bytes, through `prepare`'s reader and `isoform predict`'s: the same columns or the same line."""
    import tempfile

    cells = [cell.encode(errors="ignore").decode().replace("\0", "") for cell in cells]
    with tempfile.TemporaryDirectory() as folder:
        rows = [["y", "n", "c"], *([str(i % 2), cell, cell] for i, cell in enumerate([*cells, "1", "1", "1", "1"]))]
        path = write_csv(Path(folder, "t.csv"), rows, lineterminator="\r\n")
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        try:
            served = canonical(tables.read(path, ["n"], ["c"]), ["n"], ["c"])
        except BadInput as error:
            assert refused(path) == str(error)
            return
        columns, _ = raw.read(data(path))
    assert columns["n"].tobytes() == served["n"].tobytes()
    assert columns["c"].tolist() == served["c"].tolist() == [row[2] for row in rows[1:]]


MEANING = dict.fromkeys([*MISSING_NUMBERS, " ", "inf", "-Infinity", "1e999", "9" * 400], np.nan)
MEANING |= {"1": 1, " 3": 3, "3 ": 3, "1e5": 1e5, ".5": 0.5, "5.": 5, "-1": -1, "+1": 1, "007": 7, "16777217": 16777216}
MEANING |= {"True": 1, "true": 1, "TRUE": 1, "False": 0, "false": 0, "FALSE": 0, "0.1": np.float32(0.1)}


@pytest.mark.parametrize("cell", MEANING)
def test_a_numeric_cell_means_what_it_says(tmp_path: Path, cell: str) -> None:
    columns, _ = raw.read(
        data(
            write_csv(
                tmp_path / "t.csv", [["n", "c", "y"], [cell, "a", "0"], ["2", "a", "1"]] * 1 + [["2", "b", "0"], ["3", "b", "1"]]
            )
        )
    )
    assert np.array_equal(columns["n"][0], np.float32(MEANING[cell]), equal_nan=True)


@pytest.mark.parametrize(
    ("cell", "complaint"),
    [
        ("one", "line 3: 'n' is 'one'; give a number or nothing"),
        ("1_000", "line 3: 'n' is '1_000'; give a number or nothing"),
        ("0x10", "line 3: 'n' is '0x10'; give a number or nothing"),
        ("１", "line 3: 'n' is '１'; give a number or nothing"),
        (
            "2013-01-02",
            "line 3: 'n' is '2013-01-02', a date; turn the column into numbers first, for example year, month, weekday",
        ),
        ("2013-01-02T03:04:05Z", "line 3: 'n' is '2013-01-02T03:04:05Z', a date; turn"),
        ("2013-01-02 03:04", "line 3: 'n' is '2013-01-02 03:04', a date; turn"),
        ("1/2/2013", "line 3: 'n' is '1/2/2013', a date; turn"),
        ("1.2.2013", "line 3: 'n' is '1.2.2013', a date; turn"),
        ("12:30", "line 3: 'n' is '12:30', a date; turn"),
        ("1.2.3.4", "line 3: 'n' is '1.2.3.4'; give a number"),
    ],
)
@pytest.mark.parametrize("column", ["n", "y"])
def test_text_and_dates_in_a_numeric_column_of_a_csv_name_line_and_value(
    tmp_path: Path, column: str, cell: str, complaint: str
) -> None:
    rows = [["n", "c", "y"], ["1", "a", "1"], ["2", "a", "2"]]
    rows[2][rows[0].index(column)] = cell
    line = refused(write_csv(tmp_path / "t.csv", rows), task="regression")
    assert complaint.replace("'n'", f"'{column}'") in line


TIMES = {
    "timestamp": (pa.array([None, 1, 2, 3], pa.timestamp("ns")), "'1970-01-01 00:00:00.000000001', of type timestamp[ns]"),
    "zone": (pa.array([None, 1, 2, 3], pa.timestamp("ms", "Europe/Prague")), "of type timestamp[ms, tz=Europe/Prague]"),
    "date": (pa.array([None, 1, 2, 3], pa.date32()), "'1970-01-02', of type date32[day]"),
    "duration": (pa.array([None, 1, 2, 3], pa.duration("s")), "of type duration[s]"),
    "time": (pa.array([None, 1, 2, 3], pa.time64("us")), "'00:00:00.000001', of type time64[us]"),
    "beyond Python": (pa.array([None, *[2**62] * 3], pa.timestamp("ms")), "of type timestamp[ms]"),
}


@pytest.mark.parametrize("column", ["n", "c"])
@pytest.mark.parametrize("kind", TIMES)
def test_dates_in_parquet_name_column_value_and_action(tmp_path: Path, kind: str, column: str) -> None:
    array, shown = TIMES[kind]
    line = refused(written(tmp_path / "t.parquet", **{column: array}))
    assert f"row 1: '{column}' is " in line
    assert shown in line
    assert line.endswith("; turn the column into numbers first, for example year, month, weekday")


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_dates_are_no_target(tmp_path: Path, task: str) -> None:
    line = refused(written(tmp_path / "t.parquet", y=pa.array([1, 2, 1, 2], pa.date32())), task=task)
    assert "'y' " in line
    assert "date" in line


@pytest.mark.parametrize(
    ("column", "array", "complaint"),
    [
        ("n", pa.array([None, "one", "2", "3"]), "row 1: 'n' is 'one', of type string; give a number or null"),
        ("n", pa.array([[1], [2], [3], [4]]), "column 'n' of type list<element: int64>; give one number or text per row"),
        ("n", pa.array([b"\xff"] * 4), "row 0: 'n' of type binary; give a number or null"),
        (
            "c",
            pa.array([None, 10115, 2, 3]),
            "row 1: 'c' is '10115', of type int64; list it under numeric, or turn it into text first",
        ),
        ("c", pa.array([None, 1, 2, 3]).dictionary_encode(), "row 1: 'c' is '1', of type int64; list it under numeric"),
        ("c", pa.array([True] * 4), "row 0: 'c' is 'true', of type bool; list it under numeric"),
        ("c", pa.array([1.5] * 4), "row 0: 'c' is '1.5', of type double; list it under numeric"),
        ("c", pa.array(["a", "b\0", "c", "d"]), "column 'c', row 1: holds NUL or a lone surrogate"),
        ("c", pa.array([b"a"] * 4), "of type binary"),
    ],
)
def test_cells_of_another_type_in_parquet_name_row_and_value(tmp_path: Path, column: str, array: Any, complaint: str) -> None:
    path = written(tmp_path / "t.parquet", **{column: array})
    line = refused(path)
    assert complaint in line
    if "NUL" not in complaint:  # what training refuses, serving refuses in the same words
        with pytest.raises(BadInput) as caught:
            tables.read(path, ["n"], ["c"])
        assert str(caught.value) == line


@pytest.mark.parametrize(
    "array",
    [
        pa.array([1, None, 3, 4]),
        pa.array([1, None, 3, 4], pa.uint8()),
        pa.array([True, None, False, True]),
        pa.array([1.5, None, float("inf"), float("nan")], pa.float32()),
        pa.array([1.5, None, 2, 3], pa.float16()),
        pa.array([1, None, 3, 4], pa.decimal128(9, 2)),
        pa.array([None] * 4),
        pa.array([None] * 4, pa.float64()),
        pa.array([1, None, 1, 2]).dictionary_encode(),
        pa.array([2**63 + 1, None, 2**53 + 1, 0], pa.uint64()),
    ],
)
def test_every_type_of_number_in_parquet_is_a_number(tmp_path: Path, array: Any) -> None:
    columns, _ = raw.read(data(written(tmp_path / "t.parquet", n=array)))
    cells = [np.nan if cell is None else float(cell) for cell in array.to_pylist()]
    expected = np.where(np.isinf(cells), np.nan, np.array(cells, dtype=np.float32))
    assert np.array_equal(columns["n"], expected.astype(np.float32), equal_nan=True)
    assert np.isnan(columns["n"][1])


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string()), pa.null()]
)
def test_every_type_of_text_in_parquet_is_text(tmp_path: Path, kind: Any) -> None:
    cells = [None] * 4 if kind == pa.null() else ["ž", None, "", "日本"]
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"n": [1, 2, 3, 4], "c": pa.array(cells, kind), "y": [0, 1, 0, 1]}), path)
    assert raw.read(data(path))[0]["c"].tolist() == texts(cells, "c").tolist()


@pytest.mark.parametrize(
    "column",
    [
        pd.array([1, None, 3, 4], dtype="Int64"),
        pd.array([True, None, False, True], dtype="boolean"),
        pd.array([1.5, None, 2.5, 3.5], dtype="Float32"),
        pd.Categorical([1, None, 3, 3]),
    ],
)
def test_nullable_and_categorical_columns_of_pandas_are_read(tmp_path: Path, column: Any) -> None:
    frame = pd.DataFrame({"n": column, "c": pd.Categorical(["u", None, "v", "v"]), "y": pd.Categorical(["b", "a", "b", "a"])})
    frame.to_parquet(tmp_path / "t.parquet")
    columns, target = raw.read(data(tmp_path / "t.parquet"))
    assert np.isnan(columns["n"]).tolist() == [False, True, False, False]
    assert columns["c"].tolist() == ["u", "", "v", "v"]
    assert target.tolist() == ["b", "a", "b", "a"]


def test_csv_and_parquet_give_the_same_rows(tmp_path: Path) -> None:
    table = builders.frame("mixed")
    table.to_csv(tmp_path / "table.csv", index=False)
    table.to_parquet(tmp_path / "table.parquet")
    columns = {"numeric": builders.NUMERIC, "categorical": builders.CATEGORICAL}
    settings = [data(tmp_path / f"table.{kind}", **columns) for kind in ("csv", "parquet")]
    (columns, target), (expected, expected_target) = map(raw.read, settings)
    assert target.tolist() == expected_target.tolist()
    for name in expected:
        assert pd.Series(columns[name]).equals(pd.Series(expected[name])), name


def test_in_csv_na_is_a_missing_number_and_a_text(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "t.csv", [["n", "c", "y"], ["NA", "NA", "NA"], ["1", "", "CZ"], ["2", "nan", "NA"], ["3", "a", "CZ"]]
    )
    columns, target = raw.read(data(path))
    assert np.isnan(columns["n"][0])
    assert columns["c"].tolist() == ["NA", "", "nan", "a"]
    assert target.tolist() == ["NA", "CZ", "NA", "CZ"]


ODD_NAMES = [
    "two words",
    " lead",
    "trail ",
    'a "quoted" one',
    "it's",
    "com,ma",
    "new\nline",
    "tab\t",
    "cat",
    "mean",
    "Concat",
    "label_encoder",
]
ODD_NAMES += [
    "1st",
    "0",
    "index",
    "size",
    "columns",
    "values",
    "shape",
    "T",
    "y ",
    "žluťoučký",
    "日本語",
    "💥",
    "a.b",
    "a[0]",
    "${x}",
    "{x}",
    "%s",
]
ODD_NAMES += [
    "- a",
    "#x",
    "a: b",
    "yes",
    "null",
    "~",
    "x" * 5000,
    "self",
    "class",
    "__class__",
    "dtype",
    "\\",
    "\u2028",
    "\ufeffx",
    "\x07",
]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_columns_of_any_name_go_through_prepare_and_describe(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({name: rng.normal(size=40).astype(np.float32) for name in ODD_NAMES})
    frame = frame.assign(**{f"text {name}": rng.choice(["u", "v", ""], 40) for name in ODD_NAMES}, y=[0, 1] * 20)
    numeric, categorical = ODD_NAMES, [f"text {name}" for name in ODD_NAMES]
    workspace = builders.start(
        tmp_path, "mixed", frame, numeric=numeric, categorical=categorical, source=f"data/raw/table.{kind}"
    )
    frame.to_csv(tmp_path / "data/raw/table.csv", index=False, quoting=csv.QUOTE_NONNUMERIC)
    summary = builders.prepared(workspace)
    assert list(summary["numeric"]) == numeric
    assert list(summary["categorical"]) == categorical
    columns = [workspace.train_rows()[0], workspace.test_rows()[0]]
    for name in numeric:
        assert sorted(np.concatenate([part[name] for part in columns]).tolist()) == sorted(frame[name].tolist()), name


@pytest.mark.parametrize("name", ["table.txt", "table", "table.csv.gz", "table.jsonl"])
def test_a_source_of_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert "params.yaml: data.source is " in refused(tmp_path / name)


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\0\0", b'n,c,y\n1,"2\n', b"n,c,y\n1,2,3\n1\n", b"n,c,y\n", b"n,n,c,y\n1,1,1,1\n"]
)
def test_a_source_that_cannot_be_read_is_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert "table." in refused(tmp_path / name)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("column", ["n", "c", "y"])
def test_a_missing_column_is_named(tmp_path: Path, kind: str, column: str) -> None:
    frame = pd.DataFrame({"n": [1, 2], "c": ["a", "b"], "y": [0, 1]}).drop(columns=column)
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    assert f"has no column '{column}'; its columns are: " in refused(tmp_path / f"t.{kind}")


def test_a_missing_source_is_one_line(tmp_path: Path) -> None:
    assert "no such file" in refused(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    "table", ["constant", "all missing", "one row each", "two rows", "numeric only", "categorical only", "regression"]
)
def test_plain_and_poor_tables_go_through_prepare_and_describe(tmp_path: Path, table: str) -> None:
    frame = pd.DataFrame({"n": [1.0, 2.0, 3.0] * 4, "c": ["u", "v", "w"] * 4, "y": ["a", "b", "c"] * 4})
    changes: dict[str, Any] = {"numeric": ["n"], "categorical": ["c"]}
    if table == "constant":
        frame = frame.assign(n=5, c="same")
    elif table == "all missing":
        frame = frame.assign(n=np.nan, c=None)
    elif table == "two rows":
        frame = frame.head(6)
    elif table == "one row each":
        frame = pd.concat([frame.head(3)] * 2)
    elif table == "numeric only":
        changes["categorical"] = []
    elif table == "categorical only":
        changes["numeric"] = []
    else:
        frame, changes = frame.assign(y=np.arange(12) / 3), {**changes, "task": "regression"}
    workspace = builders.start(tmp_path, "mixed", frame, **changes)
    summary = builders.prepared(workspace)
    rows = [len(workspace.train_rows()[1]), len(workspace.test_rows()[1])]
    assert sum(rows) == len(frame)
    assert min(rows) >= 1
    assert summary["rows"] == {"train": rows[0], "test": rows[1]}


def test_the_flights_name_a_column_that_they_lack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.sources import flights

    monkeypatch.setattr(
        flights, "join", lambda folder: pd.DataFrame({"n": [1.0, 2.0] * 2, "c": ["a", None] * 2, "y": [0, 1] * 2})
    )
    columns, target = raw.read(data(tmp_path))
    assert columns["c"].tolist() == ["a", "", "a", ""]
    assert target.tolist() == [0, 1, 0, 1]
    assert "has no column 'absent'; its columns are: n, c, y" in refused(tmp_path, numeric=["absent"])


def test_booleans_stay_booleans_in_the_schema_and_the_summary(tmp_path: Path) -> None:
    frame = pd.DataFrame({"n": np.arange(8.0), "c": list("abababab"), "y": [True, False, True, True] * 2})
    workspace = builders.start(tmp_path, "mixed", frame, numeric=["n"], categorical=["c"])
    summary = builders.prepared(workspace)
    assert workspace.schema().classes == [False, True]
    assert workspace.train_rows()[1].dtype == np.bool_
    assert summary["classes"] == {"false": {"train": 1, "test": 1}, "true": {"train": 5, "test": 1}}
