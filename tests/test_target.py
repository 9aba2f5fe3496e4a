"""pipeline.target: labels of every kind, numbers to predict, and one line for what is neither."""

from datetime import date
from decimal import Decimal
from typing import Any

import builders
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoform.errors import BadInput
from pipeline import target
from pipeline.params import Data


def data(task: str = "classification", source: str = "data/raw/t.parquet") -> Data:
    return Data(**{**builders.settings("mixed")["data"], "task": task, "source": source})


def csv(cells: list[str]) -> np.ndarray:
    return target.values(cells, data(source="data/raw/t.csv"))


def refused(cells: Any, **options: str) -> str:
    with pytest.raises(BadInput) as caught:
        target.values(cells, data(**options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("cells", "dtype", "labels"),
    [
        ([True, False] * 3, np.bool_, {True, False}),
        ([1, 0] * 3, np.int64, {0, 1}),
        ([1.0, 2.0] * 3, np.int64, {1, 2}),
        ([Decimal(1), Decimal(2)] * 3, np.int64, {1, 2}),
        ([-(2**63), 2**63 - 1] * 2, np.int64, {-(2**63), 2**63 - 1}),
        (["yes", "no"] * 3, object, {"no", "yes"}),
        (["1", "2"] * 3, object, {"1", "2"}),  # a Parquet file says that it is text
        (["True", "False"] * 3, object, {"True", "False"}),
        (np.array([3, 200] * 3, dtype=np.uint8), np.int64, {3, 200}),
    ],
)
def test_labels_of_parquet_keep_their_type(cells: Any, dtype: Any, labels: set[Any]) -> None:
    found = target.values(cells, data())
    assert found.dtype == dtype
    assert set(found.tolist()) == labels
    assert set(map(type, found.tolist())) == set(map(type, labels))


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (["True", "False"] * 3, [True, False] * 3),
        (["true", "false"] * 3, [True, False] * 3),
        (["TRUE", "FALSE"] * 3, [True, False] * 3),
        (["True", "false"] * 3, ["True", "false"] * 3),
        (["True", "0"] * 3, ["True", "0"] * 3),
        (["T", "F"] * 3, ["T", "F"] * 3),
        (["1", "-2"] * 3, [1, -2] * 3),
        (["01", "2"] * 3, ["01", "2"] * 3),
        (["1", " 2"] * 3, ["1", " 2"] * 3),
        (["1", "+2"] * 3, ["1", "+2"] * 3),
        (["1.0", "2.0"] * 3, ["1.0", "2.0"] * 3),
        (["1", "a"] * 3, [*"1a"] * 3),
        (["NA", "CZ"] * 3, ["NA", "CZ"] * 3),
        (["9" * 18, "1"] * 3, [10**18 - 1, 1] * 3),
        (["9" * 19, "1"] * 3, ["9" * 19, "1"] * 3),
        (["日本", ' "q", '] * 3, ["日本", ' "q", '] * 3),
    ],
)
def test_labels_of_a_csv_are_booleans_integers_or_text(cells: list[str], labels: list[Any]) -> None:
    found = csv(cells).tolist()
    assert found == labels
    assert list(map(type, found)) == list(map(type, labels))


@given(st.integers(2, 40), st.sampled_from(["int", "text", "padded"]))
def test_any_number_of_classes_survives(classes: int, kind: str) -> None:
    cells = [{"int": str(i), "text": f"class {i}", "padded": f"{i:03}"}[kind] for i in range(classes)] * 2
    found = csv(cells).tolist()
    assert list(map(str, found)) == cells
    assert len(set(found)) == classes


