"""Fault 66: rows that no model can answer or learn from, in every kind of file and in a program's memory."""
# ruff: noqa: E501 - a case a line

import io
import json
from collections.abc import Callable
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import builders
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from attempts import Attempt, both
from builders import CATEGORICAL, NUMERIC, Workspace

FOLDER = "models/network/v1.0.0"
GOOD = {"n0": 1.0, "n1": 1.0, "n2": 1.0, "n3": 1.0, "c0": "red", "c1": "Brno"}
HEADER = ",".join(GOOD)
TABLES, PARQUET, ROWS, TARGET = "isoform.tables:", "isoform.parquet:", "isoform.rows:", "pipeline.target:"

Make = Callable[[], bytes]


def csv(line: bytes, header: str = HEADER) -> Make:
    return lambda: header.encode() + b"\n1,1,1,1,red,Brno\n" + line + b"\n"


def jsonl(**cells: Any) -> Make:
    return lambda: "\n".join(map(json.dumps, [GOOD, GOOD | cells])).encode()


def parquet(**columns: Any) -> Make:
    """Return what makes a Parquet file of two good rows with other columns in it; None leaves one out."""

    def make() -> bytes:
        table = {name: pa.array([cell, cell]) for name, cell in GOOD.items()} | columns
        return stored(pa.table({name: column for name, column in table.items() if column is not None}))

    return make


