"""pipeline.splitting: which rows are taken and held out, seeded and the same on every machine."""

import numpy as np
import pytest
from builders import python
from hypothesis import given
from hypothesis import strategies as st

from isoform.errors import BadInput
from pipeline import splitting

SIZES = st.lists(st.integers(2, 60), min_size=1, max_size=30)
SHARES = st.floats(0.01, 0.99)
SEEDS = st.integers(0, 2**32 - 1)


def rows_of(sizes: list[int], seed: int = 0) -> np.ndarray:
    """Return the classes of a shuffled table."""
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))


@given(SIZES, SHARES, SEEDS)
def test_every_row_is_in_one_part_and_every_class_in_both(sizes: list[int], share: float, seed: int) -> None:
    classes = rows_of(sizes)
    train, test = splitting.split(classes, share, seed)
    assert np.sort(np.concatenate([train, test])).tolist() == list(range(len(classes)))
    assert train.tolist() == sorted(train)
    assert test.tolist() == sorted(test)
    assert set(classes[train]) == set(classes[test]) == set(range(len(sizes)))


@given(SIZES, SHARES)
def test_each_class_is_held_out_within_a_row_of_its_share(sizes: list[int], share: float) -> None:
    held = splitting.held_out(np.array(sizes), share)
    assert (held >= 1).all()
    assert (held <= np.array(sizes) - 1).all()
    forced = np.clip(share * np.array(sizes), 1, np.array(sizes) - 1)
    assert (np.abs(held - forced) <= 1).all()


@given(st.lists(st.integers(20, 500), min_size=1, max_size=12), st.floats(0.1, 0.9))
def test_the_total_is_the_share_where_classes_are_not_tiny(sizes: list[int], share: float) -> None:
    assert splitting.held_out(np.array(sizes), share).sum() == round(share * sum(sizes))


@pytest.mark.parametrize(
    ("sizes", "share", "held"),
    [
        ([2], 0.2, [1]),
        ([3, 3, 3], 0.2, [1, 1, 1]),
        ([2, 2], 0.9, [1, 1]),
        ([3, 1000], 0.2, [1, 200]),
        ([3, 1000], 0.99, [2, 991]),
        ([7] * 10, 0.2, [2, 2, 2, 2, 1, 1, 1, 1, 1, 1]),  # 14 of 70: rounding each class would hold out 10
        ([150, 50], 0.2, [30, 10]),
    ],
)
def test_what_is_held_out_of_small_classes(sizes: list[int], share: float, held: list[int]) -> None:
    assert splitting.held_out(np.array(sizes), share).tolist() == held


@given(SIZES, st.data(), SEEDS)
def test_a_sample_has_two_rows_of_each_class_and_as_many_as_asked(sizes: list[int], data: st.DataObject, seed: int) -> None:
    rows = data.draw(st.integers(2 * len(sizes), sum(sizes)))
    classes = rows_of(sizes)
    taken = splitting.sample(classes, rows, seed)
    assert len(taken) == len(set(taken.tolist())) == rows
    assert taken.tolist() == sorted(taken)
    assert (np.bincount(classes[taken], minlength=len(sizes)) >= 2).all()


def test_a_sample_too_small_for_its_classes_is_refused() -> None:
    with pytest.raises(
        BadInput, match=r"params\.yaml: data\.rows is 5, two rows of each class are 6; raise it, or give 0 for all"
    ):
        splitting.sample(rows_of([9, 9, 9]), 5, 0)


def test_a_sample_is_about_as_the_table_is() -> None:
    classes = rows_of([9000, 1000])
    assert np.bincount(classes[splitting.sample(classes, 2000, 7)])[1] == pytest.approx(200, abs=40)


def test_another_seed_gives_another_split_and_the_sample_does_not_decide_it() -> None:
    classes = rows_of([50, 50])
    first, second = (splitting.split(classes, 0.2, seed)[1].tolist() for seed in (1, 2))
    assert first != second
    taken = splitting.sample(classes, 20, 1).tolist()
    assert set(first) != set(taken)


def test_the_split_is_this_one_on_every_machine_and_in_every_process(tmp_path: object) -> None:
    expected = [1, 2, 10, 15, 17, 18]
    classes = np.arange(20) % 3
    assert splitting.split(classes, 0.3, 42)[1].tolist() == expected
    code = "import numpy as np; from pipeline import splitting; print(splitting.split(np.arange(20) % 3, 0.3, 42)[1].tolist())"
    for seed in ("1", "2"):
        done = python("-c", code, cwd=tmp_path, PYTHONHASHSEED=seed)  # type: ignore[arg-type]
        assert done.stdout.strip() == str(expected), done.stderr
