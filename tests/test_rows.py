"""isoform.rows: the row policy, total over what a table may hold and strict about the rest."""

import datetime
import enum
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


class Shade(enum.StrEnum):
    """Text with another hash, and here another str(), than its characters'."""

    RED = "red"

    def __str__(self) -> str:
        raise AssertionError("its code ran")


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


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.sampled_from([2**24 + 1, 2**53 + 1, 2**60 + 2**36 + 1])))
def test_an_integer_is_rounded_alike_in_a_list_and_in_an_array(cells: list[int]) -> None:
    expected = np.array([np.float32(float(cell)) for cell in cells], dtype=np.float32)
    for given_cells in (
        cells,
        np.array(cells, dtype=np.int64),
        np.array(cells, dtype=object),
        [np.int64(cell) for cell in cells],
    ):
        assert numbers(given_cells, "n").tolist() == expected.tolist()


@given(st.floats(allow_nan=False))
def test_a_number_is_rounded_to_float32_or_missing_beyond_its_range(value: float) -> None:
    with np.errstate(over="ignore"):
        rounded = np.float32(value)
    for cells in ([value], np.array([value]), [value, None], [np.longdouble(value)], np.array([value], np.longdouble)):
        found = numbers(cells, "n")[0]
        assert found == rounded if np.isfinite(rounded) else np.isnan(found)


@pytest.mark.parametrize("missing", [None, np.nan, np.inf, -np.inf, 1e39, -1e39, 10**400, pd.NA, pd.NaT, np.float32("nan")])
def test_what_is_no_float32_is_missing(missing: Any) -> None:
    assert np.isnan(numbers([missing, 1], "n")).tolist() == [True, False]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, np.float64("nan"), np.float32("nan"), ""])
def test_a_missing_text_is_the_empty_text(missing: Any) -> None:
    assert texts([missing, "a"], "t").tolist() == ["", "a"]


def test_masked_cells_are_missing() -> None:
    columns = {
        "n": np.ma.array([1, 2], mask=[True, False]),
        "o": np.ma.array([1, 2.5], mask=[True, False], dtype=object),
        "t": np.ma.array(["a", "b"], mask=[True, False]),
    }
    found = canonical(columns, ["n", "o"], ["t"])
    assert np.isnan(found["n"]).tolist() == np.isnan(found["o"]).tolist() == [True, False]
    assert (found["n"][1], found["o"][1], found["t"].tolist()) == (2, 2.5, ["", "b"])
    with pytest.raises(BadInput, match="column 'n': holds dates"):
        numbers(np.ma.array(["2020-01-01"], mask=[False], dtype="M8[ns]"), "n")


def test_arrays_of_one_column_are_taken_as_a_column() -> None:
    columns = canonical({"n": np.zeros((3, 1)), "t": np.array([["a"], ["b"], ["c"]])}, ["n"], ["t"])
    assert columns["n"].shape == columns["t"].shape == (3,)


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i2", "f2", "u1", "?"])
def test_arrays_of_any_number_type_and_byte_order_are_taken(dtype: str) -> None:
    assert numbers(np.array([0, 1], dtype), "n").tolist() == [0, 1]
    assert numbers(np.array([0, 7, 1, 7], dtype)[::2], "n").tolist() == [0, 1]


def test_the_callers_arrays_are_neither_changed_nor_kept() -> None:
    rows = {"n": np.array([np.inf, 1], dtype=np.float32), "t": np.array(["a", None], dtype=object)}
    found = canonical(rows, ["n"], ["t"])
    assert rows["n"].tolist() == [np.inf, 1]
    assert rows["t"].tolist() == ["a", None]
    for name, column in found.items():
        assert not np.shares_memory(column, rows[name])
        column[:] = 0
    assert rows["n"][1] == 1


def test_columns_come_in_the_order_asked_for_and_others_are_ignored() -> None:
    row = {"b": 1, "x": object(), "t": "?", "a": 2}
    assert list(canonical([row], ["a", "b"], ["t"])) == ["a", "b", "t"]


