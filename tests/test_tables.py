"""isoform.tables: rows from CSV, JSON Lines and Parquet, or one line that names the place at fault."""

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoform.errors import BadInput
from isoform.rows import MISSING_NUMBERS, canonical
from isoform.tables import names, read

NUMBERS, TEXTS = [1.5, None, -2.0, 0.0], ["a", "", 'with "quotes", commas\nand lines', "日本\u2028語"]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def frame() -> pd.DataFrame:
    return pd.DataFrame({"extra": [9] * 4, "t": TEXTS, "n": NUMBERS})


def written(tmp_path: Path, suffix: str) -> Path:
    path = tmp_path / f"rows{suffix}"
    if suffix == ".csv":
        frame().to_csv(path, index=False)
    elif suffix == ".jsonl":
        lines = [json.dumps({"n": n, "t": t, "extra": [1]}, ensure_ascii=False) for n, t in zip(NUMBERS, TEXTS, strict=True)]
        write(path, "\n".join(lines))
    else:
        frame().to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_the_same_rows_come_from_every_kind_of_file(tmp_path: Path, suffix: str) -> None:
    found = canonical(read(written(tmp_path, suffix), ["n"], ["t"]), ["n"], ["t"])
    expected = canonical({"n": NUMBERS, "t": TEXTS}, ["n"], ["t"])
    assert found["n"].tobytes() == expected["n"].tobytes()
    assert found["t"].tolist() == TEXTS


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_missing_column_is_named(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(BadInput, match="absent"):
        read(written(tmp_path, suffix), ["n", "absent"], ["t"])


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\xff\n\x80", b"PAR1" + b"\0" * 20 + b"PAR1", b"n,t\n1,\xff\n"])
def test_bytes_of_another_kind_are_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    with pytest.raises(BadInput):
        read(write(tmp_path / f"rows{suffix}", content), ["n"], ["t"])


@pytest.mark.parametrize("suffix", ["", ".txt", ".CSV", ".gz"])
def test_another_suffix_is_refused(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(BadInput, match=r"give one of .csv, .jsonl, .parquet"):
        read(write(tmp_path / f"rows{suffix}", "n\n1\n"), ["n"], [])


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), min_size=1), max_size=5))
def test_any_text_survives_csv(texts: list[str]) -> None:
    import csv
    import io

    from isoform.tables import _read_csv

    stream = io.StringIO(newline="")
    csv.writer(stream).writerows([["t"], *([text] for text in texts)])
    assert _read_csv(Path("rows.csv"), stream.getvalue().encode(), [], ["t"], []) == {"t": texts}


@pytest.mark.parametrize("cell", MISSING_NUMBERS)
def test_every_spelling_of_a_missing_number_is_missing(tmp_path: Path, cell: str) -> None:
    found = read(write(tmp_path / "rows.csv", f"n,m\n{cell},1\n"), ["n", "m"], [])
    assert math.isnan(found["n"][0])
    assert found["m"] == [1.0]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_booleans_in_a_numeric_column_count_one_and_nought(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    if suffix == ".csv":
        write(path, "n\nTrue\nfalse\n\nTRUE\n")
    elif suffix == ".jsonl":
        write(path, '{"n": true}\n{"n": false}\n{"n": true}')
    else:
        parquet(path, n=pa.array([True, False, True]))
    assert canonical(read(path, ["n"], []), ["n"], [])["n"].tolist() == [1.0, 0.0, 1.0]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_plain_columns_come_as_the_file_has_them(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path, suffix)
    expected: list[Any] = ["1.5", "", "-2.0", "0.0"] if suffix == ".csv" else NUMBERS
    assert read(path, [], [], ["n", "t"]) == {"n": expected, "t": TEXTS}
    assert set(read(path, [], ["t"], ["n"])) == {"n", "t"}


def test_the_names_of_columns_are_read_in_order(tmp_path: Path) -> None:
    for suffix in (".csv", ".parquet"):
        assert names(written(tmp_path, suffix)) == ["extra", "t", "n"]
    assert names(write(tmp_path / "quoted.csv", '\ufeff"a,\n""b""",a\n')) == ['a,\n"b"', "a"]
    assert names(write(tmp_path / "empty.csv", "")) == []


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.parquet"])
def test_names_that_cannot_be_read_are_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="rows"):
        names(write(tmp_path / name, b'"\xff'))


