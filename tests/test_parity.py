"""pipeline.parity: nothing that differs, in whatever way, passes for agreement."""

from collections.abc import Callable

import numpy as np
import pytest

from isoform.errors import CheckFailed
from isoform.rows import Columns, count
from pipeline import parity
from pipeline.parity import Answer, compare, in_batches, reference_answers, sample, tolerance

N = 10
COLUMNS: Columns = {"n": np.arange(N, dtype=np.float32), "t": np.array(list("abcdefghij"), dtype=object)}


def truth(columns: Columns) -> np.ndarray:
    positive = np.float32(0.05) + columns["n"] * np.float32(0.1)
    return np.stack([1 - positive, positive], axis=1).astype(np.float32)


def changed(row: int, change: Callable[[np.ndarray], np.ndarray | float]) -> Answer:
    """Return an answer that equals the truth but for one row of the table, wherever that row is asked."""

    def answer(columns: Columns) -> np.ndarray:
        found = truth(columns)
        hit = columns["n"] == row
        found[hit] = [change(one) for one in found[hit]] or found[hit]
        return found

    return answer


def compared(
    answer: Answer, name: str = "onnx", picked: tuple[int, ...] = (2, 5, 7), batches: tuple[int, ...] = (1, 2)
) -> parity.Parity:
    expected = reference_answers(truth, COLUMNS, np.array(picked), batches)
    return compare(name, answer, COLUMNS, expected, "reference")


def test_equal_answers_agree() -> None:
    found = compared(truth)
    assert (found.max_difference, found.label_flips, found.rows, found.batches) == (0.0, 0, N, [1, 2])
    assert found.reference == "reference"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["onnx", "pickle"])
def test_an_answer_that_is_not_finite_is_refused(value: float, name: str) -> None:
    with pytest.raises(CheckFailed, match=f"format '{name}', test row 4: answers .*(nan|inf)"):
        compared(changed(4, lambda row: row * value), name)


def test_nan_in_every_row_is_refused() -> None:
    with pytest.raises(CheckFailed, match="10 of 10 rows"):
        compared(lambda columns: truth(columns) * np.float32("nan"))


def test_nan_in_one_class_is_refused() -> None:
    with pytest.raises(CheckFailed, match="test row 0"):
        compared(changed(0, lambda row: np.array([row[0], np.nan])))


def test_a_difference_within_the_tolerance_is_measured() -> None:
    found = compared(changed(6, lambda row: row + np.float32([4e-6, -4e-6])))
    assert found.max_difference == pytest.approx(4e-6, rel=0.05)
    assert found.worst_row == 6
    assert found.tolerance == 1e-5


def test_a_difference_over_the_tolerance_names_format_row_and_both_values() -> None:
    with pytest.raises(CheckFailed) as caught:
        compared(changed(6, lambda row: row + np.float32([2e-5, -2e-5])))
    line = str(caught.value)
    assert line.startswith("format 'onnx', test row 6: answers [0.35")
    assert "reference answers [0.3499" in line
    assert "1 of 10 rows" in line
    assert "nothing was published" in line


@pytest.mark.parametrize("name", sorted(parity.EXACT))
def test_formats_of_the_same_tensors_may_not_differ_by_a_bit(name: str) -> None:
    compared(truth, name)
    with pytest.raises(CheckFailed, match="test row 3"):
        compared(changed(3, lambda row: np.nextafter(row, np.float32(1))), name)


@pytest.mark.parametrize("name", ["onnx", "a format that is new"])
def test_every_other_format_has_one_named_tolerance(name: str) -> None:
    assert tolerance(name) == parity.TOLERANCE == 1e-5


def test_another_label_is_refused_however_small_the_difference() -> None:
    def tied(columns: Columns) -> np.ndarray:
        return np.full((count(columns), 2), 0.5, dtype=np.float32)

    def tipped(columns: Columns) -> np.ndarray:
        return tied(columns) + np.float32([0, 1e-7])

    with pytest.raises(CheckFailed, match="or in the label"):
        compare("onnx", tipped, COLUMNS, reference_answers(tied, COLUMNS, np.array([1]), [1]), "reference")


def test_swapped_columns_of_the_answer_are_refused() -> None:
    with pytest.raises(CheckFailed):
        compared(lambda columns: truth(columns)[:, ::-1])


def test_rows_answered_in_another_order_are_refused() -> None:
    with pytest.raises(CheckFailed):
        compared(lambda columns: truth(columns)[::-1])


@pytest.mark.parametrize(
    "answer", [lambda c: truth(c)[:, :1], lambda c: truth(c)[:-1], lambda c: truth(c)[None], lambda c: truth(c)[:, 1]]
)
def test_an_answer_of_another_shape_is_refused(answer: Answer) -> None:
    with pytest.raises(CheckFailed, match="answers with shape"):
        compared(answer)


def test_what_differs_only_in_small_batches_is_refused() -> None:
    def answer(columns: Columns) -> np.ndarray:
        found = truth(columns)
        return found + np.float32([0.01, -0.01]) if count(columns) == 2 else found

    assert compared(answer, batches=(1,))
    with pytest.raises(CheckFailed, match="test row 2: answers"):
        compared(answer)


def test_a_format_that_cannot_take_another_batch_is_refused() -> None:
    def frozen(columns: Columns) -> np.ndarray:
        if count(columns) != N:
            raise RuntimeError(f"expected {N} rows")
        return truth(columns)

    with pytest.raises(CheckFailed, match=r"failed in batches of 1 \(expected 10 rows\); correct its exporter"):
        compared(frozen)


def test_a_format_that_fails_on_all_rows_is_refused() -> None:
    with pytest.raises(CheckFailed, match="failed on all rows at once"):
        compared(lambda columns: 1 / 0)


def test_the_sample_is_seeded_distinct_and_in_order() -> None:
    found = sample(COLUMNS, 4, seed=1)
    assert found.tolist() == sample(COLUMNS, 4, seed=1).tolist() == sorted(set(found.tolist()))
    assert found.tolist() != sample(COLUMNS, 4, seed=2).tolist()
    assert sample(COLUMNS, 99, seed=1).tolist() == list(range(N))


@pytest.mark.parametrize("size", [1, 3, 7, 10, 1000])
def test_batches_together_are_the_whole(size: int) -> None:
    asked: list[int] = []

    def answer(columns: Columns) -> np.ndarray:
        asked.append(count(columns))
        return truth(columns)

    assert (in_batches(answer, COLUMNS, size) == truth(COLUMNS)).all()
    assert sum(asked) == N
    assert max(asked) == min(size, N)


def test_the_reference_is_asked_for_all_rows_and_for_each_batch_size() -> None:
    whole, *batched = reference_answers(truth, COLUMNS, np.array([2, 5]), [1, 7])
    assert (whole[0].tolist(), whole[2]) == (list(range(N)), None)
    assert [(positions.tolist(), size) for positions, _, size in batched] == [([2, 5], 1), ([2, 5], 7)]
    assert all((wanted == truth(COLUMNS)[positions]).all() for positions, wanted, _ in [whole, *batched])
