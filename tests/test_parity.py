"""pipeline.parity: nothing that differs, in whatever way, passes for agreement."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from isoform.errors import CheckFailed
from isoform.metadata import Config, Parity
from isoform.rows import Columns, count
from pipeline import parity
from pipeline.parity import Answer, Question, ask, compare, held_out, in_batches, sample, tolerance

N = 10
COLUMNS: Columns = {"n": np.arange(N, dtype=np.float32), "t": np.array(list("abcdefghij"), dtype=object)}


def truth(columns: Columns) -> np.ndarray:
    positive = np.float32(0.05) + columns["n"] * np.float32(0.1)
    return np.stack([1 - positive, positive], axis=1).astype(np.float32)


def target(columns: Columns) -> np.ndarray:
    """Predict 0, 100, … 900."""
    return (columns["n"] * np.float32(100))[:, None]


def changed(row: int, change: Callable[[np.ndarray], np.ndarray | float], right: Answer = truth) -> Answer:
    """Return an answer that equals the right one but for one row of the table, wherever that row is asked."""

    def answer(columns: Columns) -> np.ndarray:
        found = right(columns)
        hit = columns["n"] == row
        found[hit] = [change(one) for one in found[hit]] or found[hit]
        return found

    return answer


def questions(picked: Sequence[int] = (2, 5, 7), batches: Sequence[int] = (1, 2)) -> list[Question]:
    return held_out(COLUMNS, np.array(picked), batches)


def compared(
    answer: Answer,
    name: str = "onnx",
    reference: Answer = truth,
    scale: float = 1.0,
    asked: Sequence[Question] | None = None,
) -> Parity:
    asked = questions() if asked is None else asked
    expected = [ask("reference", reference, question) for question in asked]
    return compare(name, answer, asked, expected, "reference", scale=scale)


def hostile(*values: float) -> Question:
    """Ask for rows 0, 1, … with `n` at each of the values, of which model.onnx gets infinity as it is."""
    plain = {"n": np.array(values, dtype=np.float32), "t": COLUMNS["t"][: len(values)]}
    rows = plain | {"n": np.where(np.isinf(plain["n"]), np.float32(np.nan), plain["n"])}
    cases = [(row, {"n": value}) for row, value in enumerate(values)]
    return Question(rows=rows, plain=plain, positions=np.arange(len(values)), cases=cases)


def robust(columns: Columns) -> np.ndarray:
    """Answer 0.4 and 0.6 where the number is missing or infinite."""
    return np.where(np.isfinite(columns["n"])[:, None], truth(columns), np.float32([0.4, 0.6]))


def test_equal_answers_agree() -> None:
    found = compared(truth)
    assert (found.max_difference, found.label_flips, found.rows, found.batches) == (0.0, 0, N, [1, 2])
    assert (found.reference, found.hostile_rows) == ("reference", 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["onnx", "pickle"])
def test_an_answer_that_is_not_finite_is_refused(value: float, name: str) -> None:
    with pytest.raises(CheckFailed, match=rf"format '{name}', test row 4: answers \[-?(nan|inf).*, which is not finite"):
        compared(changed(4, lambda row: row * value), name)


def test_nan_in_every_row_is_refused() -> None:
    with pytest.raises(CheckFailed, match="10 of 10 rows"):
        compared(lambda columns: truth(columns) * np.float32("nan"))


def test_nan_in_one_class_is_refused() -> None:
    with pytest.raises(CheckFailed, match="test row 0"):
        compared(changed(0, lambda row: np.array([row[0], np.nan])))


def test_nan_of_the_reference_is_refused_though_every_format_says_the_same() -> None:
    answer = changed(4, lambda row: row * np.nan)
    with pytest.raises(
        CheckFailed, match=r"format 'joblib', test row 4: .* not finite.*; choose another preprocessing or estimator; nothing"
    ):
        ask("joblib", answer, questions()[0])


def test_a_prediction_that_is_not_finite_is_refused() -> None:
    with pytest.raises(CheckFailed, match=r"test row 3: answers \[inf\], which is not finite"):
        compared(changed(3, lambda row: row * np.inf, target), reference=target)


@pytest.mark.parametrize("change", [[0.2, -0.2], [0.3, 0.3], [1e-3, 0]])
def test_what_is_no_distribution_is_refused_in_the_reference_too(change: list[float]) -> None:
    answer = changed(0, lambda row: row + np.float32(change))
    with pytest.raises(CheckFailed, match=r"format 'state_dict', test row 0: answers .*outside \[0, 1\] or do not sum to 1"):
        ask("state_dict", answer, questions()[0])


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
    assert line.endswith("correct its exporter; nothing was published")


@pytest.mark.parametrize("name", sorted(parity.EXACT))
def test_formats_of_the_same_tensors_may_not_differ_by_a_bit(name: str) -> None:
    compared(truth, name)
    with pytest.raises(CheckFailed, match="test row 3"):
        compared(changed(3, lambda row: np.nextafter(row, np.float32(1))), name)


@pytest.mark.parametrize("name", ["onnx", "a format that is new"])
def test_every_other_format_has_one_named_tolerance(name: str) -> None:
    assert tolerance(name) == parity.TOLERANCE == 1e-5


def test_another_label_is_refused_however_small_the_difference() -> None:
    def edge(columns: Columns) -> np.ndarray:
        """Answer with the second class ahead by as much as counts as a tie, so that the first is the label."""
        return np.full((count(columns), 2), 0.5, dtype=np.float32) + np.float32([-9.99e-6, 9.99e-6])

    def over(columns: Columns) -> np.ndarray:
        return edge(columns) + np.float32([-1e-7, 1e-7])

    with pytest.raises(CheckFailed, match="; 0 of 10 rows differ by more than 1e-05, 10 in the label; correct"):
        compared(over, reference=edge)


def test_an_exact_tie_keeps_its_label_whatever_a_format_rounds() -> None:
    def tied(columns: Columns) -> np.ndarray:
        return np.full((count(columns), 2), 0.5, dtype=np.float32)

    for noise in (9.9e-6, -9.9e-6, 6e-8):
        assert compared(lambda c, noise=noise: tied(c) + np.float32([-noise, noise]), reference=tied).label_flips == 0  # type: ignore[misc]


def test_swapped_columns_of_the_answer_are_refused() -> None:
    with pytest.raises(CheckFailed, match="differ by more than"):
        compared(lambda columns: truth(columns)[:, ::-1])


def test_rows_answered_in_another_order_are_refused() -> None:
    with pytest.raises(CheckFailed, match="differ by more than"):
        compared(lambda columns: truth(columns)[::-1])


@pytest.mark.parametrize(
    "answer",
    [
        lambda c: truth(c)[:, :1],
        lambda c: truth(c)[:-1],
        lambda c: truth(c)[None],
        lambda c: truth(c)[:, 1],
        lambda c: np.full((count(c), 4), np.float32(0.25)),
    ],
)
def test_an_answer_of_another_shape_is_refused(answer: Answer) -> None:
    with pytest.raises(CheckFailed, match="answers with shape"):
        compared(answer)


def test_what_differs_only_in_small_batches_is_refused() -> None:
    def answer(columns: Columns) -> np.ndarray:
        found = truth(columns)
        return found + np.float32([0.01, -0.01]) if count(columns) == 2 else found

    assert compared(answer, asked=questions(batches=[1]))
    with pytest.raises(CheckFailed, match="test row 2: answers"):
        compared(answer)


def test_a_format_that_cannot_take_another_batch_is_refused() -> None:
    def frozen(columns: Columns) -> np.ndarray:
        if count(columns) != N:
            raise RuntimeError(f"expected {N} rows")
        return truth(columns)

    with pytest.raises(CheckFailed, match=r"format 'onnx': failed in batches of 1 \(expected 10 rows\); correct its exporter"):
        compared(frozen)


def test_a_format_that_fails_on_all_rows_is_refused() -> None:
    with pytest.raises(CheckFailed, match="failed on all rows at once"):
        compared(lambda columns: 1 / 0, asked=questions())


def test_the_sample_is_seeded_distinct_and_in_order() -> None:
    found = sample(COLUMNS, 4, seed=1)
    assert found.tolist() == sample(COLUMNS, 4, seed=1).tolist() == sorted(set(found.tolist()))
    assert found.tolist() != sample(COLUMNS, 4, seed=2).tolist()
    assert sample(COLUMNS, 99, seed=1).tolist() == list(range(N))


@pytest.mark.parametrize("size", [1, 3, 7, 10, 1000, None])
def test_batches_together_are_the_whole(size: int | None) -> None:
    asked: list[int] = []

    def answer(columns: Columns) -> np.ndarray:
        asked.append(count(columns))
        return truth(columns)

    assert (in_batches(answer, COLUMNS, size) == truth(COLUMNS)).all()
    assert sum(asked) == N
    assert max(asked) == min(size or N, N)


def test_every_format_is_asked_for_all_rows_and_for_each_batch_size() -> None:
    whole, *batched = questions([2, 5], [1, 2])
    assert (whole.positions.tolist(), whole.size) == (list(range(N)), None)
    assert [(question.positions.tolist(), question.size) for question in batched] == [([2, 5], 1), ([2, 5], 2)]
    for question in batched:
        assert (question.rows["n"] == COLUMNS["n"][question.positions]).all()


def test_a_batch_larger_than_the_table_is_filled_with_the_same_rows_again() -> None:
    _, thousand = questions([2, 5, 7], [1000])
    assert thousand.positions.tolist() == ([2, 5, 7] * 334)[:1000]
    asked: list[int] = []
    ask("onnx", lambda columns: asked.append(count(columns)) or truth(columns), thousand)  # type: ignore[func-returns-value]
    assert asked == [1000]


def test_a_prediction_may_differ_by_the_tolerance_in_units_of_the_targets_scale() -> None:
    off = changed(3, lambda row: row + np.float32(2e-3), target)
    assert compared(off, reference=target, scale=1000.0).max_difference == pytest.approx(2e-6, rel=0.02)
    assert compared(off, reference=target, scale=1.0).max_difference == pytest.approx(2e-3 / 300, rel=0.02)
    with pytest.raises(CheckFailed, match=r"test row 3: answers \[300.01\d*\], reference answers \[300.0\]; 1 of 10"):
        compared(changed(3, lambda row: row + np.float32(1e-2), target), reference=target, scale=100.0)


def test_a_small_prediction_is_measured_in_units_of_the_scale_alone() -> None:
    def off(columns: Columns) -> np.ndarray:
        return target(columns) + np.float32(1e-4)

    assert compared(off, reference=target, asked=questions([0], [1])[1:], scale=100.0).max_difference == pytest.approx(1e-6)
    with pytest.raises(CheckFailed, match="test row 0"):
        compared(off, reference=target, asked=questions([0], [1])[1:], scale=1.0)


def test_a_prediction_has_no_label_that_could_flip() -> None:
    assert compared(changed(0, lambda row: row - np.float32(1e-6), target), reference=target, scale=100.0).label_flips == 0


def test_hostile_rows_count_and_model_onnx_gets_them_as_they_are() -> None:
    asked = [*questions(), hostile(1.0, np.inf, np.nan)]
    seen: list[np.ndarray] = []

    def answer(columns: Columns) -> np.ndarray:
        seen.append(columns["n"])
        return robust(columns)

    assert compared(answer, "onnx", robust, asked=asked).hostile_rows == 3
    assert np.isinf(seen[-1][1])
    compared(answer, "pickle", robust, asked=asked)
    assert np.isnan(seen[-1][1])


def test_a_hostile_row_is_named_by_the_row_it_was_made_from_and_by_what_was_changed() -> None:
    def lenient(columns: Columns) -> np.ndarray:
        return robust({"n": np.nan_to_num(columns["n"], nan=np.nan, posinf=5.0)})

    with pytest.raises(CheckFailed) as caught:
        compared(lenient, "onnx", robust, asked=[*questions(), hostile(1.0, np.inf, np.nan)])
    line = str(caught.value)
    assert line.startswith("format 'onnx', test row 1 with n = inf: answers [0.4")
    assert "reference answers [0.4000" in line
    assert "1 of 3 rows differ" in line


def test_a_hostile_answer_that_is_not_finite_names_what_was_hostile() -> None:
    with pytest.raises(
        CheckFailed, match=r"format 'reference', test row 2 with n = nan: answers \[nan, nan\].*1 of 3 rows are so"
    ):
        compared(truth, "onnx", truth, asked=[hostile(1.0, 2.0, np.nan)])


def test_a_format_that_fails_on_one_hostile_row_names_it() -> None:
    def brittle(columns: Columns) -> np.ndarray:
        if np.isnan(columns["n"]).any():
            raise ValueError("cannot take NaN")
        return truth(columns)

    with pytest.raises(CheckFailed, match=r"format 'pickle', test row 3 with n = nan: failed on all rows at once \(cannot take"):
        compare("pickle", brittle, [hostile(1, 2, 3, np.nan, 5, 6)], [np.zeros((6, 2))], "reference")


def test_a_reference_that_fails_between_the_held_out_rows_is_one_line() -> None:
    def brittle(columns: Columns) -> np.ndarray:
        if (columns["n"] % 1).any():
            raise ValueError("no neighbour")
        return truth(columns)

    text = {"categorical": ["t"], "categories": {"t": ["a"]}}
    config = Config(
        model_name="m", task="classification", builder="", hyperparameters={}, numeric=["n"], classes=[0, 1], network=None, **text
    )
    with pytest.raises(CheckFailed, match=r"^format 'joblib': failed between two held-out rows \(no neighbour\); choose another"):
        parity.made_hostile("joblib", brittle, COLUMNS, config, 0)
