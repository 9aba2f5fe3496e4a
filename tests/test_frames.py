"""isoform.frames: DataFrames and Arrow tables mean what the same cells mean in a dict of lists."""

import datetime
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from builders import python
from hypothesis import given
from hypothesis import strategies as st

from isoform.errors import BadInput
from isoform.rows import Columns, canonical

INT64 = st.integers(-(2**63), 2**63 - 1)
KINDS = [
    st.floats() | st.none(),
    INT64 | st.none(),
    st.booleans() | st.none(),
    st.text(st.characters(exclude_categories=["Cs"])) | st.none(),
    st.dates(datetime.date(1700, 1, 1), datetime.date(2200, 1, 1)) | st.none(),
    st.decimals(-1000, 1000, places=2) | st.none(),
    st.binary() | st.none(),
]
columns_of_cells = st.one_of([st.lists(kind, min_size=1, max_size=12) for kind in KINDS])


def in_two(table: pa.Table) -> pa.Table:
    """The same rows in two chunks."""
    return pa.concat_tables([table.slice(0, len(table) // 2), table.slice(len(table) // 2)])


SHAPES: dict[str, Callable[[dict[str, list[Any]]], Any]] = {
    "records": lambda columns: [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)],
    "objects": lambda columns: {name: np.array([*cells, None], dtype=object)[:-1] for name, cells in columns.items()},
    "series": lambda columns: {name: pd.Series(cells) for name, cells in columns.items()},
    "pandas": pd.DataFrame,
    "pandas objects": lambda columns: pd.DataFrame(columns, dtype=object),
    "pandas nullable": lambda columns: pd.DataFrame(columns).convert_dtypes(),
    "pandas on Arrow": lambda columns: pa.table(columns).to_pandas(types_mapper=pd.ArrowDtype),
    "polars": pl.DataFrame,
    "polars series": lambda columns: {name: pl.Series(cells) for name, cells in columns.items()},
    "Arrow": pa.table,
    "Arrow in chunks": lambda columns: in_two(pa.table(columns)),
    "Arrow batch": pa.record_batch,
    "Arrow arrays": lambda columns: {name: pa.array(cells) for name, cells in columns.items()},
}


def outcome(rows: Any) -> Any:
    """What becomes of rows: canonical columns as lists, or the column that is refused."""
    try:
        columns: Columns = canonical(rows, ["n"], ["t"])
    except BadInput as error:
        return error.where.split(",")[0]
    return {name: [str(cell) for cell in column.tolist()] for name, column in columns.items()}


@pytest.mark.parametrize("shape", SHAPES)
@given(cells=columns_of_cells, is_text=st.booleans())
def test_the_same_cells_mean_the_same_in_every_shape(shape: str, cells: list[Any], is_text: bool) -> None:
    columns = {"n": [0.5] * len(cells), "t": ["a"] * len(cells)} | {"t" if is_text else "n": cells}
    assert outcome(SHAPES[shape](columns)) == outcome(columns)


@pytest.mark.parametrize(
    "dtype",
    [
        "bool",
        "int8",
        "uint64",
        "float16",
        "float32",
        "float64",
        "Int64",
        "UInt8",
        "Float32",
        "boolean",
        "int64[pyarrow]",
        "bool[pyarrow]",
        "float[pyarrow]",
        "Sparse[float64]",
        "category",
        "object",
    ],
)
def test_pandas_numbers_of_every_type_are_taken(dtype: Any) -> None:
    frame = pd.DataFrame({"n": pd.Series([0, 1], dtype=dtype)})
    assert canonical(frame, ["n"], [])["n"].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("dtype", ["Int64", "UInt8", "Float32", "boolean", "int64[pyarrow]", "bool[pyarrow]", "category"])
def test_pandas_numbers_may_be_missing(dtype: Any) -> None:
    frame = pd.DataFrame({"n": pd.Series([None, 1], dtype=dtype)})
    assert np.isnan(canonical(frame, ["n"], [])["n"]).tolist() == [True, False]


@pytest.mark.parametrize("dtype", ["str", "string", "string[pyarrow]", "string[python]", "category", object])
def test_pandas_texts_of_every_type_are_taken(dtype: Any) -> None:
    frame = pd.DataFrame({"t": pd.Series(["a", None, "b"], dtype=dtype)})
    assert canonical(frame, [], ["t"])["t"].tolist() == ["a", "", "b"]


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical, pl.Enum(["a", "b"])])
def test_polars_texts_of_every_type_are_taken(dtype: Any) -> None:
    frame = pl.DataFrame({"t": pl.Series(["a", None, "b"], dtype=dtype)})
    assert canonical(frame, [], ["t"])["t"].tolist() == ["a", "", "b"]


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt64, pl.Float32, pl.Boolean, pl.Int32])
def test_polars_numbers_of_every_type_are_taken(dtype: Any) -> None:
    frame = pl.DataFrame({"n": pl.Series([1, None, 0]).cast(dtype)})
    assert canonical(frame, ["n"], [])["n"].tolist()[::2] == [1.0, 0.0]
    assert np.isnan(canonical(frame, ["n"], [])["n"][1])


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.dictionary(pa.int32(), pa.large_string()),
    ],
    ids=str,
)
@pytest.mark.parametrize("chunks", [1, 2])
def test_arrow_texts_of_every_type_are_taken(kind: pa.DataType, chunks: int) -> None:
    column = pa.chunked_array([pa.array(["b", None, "a"], kind)] * chunks)
    for rows in (pa.table({"t": column}), {"t": column}):
        assert canonical(rows, [], ["t"])["t"].tolist() == ["b", "", "a"] * chunks


