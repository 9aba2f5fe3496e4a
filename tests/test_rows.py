"""isoform.rows: the row policy, total over what a table may hold and strict about the rest."""

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoform.errors import BadInput
from isoform.rows import canonical, count, numbers, take, texts

FLOAT32_MAX = float(np.finfo(np.float32).max)
number_cells = (
    st.none()
    | st.floats()
    | st.integers()
    | st.booleans()
    | st.floats(width=32).map(np.float32)
    | st.just(10**400)
    | st.just(pd.NA)
)
text_cells = (
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
    | st.none()
    | st.just(float("nan"))
    | st.just(pd.NA)
)
tables = st.lists(st.tuples(number_cells, text_cells), max_size=20)


@given(tables)
def test_every_number_and_every_text_has_a_canonical_form(table: list[tuple[Any, Any]]) -> None:
    columns = canonical([{"n": n, "t": t} for n, t in table], ["n"], ["t"])
    assert columns["n"].dtype == np.float32
    assert not np.isinf(columns["n"]).any()
    assert columns["t"].dtype == object
    assert all(type(cell) is str for cell in columns["t"])
    assert count(columns) == len(table)


@given(tables)
def test_a_table_means_the_same_in_every_shape(table: list[tuple[Any, Any]]) -> None:
    expected = canonical([{"n": n, "t": t} for n, t in table], ["n"], ["t"])
    by_column = {"n": [n for n, _ in table], "t": [t for _, t in table]}
    for rows in (by_column, pd.DataFrame(by_column, dtype=object), expected):
        found = canonical(rows, ["n"], ["t"])
        assert found["n"].tobytes() == expected["n"].tobytes()
        assert found["t"].tolist() == expected["t"].tolist()


@given(st.floats(allow_nan=False))
def test_a_number_is_rounded_to_float32_or_missing_beyond_its_range(value: float) -> None:
    found = numbers([value], "n")[0]
    with np.errstate(over="ignore"):
        rounded = np.float32(value)
    assert found == rounded if np.isfinite(rounded) else np.isnan(found)


@pytest.mark.parametrize("missing", [None, np.nan, np.inf, -np.inf, 1e39, -1e39, 10**400, pd.NA, pd.NaT, np.float32("nan")])
def test_what_is_no_float32_is_missing(missing: Any) -> None:
    assert np.isnan(numbers([missing, 1], "n")).tolist() == [True, False]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, np.float64("nan"), np.float32("nan"), ""])
def test_a_missing_text_is_the_empty_text(missing: Any) -> None:
    assert texts([missing, "a"], "t").tolist() == ["", "a"]


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint64", "float16", "float32", "float64", "Int64", "Float32", "boolean", object]
)
def test_numeric_columns_of_every_type_are_taken(dtype: Any) -> None:
    frame = pd.DataFrame({"n": pd.Series([0, 1], dtype=dtype)})
    assert canonical(frame, ["n"], [])["n"].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("dtype", ["str", "string", "category", object])
def test_text_columns_of_every_type_are_taken(dtype: Any) -> None:
    frame = pd.DataFrame({"t": pd.Series(["a", None, "b"], dtype=dtype)})
    assert canonical(frame, [], ["t"])["t"].tolist() == ["a", "", "b"]


def test_arrays_of_one_column_are_taken_as_a_column() -> None:
    columns = canonical({"n": np.zeros((3, 1)), "t": np.array([["a"], ["b"], ["c"]])}, ["n"], ["t"])
    assert columns["n"].shape == columns["t"].shape == (3,)


def test_the_callers_array_is_not_changed() -> None:
    given_array = np.array([np.inf, 1], dtype=np.float32)
    numbers(given_array, "n")
    assert given_array.tolist() == [np.inf, 1]


def test_columns_come_in_the_order_asked_for_and_others_are_ignored() -> None:
    row = {"b": 1, "x": object(), "t": "?", "a": 2}
    assert list(canonical([row], ["a", "b"], ["t"])) == ["a", "b", "t"]