@pytest.mark.parametrize(("numeric", "categorical"), [(["n"], ["t"]), (["n", "m"], []), ([], ["t", "u"])])
def test_no_rows_are_no_rows(numeric: list[str], categorical: list[str]) -> None:
    empty: dict[str, list[Any]] = {"n": [], "m": [], "t": [], "u": []}
    for rows in ([], empty, pd.DataFrame(empty)):
        found = canonical(rows, numeric, categorical)
        assert list(found) == [*numeric, *categorical]
        assert all(column.shape == (0,) for column in found.values())


def test_take_picks_the_same_rows_of_every_column() -> None:
    columns = canonical({"n": [0, 1, 2], "t": ["a", "b", "c"]}, ["n"], ["t"])
    picked = take(columns, np.array([2, 0]))
    assert (picked["n"].tolist(), picked["t"].tolist()) == ([2, 0], ["c", "a"])
    assert take(columns, slice(1, 2))["t"].tolist() == ["b"]


@pytest.mark.parametrize("cell", ["1", "", b"1", [1], {}, 1j, np.complex64(1), Decimal(1), np.str_("1")])
def test_what_is_no_number_is_refused_naming_column_and_row(cell: Any) -> None:
    with pytest.raises(BadInput, match=r"column 'age', row 1: holds a .*; give a number or null"):
        canonical([{"age": 1}, {"age": cell}], ["age"], [])


@pytest.mark.parametrize(
    "cell", [np.datetime64("2020-01-01"), pd.Timestamp("2020-01-01"), datetime.date(2020, 1, 1), datetime.time(1)]
)
def test_a_date_is_refused_and_told_what_to_give(cell: Any) -> None:
    with pytest.raises(BadInput, match=r"column 'age', row 1: holds dates; give numbers, for example year, month, weekday"):
        canonical([{"age": 1}, {"age": cell}], ["age"], [])


@pytest.mark.parametrize("cell", [np.timedelta64(1, "s"), pd.Timedelta(1), datetime.timedelta(1)])
def test_a_duration_is_no_number(cell: Any) -> None:
    with pytest.raises(BadInput, match=r"column 'age', row 1: holds durations; give numbers, for example hours"):
        canonical([{"age": 1}, {"age": cell}], ["age"], [])


@pytest.mark.parametrize("cell", [1, 1.5, np.inf, True, b"a", ["a"], pd.Timestamp("2020-01-01"), Decimal(1), np.bytes_(b"a")])
def test_what_is_no_text_is_refused_naming_column_and_row(cell: Any) -> None:
    with pytest.raises(BadInput, match=r"column 'town', row 1: holds a .*; give text or null"):
        canonical([{"town": "a"}, {"town": cell}], [], ["town"])


@pytest.mark.parametrize("cell", [Shade.RED, np.str_("red"), type("Loud", (str,), {"__str__": None, "__hash__": None})("red")])
def test_of_a_text_of_another_class_the_characters_count_and_no_code_runs(cell: Any) -> None:
    found = texts(["red", cell], "t").tolist()
    assert found == ["red", "red"]
    assert [type(text) for text in found] == [str, str]


def test_what_only_says_that_it_is_text_is_refused() -> None:
    class Posing:
        @property
        def __class__(self) -> type:  # type: ignore[override]
            return str

    with pytest.raises(BadInput, match="holds a Posing"):
        texts([Posing()], "t")


@pytest.mark.parametrize("text", ["a\0b", "\0", "\ud800", "a\udfff"])
def test_text_that_a_runtime_would_cut_or_refuse_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="column 't', row 2: holds NUL or a lone surrogate"):
        canonical({"s": ["", "", ""], "t": ["a", "", text]}, [], ["s", "t"])


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


def test_a_row_that_lacks_a_column_is_named() -> None:
    with pytest.raises(BadInput, match="row 1: lacks column 't'; give it, as null when it is unknown"):
        canonical([{"n": 1, "t": "a"}, {"n": 1}], ["n"], ["t"])


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(BadInput, match="column 't': has 1 rows, column 'n' has 2"):
        canonical({"n": [1, 2], "t": ["a"]}, ["n"], ["t"])


@pytest.mark.parametrize("rows", ["text", b"bytes", 5, None, {1, 2}, [1], [["n"]], ["n"], iter([]), np.zeros((2, 2))])
def test_rows_of_another_kind_are_refused(rows: Any) -> None:
    with pytest.raises(BadInput, match=r"rows|row 0"):
        canonical(rows, ["n"], [])