def test_a_text_spelt_as_a_missing_number_stays_text(tmp_path: Path) -> None:
    cells = [cell for cell in MISSING_NUMBERS if cell]
    assert read(write(tmp_path / "rows.csv", "\n".join(["t", *cells])), [], ["t"]) == {"t": cells}


@pytest.mark.parametrize(
    "text", ["n,t\n1,a\n", "\ufeffn,t\n1,a\n", "n,t\r\n1,a\r\n", 'n,"t"\n1,"a"', "\n".join(["n,t", "1,a", "", ""])]
)
def test_common_kinds_of_csv_are_read(tmp_path: Path, text: str) -> None:
    assert read(write(tmp_path / "rows.csv", text), ["n"], ["t"]) == {"n": [1.0], "t": ["a"]}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has no column 'n'; its columns are: none"),
        ("a,t\n", "has no column 'n'; its columns are: a, t"),
        ("n,n,t\n", "has column 'n' 2 times"),
        ("n;t\n1;a\n", "has no column 'n', its header is 'n;t'; separate the cells by commas"),
        ("n,t\n1,a\n2\n", "line 3 has 1 cells, the header has 2"),
        ("n,t\n1,a,b\n", "line 2 has 3 cells"),
        ("n,t\n1,a\none,b\n", "line 3: 'n' is 'one'; give a number or nothing"),
        ("n,t\n1_000,b\n", "line 2: 'n' is '1_000'"),
        ("n,t\n2013-01-02,b\n", "line 2: 'n' is '2013-01-02', a date; turn the column into numbers first"),
        ('n,t\n1,"a\n', "line 2: unexpected end of data"),
        ('n,t\n1,"a"b\n', "line 2: "),
        ("n,t\n1," + "a" * 200_000 + "\n", "line 2: field larger than field limit"),
    ],
)
def test_csv_at_fault_names_the_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        read(write(tmp_path / "rows.csv", text), ["n"], ["t"])


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="line 3 is not UTF-8; save the file as UTF-8"):
        read(write(tmp_path / "rows.csv", b"t\na\n\xe9\n"), [], ["t"])


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"n": 1, "t": "a"}\n{"n": 1', "line 2 is not JSON"),
        ("[" * 100_000, "line 1 is not JSON"),
        ('{"n": ' + "9" * 10_000 + "}", "line 1 is not JSON"),
        ("[1]", "line 1 lacks n, t"),
        ("null", "line 1 lacks n, t"),
        ('\n\n{"n": 1}', "line 3 lacks t; give every column, null when unknown"),
    ],
)
def test_json_lines_at_fault_name_the_line(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(BadInput, match=complaint):
        read(write(tmp_path / "rows.jsonl", text), ["n"], ["t"])


def parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_a_parquet_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["n", "n"]), path)
    with pytest.raises(BadInput, match="has column 'n' 2 times"):
        read(path, ["n"], [])


def test_dictionary_encoded_text_is_text(tmp_path: Path) -> None:
    path = parquet(tmp_path / "rows.parquet", t=pa.array(["a", None]).dictionary_encode())
    assert read(path, [], ["t"])["t"].tolist() == ["a", None]


def test_damaged_parquet_is_read_or_refused_and_raises_nothing_else(tmp_path: Path) -> None:
    path = written(tmp_path, ".parquet")
    data, refused = path.read_bytes(), 0
    for position in range(0, len(data), 5):
        damaged = bytearray(data)
        damaged[position] ^= 0xFF
        try:
            canonical(read(write(path, bytes(damaged)), ["n"], ["t"]), ["n"], ["t"])
        except BadInput:
            refused += 1
    assert refused


def test_parquet_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    column = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")])
    path = parquet(tmp_path / "rows.parquet", t=column)
    with pytest.raises(BadInput, match=str(path)):
        read(path, [], ["t"])


def test_parquet_times_that_python_cannot_hold_are_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path / "rows.parquet", n=pa.array([2**62], pa.timestamp("ms")))
    with pytest.raises(BadInput):
        canonical(read(path, ["n"], []), ["n"], [])