def stored(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def encoded(texts: list[bytes]) -> pa.Array:
    """Return bytes as a column of text that nobody has checked."""
    return pa.Array.from_buffers(pa.string(), len(texts), pa.array(texts, pa.binary()).buffers())


def same(cell: Any, rows: int) -> pa.Array:
    """Return a column of one value, which takes next to no room in a file."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([cell]))


@cache
def many_numbers() -> bytes:
    """Return a small file of 4 columns of 280 million numbers, all missing (quick to write), in row groups that are all the same."""
    rows = 4_000_000
    table = pa.table({name: pa.nulls(rows, pa.float64() if name in NUMERIC else pa.string()) for name in GOOD})
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, table.schema, compression="zstd") as writer:
        for _ in range(70):
            writer.write_table(table, row_group_size=rows)
    return buffer.getvalue()


def long_texts(*, plain: bool) -> bytes:
    """Return a small file in which one text of a megabyte stands 100,000 times; `plain`: its schema does not say so."""
    rows = 100_000
    table = pa.table({name: same("x" * 1_000_000 if name == "c0" else cell, rows) for name, cell in GOOD.items()})
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, table.schema, compression="zstd", store_schema=not plain) as writer:
        writer.write_table(table)
    return buffer.getvalue()


def with_extension() -> bytes:
    """Return a file whose schema names an extension type of Arrow that was once unpickled on sight (CVE-2023-47248).

    Today's Arrow takes no notice of it, so the column is refused as one of text; what the test adds is that nothing was run.
    """
    payload = b"cos\nsystem\n(S'rm canary'\ntR."
    marked = pa.field(
        "n0", pa.int64(), metadata={"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": payload}
    )
    fields = [marked, *(pa.field(name, pa.float64() if name in NUMERIC else pa.string()) for name in list(GOOD)[1:])]
    columns = [pa.array(["not a number"] if field.name == "n0" else [GOOD[field.name]]) for field in fields]
    return stored(pa.table(columns, schema=pa.schema([marked.with_type(pa.string()), *fields[1:]])))


FILES: list[tuple[str, str, Make, str, str]] = [
    ("missing column", "csv", csv(b"1,1,1,1,red,Brno", HEADER.replace("c1", "c2")), "^has no column 'c1'$", TABLES + "refuse_missing_column"),
    ("missing column", "jsonl", lambda: json.dumps({name: cell for name, cell in GOOD.items() if name != "c1"}).encode(), "^line 1 lacks c1$", TABLES + "refuse_incomplete_object"),
    ("missing column", "parquet", parquet(c1=None), "^has no column 'c1'$", TABLES + "refuse_missing_column"),
    ("repeated column", "csv", csv(b"1,1,1,1,red,Brno", HEADER.replace("c1", "c0") + ",c1"), "^has column 'c0' 2 times$", TABLES + "refuse_repeated_column"),
    ("wrong dtype: text for a number", "csv", csv(b"one,1,1,1,red,Brno"), "^line 3: 'n0' is 'one'$", TABLES + "refuse_no_number"),
    ("wrong dtype: text for a number", "jsonl", jsonl(n0="1"), "^holds a str$", ROWS + "refuse_no_number"),
    ("wrong dtype: text for a number", "parquet", parquet(n0=pa.array(["one", "two"])), "^row 0: 'n0' is 'one', of type string$", PARQUET + "refuse_no_numbers"),
    ("wrong dtype: date for a number", "csv", csv(b"2020-01-02,1,1,1,red,Brno"), "^line 3: 'n0' is '2020-01-02', a date$", TABLES + "refuse_no_number"),
    ("wrong dtype: number for a text", "jsonl", jsonl(c0=5), "^holds a int$", ROWS + "refuse_no_text"),
    ("wrong dtype: list for a text", "jsonl", jsonl(c0=[[]]), "^holds a list$", ROWS + "refuse_no_text"),
    ("wrong dtype: number for a text", "parquet", parquet(c0=pa.array([5, 6])), "^row 0: 'c0' is '5', of type int64$", PARQUET + "refuse_no_texts"),
    ("wrong dtype: list for a number", "parquet", parquet(n0=pa.array([[1.0], [2.0]])), "^column 'n0' of type list", PARQUET + "refuse_nested"),
    ("extra comma", "csv", csv(b"1,1,1,1,red,Brno,"), "^line 3 has 7 cells, the header has 6$", TABLES + "refuse_other_width"),
    ("lacking comma", "csv", csv(b"1,1,1,1,red"), "^line 3 has 5 cells, the header has 6$", TABLES + "refuse_other_width"),
    ("bad UTF-8", "csv", csv(b"1,1,1,1,red,\xff"), "^line 3 is not UTF-8$", TABLES + "refuse_other_encoding"),
    ("bad UTF-8", "jsonl", lambda: json.dumps(GOOD).encode().replace(b"Brno", b"\xc3"), "^line 1 is not UTF-8$", TABLES + "refuse_other_encoding"),
    ("bad UTF-8", "parquet", parquet(c0=encoded([b"\xff", b"a"])), "^is not Parquet of numbers and text ", ""),
    ("surrogate as UTF-8", "csv", csv(b"1,1,1,1,red,\xed\xa0\x80"), "^line 3 is not UTF-8$", TABLES + "refuse_other_encoding"),
    ("NUL in text", "csv", csv(b"1,1,1,1,red,a\0b"), "^holds NUL or a lone surrogate$", ROWS + "refuse_unclean"),
    ("NUL in text", "jsonl", jsonl(c1="a\0b"), "^holds NUL or a lone surrogate$", ROWS + "refuse_unclean"),
    ("NUL in text", "parquet", parquet(c1=pa.array(["a\0b", ""])), "^holds NUL or a lone surrogate$", ROWS + "refuse_unclean"),
    ("lone surrogate in text", "jsonl", jsonl(c1="\ud800"), "^holds NUL or a lone surrogate$", ROWS + "refuse_unclean"),
    ("no object", "jsonl", lambda: b"[1, 2]\n", "^line 1 lacks n0", TABLES + "refuse_incomplete_object"),
    ("deep nesting", "jsonl", lambda: b'{"n0": ' + b"[" * 1_000_000, r"^line 1 is not JSON \(maximum recursion depth exceeded", ""),
    ("endless number", "jsonl", lambda: b'{"n0": ' + b"9" * 100_000 + b"}", r"^line 1 is not JSON \(Exceeds the limit", ""),
    ("open quote", "csv", csv(b'1,1,1,1,red,"Brno'), "^line 3: unexpected end of data$", ""),
    ("a field of 300 MB", "csv", lambda: HEADER.encode() + b"\n1,1,1,1,red," + b"x" * 300_000_000 + b"\n", "^line 2 has more than 8388608 letters$", TABLES + "refuse_long_line"),
    ("a quoted field of a million lines", "csv", lambda: HEADER.encode() + b'\n1,1,1,1,red,"' + b"x\n" * 1_000_000, r"^line \d+: field larger than field limit \(131072\)$", ""),
    ("a line of 300 MB", "jsonl", lambda: b'{"n0": "' + b"x" * 300_000_000 + b'"}\n', "^line 1 has more than 8388608 letters$", TABLES + "refuse_long_line"),
    ("bomb of numbers", "parquet", many_numbers, r"^expands to \d{11} bytes, the limit is 8589934592$", PARQUET + "refuse_bomb"),
    ("bomb of long texts", "parquet", lambda: long_texts(plain=True), r"^column 'c0' expands to 100000000000 bytes, the limit is ", PARQUET + "refuse_text_bomb"),
    ("bomb of long texts, named a dictionary", "parquet", lambda: long_texts(plain=False), r"^column 'c0' expands to 100000000000 bytes, the limit is ", PARQUET + "refuse_text_bomb"),
    ("wrong dtype: text for a number, with a pickle in its schema", "parquet", with_extension, r"^row 0: 'n0' is 'not a number', of type string$", PARQUET + "refuse_no_numbers"),
    ("not Parquet", "parquet", lambda: b"PAR1 and no more PAR1", "^is not Parquet of numbers and text ", ""),
    ("another kind of file", "txt", lambda: b"", r"^has the suffix '\.txt'$", TABLES + "refuse_other_kind"),
]  # fmt: skip

PROGRAM = """
import sys
import numpy as np
import pandas as pd
import isoform
from isoform import errors

class Evil:
    def __str__(self):
        open("canary", "w").write("evil")
        raise RuntimeError("told nobody")
    __repr__ = __format__ = __float__ = __int__ = __index__ = __eq__ = __hash__ = __len__ = __bool__ = __str__

class Named:
    def __str__(self):
        raise RuntimeError("told nobody")

good = dict(n0=1.0, n1=1.0, n2=1.0, n3=1.0, c0="red", c1="Brno")
columns = {name: [cell, cell] for name, cell in good.items()}
sys.exit(errors.run(lambda: print(isoform.load("models/network/v1.0.0").predict(ROWS))))
"""
MEMORY: list[tuple[str, str, str, str]] = [
    ("missing column", "{name: columns[name] for name in list(columns)[:5]}", "^is missing$", ROWS + "refuse_missing_column"),
    ("missing column of a DataFrame", "pd.DataFrame(columns).drop(columns='c1')", "^is missing$", ROWS + "refuse_missing_column"),
    ("missing cell", "[good, {name: good[name] for name in list(good)[:5]}]", "^lacks column 'c1'$", ROWS + "refuse_incomplete_row"),
    ("columns of two lengths", "columns | {'c1': ['Brno']}", "^has 1 rows, column 'n3' has 2$", ROWS + "refuse_uneven"),
    ("repeated column", "pd.concat([pd.DataFrame(columns), pd.DataFrame(columns)], axis=1)", "^stands 2 times$", "isoform.frames:refuse_repeated"),
    ("wrong dtype: text for a number", "columns | {'n0': ['1', '2']}", "^holds a str$", ROWS + "refuse_no_number"),
    ("wrong dtype: an array of text", "columns | {'n0': np.array(['one', 'two'])}", "^holds <U3$", ROWS + "refuse_no_number"),
    ("wrong dtype: complex", "columns | {'n0': np.array([1j, 2j])}", "^holds complex128$", ROWS + "refuse_no_number"),
    ("wrong dtype: dates", "columns | {'n0': np.array(['2020-01-01', '2020-01-02'], 'M8[D]')}", "^holds dates$", ROWS + "refuse_no_number"),
    ("wrong dtype: number for a text", "columns | {'c0': [5, 6]}", "^holds a int$", ROWS + "refuse_no_text"),
    ("wrong dtype: bytes for a text", "columns | {'c0': [b'red', b'red']}", "^holds a bytes$", ROWS + "refuse_no_text"),
    ("NUL in text", "columns | {'c0': ['a\\0b', '']}", "^holds NUL or a lone surrogate$", ROWS + "refuse_unclean"),
    ("lone surrogate in text", "columns | {'c0': ['\\ud800', '']}", "^holds NUL or a lone surrogate$", ROWS + "refuse_unclean"),
    ("object whose __str__ raises, for a text", "columns | {'c0': [Evil(), 'red']}", "^holds a Evil$", ROWS + "refuse_no_text"),
    ("object whose __str__ raises, for a number", "columns | {'n0': [Evil(), 1.0]}", "^holds a Evil$", ROWS + "refuse_no_number"),
    ("object whose __str__ raises, in a DataFrame", "pd.DataFrame(columns).assign(c0=pd.Series([Evil(), 'red'], dtype=object))", "^holds a Evil$", ROWS + "refuse_no_text"),
    ("object whose __str__ raises, as a label", "pd.DataFrame(columns).rename(columns={'c1': Named()})", "^is missing$", ROWS + "refuse_missing_column"),
    ("no rows at all", "Evil()", "^are a Evil$", ""),
]  # fmt: skip


def training(
    change: Callable[[pd.DataFrame], pd.DataFrame], task: str = "classification", suffix: str = "parquet"
) -> Callable[[Path], list[str]]:
    """Return what changes the raw table and prepares it."""

    def arrange(root: Path) -> list[str]:
        table = change(builders.frame("regression" if task == "regression" else "mixed"))
        content = builders.settings("regression" if task == "regression" else "mixed", source=f"data/raw/table.{suffix}")
        (root / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        path = root / "data" / "raw" / f"table.{suffix}"
        table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path, index=False)
        return ["-m", "stages.prepare"]

    return arrange


def labelled(first: Any, second: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Return what gives the two classes other labels."""
    return lambda table: table.assign(y=pd.Series([(first, second)[label] for label in table["y"]]))


def flights(root: Path) -> list[str]:
    """Have a text of the flights' for the number to predict."""
    folder = root / "data" / "raw" / "flights"
    folder.mkdir()
    for name, table in FLIGHTS.items():
        table.to_csv(folder / name, index=False)
    columns = {"numeric": ["temp"], "categorical": ["carrier"], "target": "origin"}
    content = builders.settings("regression", source="data/raw/flights", **columns)
    (root / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return ["-m", "stages.prepare"]


FLIGHT = {"year": 2013, "month": 1, "day": 7, "carrier": "AA", "tailnum": "N1", "origin": "JFK", "time_hour": "2013-01-07"}
FLIGHT |= dict.fromkeys(["sched_dep_time", "sched_arr_time", "arr_delay"], 900)
WEATHER = {"origin": "JFK", "time_hour": "2013-01-07"}
WEATHER |= dict.fromkeys(["temp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"], 1)
PLANE = {"tailnum": "N1", "year": 1999, "manufacturer": "BOEING", "engine": "Turbo-fan", "seats": 150}
FLIGHTS = {
    "flights.csv.zip": pd.DataFrame([FLIGHT, FLIGHT]),
    "weather.csv": pd.DataFrame([WEATHER]),
    "planes.csv": pd.DataFrame([PLANE]),
}


def lines(root: Path) -> list[str]:
    """Name a file that rows to answer may have, and no table to learn from."""
    content = builders.settings("regression", source="data/raw/table.jsonl")
    (root / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    builders.frame("regression").to_json(root / "data" / "raw" / "table.jsonl", orient="records", lines=True)
    return ["-m", "stages.prepare"]


def at_row_5(value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: table.assign(
        y=table["y"].astype(object if isinstance(value, str) else float).where(table.index != 5, value)
    )


TRAINING: list[tuple[str, str, Callable[[Path], list[str]], str, str]] = [
    ("NaN label", "parquet", training(at_row_5(float("nan"))), r"^has no 'y' in 1 rows \(counted from 0: 5\)$", TARGET + "refuse_missing"),
    ("NaN label", "csv", training(at_row_5(float("nan")), suffix="csv"), r"^has no 'y' in 1 rows \(counted from 0: 5\)$", TARGET + "refuse_missing"),
    ("NaN to predict", "parquet", training(at_row_5(float("nan")), "regression"), r"^has no 'y' in 1 rows", TARGET + "refuse_missing"),
    ("infinity to predict", "parquet", training(at_row_5(float("inf")), "regression"), "^row 5: 'y' is inf, infinite or beyond float32$", TARGET + "refuse_infinite"),
    ("text to predict", "parquet", training(lambda table: table.assign(y=table["y"].astype(str)), "regression"), "^row 0: 'y' is '.*', of type (large_)?string$", PARQUET + "refuse_no_numbers"),
    ("zero rows", "parquet", training(lambda table: table.head(0)), "^holds no rows$", "pipeline.raw:refuse_no_rows"),
    ("zero rows", "csv", training(lambda table: table.head(0), suffix="csv"), "^holds no rows$", "pipeline.raw:refuse_no_rows"),
    ("zero rows to predict from", "parquet", training(lambda table: table.head(0), "regression"), "^holds no rows$", "pipeline.raw:refuse_no_rows"),
    ("one class", "parquet", training(lambda table: table.assign(y=1)), "^'y' has fewer than two classes$", TARGET + "refuse_one_class"),
    ("one class", "csv", training(lambda table: table.assign(y="yes"), suffix="csv"), "^'y' has fewer than two classes$", TARGET + "refuse_one_class"),
    ("a constant to predict", "parquet", training(lambda table: table.assign(y=0.5), "regression"), "^'y' has fewer than two distinct values", TARGET + "refuse_constant"),
    ("a class of one row", "parquet", training(lambda table: table.assign(y=table["y"].where(table.index != 5, 7))), "^'y' has one row of the class 7;", TARGET + "refuse_single_row"),
    ("every row a class", "parquet", training(lambda table: table.assign(y=range(len(table)))), "^'y' has 300 classes in 300 rows;", TARGET + "refuse_many_classes"),
    ("fractions as classes", "parquet", training(lambda table: table.assign(y=table["y"] + 0.5)), "^'y' holds fractions, such as ", TARGET + "refuse_fractions"),
    ("dates as classes", "parquet", training(labelled(date(2020, 1, 2), date(2021, 1, 2))), "^'y' holds a date$", TARGET + "refuse_other_labels"),
    ("classes beyond int64", "parquet", training(lambda table: table.assign(y=table["y"].astype("uint64") + 2**63)), "^'y' holds integers beyond 64 bits$", TARGET + "refuse_large_integers"),
    ("text of the flights to predict", "flights", flights, "^'origin' is no column of numbers$", TARGET + "refuse_no_quantity"),
    ("another kind of file", "jsonl", lines, r"^data\.source is 'data/raw/table\.jsonl'$", "pipeline.raw:refuse_other_source"),
    ("missing column", "parquet", training(lambda table: table.drop(columns="n0")), "^has no column 'n0'$", TABLES + "refuse_missing_column"),
    ("missing target", "csv", training(lambda table: table.drop(columns="y"), suffix="csv"), "^has no column 'y'$", TABLES + "refuse_missing_column"),
    ("text in a numeric column", "parquet", training(lambda table: table.assign(n0="one")), "^row 0: 'n0' is 'one', of type (large_)?string$", PARQUET + "refuse_no_numbers"),
    ("NUL in text", "parquet", training(lambda table: table.assign(c0="a\0b")), "^holds NUL or a lone surrogate$", ROWS + "refuse_unclean"),
    ("NUL in a label", "parquet", training(lambda table: table.assign(y=table["y"].map({0: "a\0", 1: "b"}))), "^holds NUL or a lone surrogate$", ROWS + "refuse_unclean"),
]  # fmt: skip


def predicts(suffix: str, make: Make) -> Callable[[Path], list[str]]:
    def arrange(root: Path) -> list[str]:
        (root / f"rows.{suffix}").write_bytes(make())
        return ["predict", FOLDER, f"rows.{suffix}", "--format", "safetensors"]

    return arrange


def program(rows: str) -> Callable[[Path], list[str]]:
    return lambda root: ["-c", PROGRAM.replace("ROWS", rows)]


FAULTS = [
    Attempt(number=66, title=title, format=place, arrange=arrange, reason=reason, guard=guard)
    for title, place, arrange, reason, guard in [
        *((title, f"rows: {kind}", predicts(kind, make), reason, guard) for title, kind, make, reason, guard in FILES),
        *((title, "rows: memory", program(rows), reason, guard) for title, rows, reason, guard in MEMORY),
        *((title, f"training rows: {kind}", arrange, reason, guard) for title, kind, arrange, reason, guard in TRAINING),
    ]
]


@pytest.fixture
def root(workspace: Workspace) -> Path:
    (workspace.root / "canary").write_text("untouched")
    return workspace.root


test_it_is_held, test_it_is_not_held_without_its_guard = both(FAULTS)


def test_the_columns_are_those_of_the_workspace() -> None:
    assert list(GOOD) == [*NUMERIC, *CATEGORICAL]
