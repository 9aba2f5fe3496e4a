"""pipeline.jumps: where a tree's answer jumps is found to the last float32, so that a threshold off by one shows."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.tree import DecisionTreeClassifier

from isoform.errors import CheckFailed
from isoform.rows import Columns, count
from pipeline import jumps
from pipeline.hostile import raw_rows
from pipeline.jumps import find, from_order, to_order
from pipeline.parity import Answer, Question, ask, compare, held_out

NUMERIC = ["a", "b", "c"]
FINITE = st.floats(width=32, allow_nan=False)


def table(rows: int = 400) -> Columns:
    """Return a column of fine numbers, one of whole ones and one of huge and tiny ones of both signs, with gaps."""
    rng = np.random.default_rng(3)
    drawn = [
        rng.normal(size=rows),
        rng.integers(-(10**6), 10**6, rows),
        rng.normal(size=rows) * 10.0 ** rng.integers(-30, 30, rows),
    ]
    columns = {name: values.astype(np.float32) for name, values in zip(NUMERIC, drawn, strict=True)}
    columns["b"][::7] = np.nan
    return columns


def matrix(columns: Columns) -> np.ndarray:
    return np.nan_to_num(np.stack([columns[name] for name in NUMERIC], axis=1))


def fitted(model: Any) -> Any:
    """Fit on half of the rows, so that the other half lies between the thresholds."""
    x = matrix(table())
    y = (x[:, 0] + x[:, 1] / 1e6 + np.sign(x[:, 2]) > 0).astype(int)
    return model.fit(x[::2], y[::2] * 10.0 + x[::2, 0] if "Regressor" in type(model).__name__ else y[::2])


def answering(model: Any) -> Answer:
    ask = model.predict_proba if hasattr(model, "predict_proba") else lambda x: model.predict(x)[:, None]
    return lambda columns: ask(matrix(columns)).astype(np.float32)


def trees(model: Any) -> list[Any]:
    return [tree.tree_ for tree in getattr(model, "estimators_", [model])]


def thresholds(model: Any, feature: int) -> set[float]:
    """Return the largest float32 at most as large as each threshold: where `x <= threshold` changes among float32."""
    exact = np.concatenate([tree.threshold[tree.feature == feature] for tree in trees(model)])
    rounded = exact.astype(np.float32)
    return set(np.where(rounded > exact, np.nextafter(rounded, np.float32(-np.inf)), rounded).tolist())


MODELS: dict[str, Callable[[], Any]] = {
    "tree": lambda: DecisionTreeClassifier(random_state=0),
    "forest": lambda: RandomForestClassifier(10, random_state=0),
    "regression": lambda: RandomForestRegressor(10, random_state=0),
}


@given(FINITE, FINITE)
def test_the_order_is_that_of_the_numbers_and_neighbours_are_one_apart(one: float, other: float) -> None:
    a, b = np.array([one, other], dtype=np.float32)
    first, second = to_order(np.array([a, b]))
    assert (first < second, first == second) == (bool(a < b), bool(a == b))
    above = np.nextafter(a, np.float32(np.inf))
    assert np.isinf(a) or from_order(np.array([first + 1]))[0] == above
    assert from_order(np.array([first]))[0] == a


@pytest.mark.parametrize("name", MODELS)
def test_every_jump_of_a_tree_is_one_of_its_thresholds(name: str) -> None:
    model = fitted(MODELS[name]())
    rows, column, lower = find(answering(model), table(), NUMERIC, seed=0)
    assert np.bincount(column, minlength=3).min() >= 8
    for i in range(len(NUMERIC)):
        assert set(from_order(lower[column == i]).tolist()) <= thresholds(model, i)
    assert not np.isnan(table()["b"][rows[column == 1]]).any()


def test_many_thresholds_are_found_and_again_the_same_ones() -> None:
    model = fitted(MODELS["forest"]())
    found = [find(answering(model), table(), NUMERIC, seed) for seed in (0, 0, 1)]
    assert all((one == other).all() for one, other in zip(found[0], found[1], strict=True))
    assert len(np.unique(found[0][2])) > 30
    assert found[0][2].tolist() != found[2][2].tolist()


def test_each_jump_gives_rows_on_both_sides_and_one_beyond_each() -> None:
    model = fitted(MODELS["tree"]())
    rows, column, lower = find(answering(model), table(), NUMERIC, seed=0)
    cases = jumps.cases(answering(model), table(), NUMERIC, seed=0)
    assert len(cases) == 4 * len(rows)
    for offset in range(4):
        row, edit = cases[offset * len(rows)]
        assert (row, list(edit)) == (rows[0], [NUMERIC[column[0]]])
        assert to_order(np.array(list(edit.values())))[0] == lower[0] + offset - 1


def sabotaged(model: Any, change: Callable[[np.ndarray], np.ndarray]) -> Any:
    """Return the model with other thresholds, as an exporter would write them: float32."""
    wrong = copy.deepcopy(model)
    for tree in trees(wrong):
        split = tree.feature >= 0
        tree.threshold[split] = change(tree.threshold[split])
    return wrong


def floor(exact: np.ndarray) -> np.ndarray:
    rounded = exact.astype(np.float32)
    return np.where(rounded > exact, np.nextafter(rounded, np.float32(-np.inf)), rounded)


SABOTAGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "one float32 above": lambda exact: np.nextafter(floor(exact), np.float32(np.inf)),
    "one float32 below, which is < in place of <=": lambda exact: np.nextafter(floor(exact), np.float32(-np.inf)),
    "rounded to the nearest float32": lambda exact: exact.astype(np.float32),
    "cut to 16 bits": lambda exact: (floor(exact).view(np.int32) & ~0xFF).view(np.float32),
}


def asked(model: Any) -> tuple[list[Question], Question]:
    """Return the plain questions, and the one about jumps."""
    columns = {name: values[1::2] for name, values in table().items()}
    cases = jumps.cases(answering(model), columns, NUMERIC, seed=0)
    rows = {name: values.astype(np.float32) for name, values in raw_rows(columns, cases, CONFIG).items()}
    positions = np.array([row for row, _ in cases])
    return held_out(columns, np.arange(20), [1, 7]), Question(rows=rows, plain=rows, positions=positions, cases=cases)


class CONFIG:  # what raw_rows reads of one
    numeric = NUMERIC


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_thresholds_off_by_one_float32_pass_the_plain_rows_and_not_these(name: str, sabotage: str) -> None:
    model = fitted(MODELS[name]())
    wrong = sabotaged(model, SABOTAGES[sabotage])
    plain, at_jumps = asked(model)
    expected = [ask("joblib", answering(model), question) for question in (*plain, at_jumps)]
    assert compare("onnx", answering(wrong), plain, expected[:-1], "joblib").label_flips == 0
    with pytest.raises(CheckFailed, match=r"format 'onnx', test row \d+ with [abc] = -?\d.*, joblib answers"):
        compare("onnx", answering(wrong), [at_jumps], expected[-1:], "joblib")


@pytest.mark.parametrize("name", MODELS)
def test_thresholds_rounded_down_pass(name: str) -> None:
    model = fitted(MODELS[name]())
    right = sabotaged(model, floor)
    plain, at_jumps = asked(model)
    expected = [ask("joblib", answering(model), question) for question in (*plain, at_jumps)]
    assert compare("onnx", answering(right), [*plain, at_jumps], expected, "joblib").max_difference == 0


def test_columns_that_cannot_jump_give_nothing() -> None:
    columns = {"a": np.ones(9, dtype=np.float32), "b": np.full(9, np.nan, dtype=np.float32), "c": table()["c"][:9]}
    constant = find(lambda rows: np.zeros((count(rows), 1)), columns, NUMERIC, seed=0)
    assert [len(part) for part in constant] == [0, 0, 0]
    stepping = find(lambda rows: (rows["c"] > 0)[:, None].astype(np.float32), columns, NUMERIC, seed=0)
    assert set(stepping[1].tolist()) == {2}
    assert set(from_order(stepping[2]).tolist()) == {0.0}
    assert jumps.cases(lambda rows: np.zeros((count(rows), 1)), {"t": np.array(["x"], dtype=object)}, [], seed=0) == []


def test_a_wide_table_gets_fewer_bisections_per_column() -> None:
    names = [f"n{i}" for i in range(200)]
    columns = {name: np.arange(50, dtype=np.float32) for name in names}
    most: list[int] = []

    def answer(rows: Columns) -> np.ndarray:
        most.append(count(rows))
        return np.stack([rows[name] for name in names]).sum(axis=0)[:, None]

    _, column, _ = find(answer, columns, names, seed=0)
    assert len(column) <= jumps.LIMIT
    assert np.bincount(column, minlength=200).min() >= 1
    assert max(most) <= jumps.LIMIT * jumps.CANDIDATES
    assert len(most) <= 34