def test_no_rows_are_no_rows() -> None:
    for rows in ([], {"n": [], "t": []}, pd.DataFrame({"n": [], "t": []})):
        assert count(canonical(rows, ["n"], ["t"])) == 0


def test_take_picks_the_same_rows_of_every_column() -> None:
    columns = canonical({"n": [0, 1, 2], "t": ["a", "b", "c"]}, ["n"], ["t"])
    picked = take(columns, np.array([2, 0]))
    assert (picked["n"].tolist(), picked["t"].tolist()) == ([2, 0], ["c", "a"])
    assert take(columns, slice(1, 2))["t"].tolist() == ["b"]


@pytest.mark.parametrize(
    "cell", ["1", "", b"1", [1], {}, 1j, np.complex64(1), Decimal(1), np.datetime64("2020-01-01"), pd.Timestamp("2020-01-01")]
)
def test_what_is_no_number_is_refused_naming_column_and_row(cell: Any) -> None:
    with pytest.raises(BadInput, match=r"column 'age', row 1: holds a .*; give a number or null"):
        canonical([{"age": 1}, {"age": cell}], ["age"], [])


@pytest.mark.parametrize("cell", [1, 1.5, np.inf, True, b"a", ["a"], pd.Timestamp("2020-01-01"), Decimal(1), np.bytes_(b"a")])
def test_what_is_no_text_is_refused_naming_column_and_row(cell: Any) -> None:
    with pytest.raises(BadInput, match=r"column 'town', row 1: holds a .*; give text or null"):
        canonical([{"town": "a"}, {"town": cell}], [], ["town"])


def test_a_text_whose_class_overrides_str_is_not_asked() -> None:
    class Loud(str):
        def __str__(self) -> str:
            raise AssertionError("its code ran")

    with pytest.raises(BadInput, match="holds a Loud"):
        texts([Loud("a")], "t")


@pytest.mark.parametrize("text", ["a\0b", "\0", "\ud800", "a\udfff"])
def test_text_that_a_runtime_would_cut_or_refuse_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="column 't', row 2: holds NUL or a lone surrogate"):
        texts(["a", "", text], "t")


@pytest.mark.parametrize("array", [np.array(["1"]), np.array([b"1"]), np.array(["2020-01-01"], dtype="M8[D]"), np.array([1j])])
def test_arrays_of_another_type_are_refused(array: np.ndarray) -> None:
    with pytest.raises(BadInput, match=r"column 'n': holds .*; give numbers"):
        numbers(array, "n")


@pytest.mark.parametrize("read", [numbers, texts])
@pytest.mark.parametrize("shape", [(), (2, 2), (1, 1, 1)])
def test_arrays_of_another_shape_are_refused(read: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInput, match="has shape"):
        read(np.zeros(shape), "n")


@pytest.mark.parametrize("rows", [{"n": [1]}, [{"n": 1}], pd.DataFrame({"n": [1]})])
def test_a_missing_column_is_refused(rows: Any) -> None:
    with pytest.raises(BadInput, match="column 't'"):
        canonical(rows, ["n"], ["t"])


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(BadInput, match="column 't': has 1 rows, column 'n' has 2"):
        canonical({"n": [1, 2], "t": ["a"]}, ["n"], ["t"])


def test_a_column_that_stands_twice_is_refused() -> None:
    frame = pd.DataFrame([[1, 2], [3, 4]], columns=["n", "n"])
    with pytest.raises(BadInput, match="column 'n': has shape"):
        canonical(frame, ["n"], [])


@pytest.mark.parametrize("rows", ["text", b"bytes", 5, None, {1, 2}, [1], [["n"]], ["n"], iter([])])
def test_rows_of_another_kind_are_refused(rows: Any) -> None:
    with pytest.raises(BadInput, match=r"rows|row 0"):
        canonical(rows, ["n"], [])