@pytest.mark.parametrize(
    "kind", [pa.int8(), pa.uint64(), pa.float32(), pa.bool_(), pa.dictionary(pa.int8(), pa.int64())], ids=str
)
@pytest.mark.parametrize("chunks", [1, 2])
def test_arrow_numbers_of_every_type_are_taken(kind: pa.DataType, chunks: int) -> None:
    cells = [True, None, False] if kind == pa.bool_() else [1, None, 0]
    found = canonical(pa.table({"n": pa.chunked_array([pa.array(cells, kind)] * chunks)}), ["n"], [])["n"]
    assert np.isnan(found).tolist() == [False, True, False] * chunks
    assert found[~np.isnan(found)].tolist() == [1, 0] * chunks


DATES = [datetime.datetime(2020, 1, 1), datetime.datetime(2021, 1, 1)]


@pytest.mark.parametrize(
    "rows",
    [
        pd.DataFrame({"when": pd.to_datetime(DATES)}),
        pd.DataFrame({"when": pd.to_datetime(DATES).tz_localize("UTC")}),
        pd.DataFrame({"when": pd.Series(DATES, dtype=object)}),
        pl.DataFrame({"when": DATES}),
        pl.DataFrame({"when": [date.date() for date in DATES]}),
        pl.DataFrame({"when": [date.time() for date in DATES]}),
        pa.table({"when": DATES}),
        pa.table({"when": [date.date() for date in DATES]}),
    ],
    ids=range(8),
)
def test_dates_are_refused_naming_the_column(rows: Any) -> None:
    with pytest.raises(BadInput, match=r"column 'when'.*: holds dates; give numbers, for example year, month, weekday"):
        canonical(rows, ["when"], [])
    with pytest.raises(BadInput, match=r"column 'when', row 0: holds a .*; give text or null"):
        canonical(rows, [], ["when"])


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([Decimal("1.5")]),
        pl.Series([[1]], dtype=pl.Array(pl.Int8, 1)),
        pl.Series([[1]]),
        pl.Series([{"a": 1}]),
        pl.Series([1], dtype=pl.Int128),
        pl.Series([datetime.timedelta(1)]),
        pa.array([Decimal("1.5")]),
        pa.array([[1]]),
        pa.array([{"a": 1}]),
        pa.array([b"1"]),
        pa.array([datetime.timedelta(1)]),
        pd.Series(pd.interval_range(0, 1)),
        pd.Series(pd.period_range("2020", periods=1, freq="D")),
        pd.Series([Decimal("1.5")]),
    ],
    ids=lambda column: f"{type(column).__module__.split('.')[0]} {column.dtype if hasattr(column, 'dtype') else column.type}",
)
def test_what_is_neither_number_nor_text_is_refused_naming_the_column(column: Any) -> None:
    rows = [{"x": column}]
    rows += [pl.DataFrame({"x": column})] if isinstance(column, pl.Series) else []
    rows += [pa.table({"x": column})] if isinstance(column, pa.Array) else []
    rows += [pd.DataFrame({"x": column})] if isinstance(column, pd.Series) else []
    assert len(rows) == 2
    for given_rows in rows:
        for numeric, categorical in ((["x"], []), ([], ["x"])):
            with pytest.raises(BadInput, match="column 'x'"):
                canonical(given_rows, numeric, categorical)


