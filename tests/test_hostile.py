"""pipeline.hostile: every value that formats treat apart meets every column; what is no row is refused alike by all."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from builders import CASES, Workspace

from isoform import load
from isoform.errors import BadInput
from isoform.metadata import Config
from isoform.rows import Columns, canonical
from pipeline import hostile
from pipeline.hostile import NUMBERS, TEXTS, cases, describe, plain_rows, raw_rows, variants
from pipeline.parity import made_hostile

CONFIG = Config(
    model_name="tiny",
    task="classification",
    builder="by hand",
    hyperparameters={},
    numeric=["a", "b"],
    categorical=["c", "d"],
    categories={"c": ["", "café", "red"], "d": [f"town {i:03}" for i in range(1000)]},
    classes=[0, 1],
    network=None,
)
COLUMNS: Columns = {
    "a": np.array([1.5, 2.5, np.nan, -7], dtype=np.float32),
    "b": np.arange(4, dtype=np.float32),
    "c": np.array(["red", "", "café", "red"], dtype=object),
    "d": np.array(["town 001", "town 002", "never seen", ""], dtype=object),
}


def values(column: str, alone: bool = True) -> list[Any]:
    """Return what stands in a column where it alone, or every column of its kind, is hostile."""
    kind = CONFIG.numeric if column in CONFIG.numeric else CONFIG.categorical
    wanted = [column] if alone else kind
    return [edit[column] for row, edit in cases(COLUMNS, CONFIG, [0]) if list(edit) == wanted]


def same(one: Any, other: Any) -> bool:
    return repr(one) == repr(other)  # NaN is itself, and 0 is not -0


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("column", ["a", "b"])
def test_every_number_meets_every_column_alone_and_all_at_once(column: str, alone: bool) -> None:
    found = values(column, alone)
    for number in NUMBERS:
        assert any(same(number, value) for value in found), number


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("column", ["c", "d"])
def test_every_text_and_variant_meets_every_column_alone_and_all_at_once(column: str, alone: bool) -> None:
    found = values(column, alone)
    assert {*TEXTS, *variants(COLUMNS[column][0])} <= set(found)


def test_the_numbers_are_those_that_exporters_get_wrong() -> None:
    with np.errstate(over="ignore"):
        as_float32 = np.array(NUMBERS).astype(np.float32)
    assert np.isnan(as_float32).sum() == 1
    assert {0.0, 1e-45, -1e-45, 1e38, -1e38, 16777217.0, 0.1, 1 / 3, 1e300, 1e-300} <= set(NUMBERS)
    assert any(same(number, -0.0) for number in NUMBERS)
    subnormal = (as_float32 != 0) & (np.abs(as_float32) < np.finfo(np.float32).tiny)
    assert subnormal.sum() == 3
    assert np.finfo(np.float32).max in as_float32
    exact = np.array(NUMBERS)
    finite = np.isfinite(exact)
    assert (np.isinf(as_float32) & finite).sum() == 3, "two of 1e300, and one that float32 rounds to infinity"
    assert ((as_float32 != exact) & finite).sum() >= 8, "float64 that rounds"


def test_the_texts_are_those_that_encoders_get_wrong() -> None:
    given = [text for text in TEXTS if text is not None]
    assert None in TEXTS
    assert "" in given
    assert max(map(len, given)) == 10_000
    assert {"caf\u00e9", "cafe\u0301", "None", "nan", "0"} <= set(given)
    assert any(not text.isascii() for text in given)
    assert "never seen in training" in given


def test_variants_differ_in_case_space_and_composition() -> None:
    found = variants("Café au lait")
    assert {
        "CAFÉ AU LAIT",
        "café au lait",
        "Café au lait ",
        " Café au lait",
        "Cafe\u0301 au lait",
        "Café\u00a0au\u00a0lait",
    } <= set(found)
    assert len(variants("")) == len(found), "all columns change at once, in step"


def test_a_number_halfway_to_its_neighbour_in_float32_is_tried_both_ways() -> None:
    halfway = [value for value in values("a") if value not in NUMBERS and not np.isnan(value)]
    assert len(halfway) == 2
    assert halfway[0] < 1.5 < halfway[1]
    assert np.array(halfway).astype(np.float32).tolist() == [1.5, 1.5]
    missing = [edit for _, edit in cases(COLUMNS, CONFIG, [2]) if list(edit) == ["a"]]
    assert len(missing) == len(NUMBERS)


def test_every_value_of_training_is_tried_and_of_very_many_a_part() -> None:
    assert set(CONFIG.categories["c"]) <= set(values("c"))
    known = set(CONFIG.categories["d"]) & set(values("d"))
    assert hostile.KNOWN // 2 < len(known) <= hostile.KNOWN + 1


def test_each_value_meets_several_rows_but_in_a_wide_table_fewer() -> None:
    assert {row for row, _ in cases(COLUMNS, CONFIG, [0, 2, 3])} == {0, 2, 3}
    wide = {f"n{i}": COLUMNS["a"] for i in range(300)}
    config = Config(**vars(CONFIG) | {"numeric": list(wide), "categorical": [], "categories": {}})
    assert {row for row, _ in cases(wide, config, [0, 1, 2, 3])} == {0}


@pytest.mark.parametrize(("numeric", "categorical"), [(["a"], []), ([], ["c"]), (["a"], ["c"])])
def test_a_table_may_have_one_column_or_one_kind_of_it(numeric: list[str], categorical: list[str]) -> None:
    config = Config(**vars(CONFIG) | {"numeric": numeric, "categorical": categorical})
    columns = {name: COLUMNS[name] for name in [*numeric, *categorical]}
    found = cases(columns, config, [0, 1])
    assert all(edit and set(edit) <= set(columns) for _, edit in found)
    raw = raw_rows(columns, found, config)
    assert list(raw) == list(columns)
    assert {len(column) for column in raw.values()} == {len(found)}


def test_raw_rows_are_the_held_out_rows_but_for_what_was_changed() -> None:
    raw = raw_rows(COLUMNS, [(1, {"a": 1e300}), (2, {"c": None, "d": "x"}), (0, {})], CONFIG)
    assert raw["a"].dtype == np.float64
    assert raw["a"].tolist()[0] == 1e300
    assert raw["a"].tolist()[2] == 1.5
    assert raw["b"].tolist() == [1, 2, 0]
    assert raw["c"].tolist() == ["", None, "red"]
    assert raw["d"].tolist() == ["town 002", "x", "town 001"]


def test_a_plain_user_feeds_float32_with_infinities_and_text_without_none() -> None:
    raw = raw_rows(COLUMNS, [(0, {"a": 1e300}), (0, {"a": -np.inf, "c": None}), (0, {"a": 16777217})], CONFIG)
    plain = plain_rows(raw, CONFIG)
    assert plain["a"].dtype == np.float32
    assert plain["a"].tolist() == [np.inf, -np.inf, 16777216]
    assert plain["c"].tolist() == ["red", "", "red"]
    assert np.isnan(canonical(raw, CONFIG.numeric, CONFIG.categorical)["a"][:2]).all()


def test_a_row_is_described_by_what_is_hostile_in_it() -> None:
    assert describe((7, {"a": float("inf")})) == "test row 7 with a = inf"
    assert describe((7, {"a": 1e-45})) == "test row 7 with a = 1e-45"
    assert describe((7, {"c": "cafe\u0301"})) == r"test row 7 with c = 'cafe\u0301'"
    assert describe((7, {"c": None, "d": ""})) == "test row 7 with c = None, d = ''"
    assert describe((7, dict.fromkeys("abcde", 0.0))) == "test row 7 with a = 0.0, b = 0.0, c = 0.0 and 2 more"
    assert describe((7, {"c": "x" * 10_000})).endswith("xxx… (10000 characters)")
    assert describe((7, {})) == "test row 7"


def test_the_same_seed_makes_the_same_rows(published: Callable[[str], Workspace]) -> None:
    workspace = published("mixed")
    columns, config = workspace.test_rows()[0], workspace.config("forest")
    ask = load(workspace.folder("forest")).predict_proba
    one, again, other = (made_hostile("onnx", ask, columns, config, seed) for seed in (1, 1, 2))
    assert repr(one.cases) == repr(again.cases) != repr(other.cases)


@pytest.mark.parametrize("model", ["forest", "logistic", "network"])
@pytest.mark.parametrize("table", ["mixed", "numeric", "categorical"])
def test_metadata_counts_the_hostile_rows(table: str, model: str, published: Callable[[str], Workspace]) -> None:
    parities = [entry.parity for entry in published(table).metadata(model).files.values() if entry.parity]
    assert min(parity.hostile_rows for parity in parities) > 100
    assert len({parity.hostile_rows for parity in parities}) == 1


GOOD: dict[str, list[Any]] = {"n0": [1.0], "n1": [None], "n2": [3.0], "n3": [4.0], "c0": ["red"], "c1": [""]}
BAD: dict[str, tuple[Any, str]] = {
    "a column is missing": (
        {name: cells for name, cells in GOOD.items() if name != "n2"},
        "column 'n2': is missing; give all of: n0",
    ),
    "text in a numeric column": (GOOD | {"n1": ["1"]}, "column 'n1', row 0: holds a str; give a number or null"),
    "a number in a text column": (GOOD | {"c1": [3]}, "column 'c1', row 0: holds a int; give text or null"),
    "bytes in a text column": (GOOD | {"c0": [b"red"]}, "column 'c0', row 0: holds a bytes; give text or null"),
    "NUL in a text": (GOOD | {"c0": ["re\0d"]}, "column 'c0', row 0: holds NUL or a lone surrogate"),
    "a lone surrogate": (GOOD | {"c0": ["\ud800"]}, "column 'c0', row 0: holds NUL or a lone surrogate"),
    "columns of different lengths": (GOOD | {"c0": ["red", "green"]}, "column 'c1': has 1 rows, column 'c0' has 2"),
    "a cell that is a list": (GOOD | {"n0": [[1.0]]}, "column 'n0', row 0: holds a list"),
    "two numbers a row": (GOOD | {"n0": np.zeros((1, 2))}, "column 'n0': has shape"),
    "dates": (GOOD | {"n0": np.array(["2026-01-01"], dtype="datetime64[D]")}, "column 'n0': holds dates; give numbers"),
    "a complex number": (GOOD | {"n0": [1j]}, "column 'n0', row 0: holds a complex"),
    "a row that is no dict": ([{name: cells[0] for name, cells in GOOD.items()}, 5], "row 1: is a int"),
    "no table": (5, "rows: are a int"),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_row_is_refused_alike_in_every_format(bad: str, published: Callable[[str], Workspace]) -> None:
    workspace, (rows, reason) = published("mixed"), BAD[bad]
    lines = set()
    for model, name in CASES:
        loaded = load(workspace.folder(model), format=name, trust_pickle=True)
        assert loaded.predict_proba(GOOD).shape == (1, 2)
        for ask in (loaded.predict_proba, loaded.predict):
            with pytest.raises(BadInput, match=f"^{reason}") as caught:
                ask(rows)
            lines.add(str(caught.value))
    assert len(lines) == 1


@pytest.mark.parametrize("model", ["forest", "logistic", "network"])
def test_plain_onnxruntime_refuses_wrong_columns_and_types_too(model: str, published: Callable[[str], Workspace]) -> None:
    workspace = published("mixed")
    session = load(workspace.folder(model)).native
    good = canonical(GOOD, workspace.config(model).numeric, workspace.config(model).categorical)
    feeds = {name: column.reshape(-1, 1) for name, column in good.items()}
    assert session.run(["label"], feeds)
    absent = {name: column for name, column in feeds.items() if name != "n1"}
    wrong = [absent, feeds | {"n1": feeds["n1"].astype(np.float64)}, feeds | {"n1": feeds["c1"]}, feeds | {"c1": feeds["n1"]}]
    for feed in wrong:
        with pytest.raises(Exception, match=r"n1|Unexpected input data type"):  # onnxruntime's classes
            session.run(["label"], feed)


def test_hostile_values_are_met_one_column_at_a_time_in_each_row() -> None:
    found = cases(COLUMNS, CONFIG, [0, 1, 3])
    for row, name in itertools.product([0, 1, 3], COLUMNS):
        assert sum(case[0] == row and list(case[1]) == [name] for case in found) >= len(NUMBERS)