@pytest.mark.parametrize(
    ("cells", "complaint"),
    [
        ([0, 1] * 4 + [None, 1], "has no 'y' in 1 rows (counted from 0: 8); drop those rows, or fill them in"),
        (["a", ""] * 4, "has no 'y' in 4 rows (counted from 0: 1, 3, 5, …)"),
        ([0.0, float("nan")] * 2, "has no 'y' in 2 rows (counted from 0: 1, 3)"),
        ([None] * 4, "has no 'y' in 4 rows"),
        ([0.5, 1.0] * 4, "'y' holds fractions, such as 0.5; set data.task: regression if it is a number to predict"),
        ([0.0, float("inf")] * 4, "'y' holds fractions, such as inf"),
        ([1] * 8, "'y' has fewer than two classes"),
        (["a"] * 8, "'y' has fewer than two classes"),
        ([True] * 8, "'y' has fewer than two classes"),
        ([], "'y' has fewer than two classes"),
        ([0] * 7 + [1], "'y' has one row of the class 1; give two or more of each"),
        (["a", "b", "c", "c"], "'y' has one row of the class 'a', and 1 more classes"),
        (list(range(8)), "'y' has 8 classes in 8 rows; set data.task: regression if it is a number to predict"),
        (list(range(1001)) * 2, "'y' has 1001 classes in 2002 rows; set data.task: regression"),
        ([*range(30), *range(20)], "or set data.task: regression"),
        ([0, "a"] * 4, "'y' holds a int; give classes as text, integers or booleans"),
        ([0, True] * 4, "'y' holds a "),
        ([2**63, 1] * 4, "'y' holds integers beyond 64 bits"),
        ([float(2**53), 1.0] * 4, "'y' holds integers beyond 64 bits"),
        ([date(2020, 1, 2)] * 4, "'y' holds a date"),
        ([[1], [2]] * 4, "'y' holds a list"),
        (["a\0", "b"] * 4, "holds NUL"),
    ],
)
def test_labels_that_are_no_classes_are_refused(cells: list[Any], complaint: str) -> None:
    assert complaint in refused(cells)


@pytest.mark.parametrize(
    ("cells", "complaint"),
    [
        (["0", "1", ""] * 3, "has no 'y' in 3 rows"),
        (["0", "1", "NA"] * 3, "has no 'y' in 3 rows"),  # among numbers NA is no country
        (["True", "False", "nan"] * 3, "has no 'y' in 3 rows"),
        (["", "NA"] * 3, "has no 'y' in 6 rows"),
        (["0.5", "1"] * 3, "'y' holds fractions, such as 0.5; set data.task: regression"),
        (["0.5", "1", "NA"] * 3, "has no 'y' in 3 rows"),
        (["True"] * 3, "fewer than two classes"),
    ],
)
def test_labels_of_a_csv_that_are_no_classes_are_refused(cells: list[str], complaint: str) -> None:
    assert complaint in refused(cells, source="data/raw/t.csv")


@pytest.mark.parametrize("cells", [[1, 2, 3], [1.5, -2.0], np.array([1, 0, 1], dtype=np.int8), np.array([1e-40, 1e38])])
def test_numbers_to_predict_are_float64(cells: Any) -> None:
    found = target.values(cells, data("regression"))
    assert found.dtype == np.float64
    assert found.tolist() == list(map(float, cells))


@pytest.mark.parametrize(
    ("cells", "complaint"),
    [
        ([1.0, float("nan"), 2.0, float("nan")], "has no 'y' in 2 rows (counted from 0: 1, 3); drop those rows, or fill them in"),
        ([1.0, float("inf")], "row 1: 'y' is inf, infinite or beyond float32; drop that row, or scale the target"),
        ([1e39, 2.0], "row 0: 'y' is 1e+39, infinite or beyond float32"),
        ([5.0, 5.0], "'y' has fewer than two distinct values"),
        ([1.0, 1.0 + 1e-12], "'y' has fewer than two distinct values, rounded to float32"),
        ([5.0], "'y' has fewer than two distinct values"),
        ([], "'y' has fewer than two distinct values"),
        (["a", "b"], "'y' is no column of numbers; choose another target, or task: classification"),
    ],
)
def test_numbers_that_cannot_be_predicted_are_refused(cells: Any, complaint: str) -> None:
    assert complaint in refused(cells, task="regression")