@pytest.mark.parametrize(
    "rows",
    [
        pd.DataFrame([[1, 2]], columns=["0", "0"]),
        pd.DataFrame([[1, 2]], columns=pd.Index([0, "0"], dtype=object)),
        pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["0", "0"]),
    ],
    ids=["pandas", "pandas, spelled alike", "Arrow"],
)
def test_a_column_that_stands_twice_is_refused(rows: Any) -> None:
    with pytest.raises(BadInput, match="column '0': stands 2 times; keep one of them"):
        canonical(rows, ["0"], [])


def test_a_column_that_stands_twice_and_is_not_asked_for_is_no_matter() -> None:
    frame = pd.DataFrame([[1, 2, 3]], columns=["n", "x", "x"])
    assert canonical(frame, ["n"], [])["n"].tolist() == [1]


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table, pa.record_batch])
def test_columns_may_be_called_what_the_libraries_call_their_own(make: Callable[[Any], Any]) -> None:
    names = ["columns", "column_names", "collect", "dtype", "type", "to_numpy", "column", "filled", "shape"]
    found = canonical(make({name: [i] for i, name in enumerate(names)}), names, [])
    assert [column.tolist() for column in found.values()] == [[i] for i in range(len(names))]


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table])
def test_a_missing_column_is_named(make: Callable[[Any], Any]) -> None:
    with pytest.raises(BadInput, match="column 'm': is missing; give all of: n, m, t"):
        canonical(make({"n": [1], "t": ["a"]}), ["n", "m"], ["t"])


def test_labels_that_are_no_text_count_by_their_text() -> None:
    assert canonical(pd.DataFrame({0: [1], 1: ["a"]}), ["0"], ["1"])["1"].tolist() == ["a"]


def test_a_frame_that_is_not_there_yet_is_refused() -> None:
    with pytest.raises(BadInput, match=r"rows: are a LazyFrame, which holds no cells yet; give what its collect\(\) returns"):
        canonical(pl.LazyFrame({"n": [1]}), ["n"], [])


@pytest.mark.parametrize(
    "rows", [pd.Series([1]), pa.array([1]), pl.Series([1]), pd.Index([1])], ids=lambda rows: type(rows).__name__
)
def test_one_column_is_no_table(rows: Any) -> None:
    with pytest.raises(BadInput, match="rows: are a"):
        canonical(rows, ["n"], [])


def test_no_table_changes_when_the_answer_does() -> None:
    for rows in (pd.DataFrame({"n": [1.5]}), pl.DataFrame({"n": [1.5]}), pa.table({"n": [1.5]})):
        canonical(rows, ["n"], [])["n"][0] = 7
        assert canonical(rows, ["n"], [])["n"].tolist() == [1.5]


def test_rows_are_read_without_importing_any_of_the_libraries(tmp_path: Any) -> None:
    code = """
import sys
from isoform.rows import canonical
canonical({"n": [1, None], "t": ["a", None]}, ["n"], ["t"])
print(sorted({"pandas", "polars", "pyarrow", "numpy.ma", "isoform.frames"} & set(sys.modules)))
"""
    done = python("-c", code, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("[]\n", "")
