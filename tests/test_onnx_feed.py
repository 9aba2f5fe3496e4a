"""isoform.formats.onnx: what it feeds to onnxruntime means what canonical rows mean, however it was packed."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnxruntime as ort
import pandas as pd
import pytest
from builders import HOSTILE_NUMBERS, HOSTILE_TEXTS, Workspace
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from test_rows import Shade, number_cells, text_cells

from isoform import load
from isoform.errors import BadInput
from isoform.formats import onnx
from isoform.rows import canonical

SHORT = onnx.PACKED_BYTES - 1
"""The longest text that is packed."""


def identity(kind: int) -> Any:
    """An ONNX model that answers with its input."""
    value = [helper.make_tensor_value_info(name, kind, None) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", value[:1], value[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


ECHO = {
    kind: ort.InferenceSession(identity(kind).SerializeToString(), providers=["CPUExecutionProvider"])
    for kind in (TensorProto.FLOAT, TensorProto.STRING)
}


def read_by_onnxruntime(column: np.ndarray) -> list[Any]:
    """What arrives in a graph; ±inf as the graph takes it, for missing."""
    kind = TensorProto.FLOAT if column.dtype == np.float32 else TensorProto.STRING
    (found,) = ECHO[kind].run(None, {"x": column.reshape(-1, 1)})
    cells: list[Any] = found[:, 0].tolist()
    return [str(cell).replace("-inf", "nan").replace("inf", "nan") if kind == TensorProto.FLOAT else cell for cell in cells]


@pytest.fixture(autouse=True)
def pack_everything() -> Iterator[None]:
    """Pack even a single cell; not monkeypatch, which hypothesis takes for state between examples."""
    usual, onnx.PACKED_CELLS = onnx.PACKED_CELLS, 1
    yield
    onnx.PACKED_CELLS = usual


def outcome(read: Callable[..., Any], rows: Any, numeric: list[str], categorical: list[str]) -> Any:
    """What arrives in a graph, or the refusal."""
    try:
        return {name: read_by_onnxruntime(column) for name, column in read(rows, numeric, categorical).items()}
    except BadInput as error:
        return str(error)


faulty_texts = st.text(max_size=3) | st.text(st.characters(categories=["Cs"]), max_size=1) | st.integers() | st.just(b"a")
subclasses = st.sampled_from([Shade.RED, np.str_("red")])
long_texts = st.integers(SHORT - 2, SHORT + 2).map(lambda length: "x" * length) | st.just("é" * (SHORT // 2 + 1))
faulty_numbers = st.just("1") | st.just(1j) | st.just(pd.Timestamp("2020-01-01"))


@given(
    st.lists(
        st.tuples(number_cells | faulty_numbers, text_cells | faulty_texts | subclasses | long_texts, text_cells | subclasses),
        min_size=1,
        max_size=20,
    ),
    st.booleans(),
)
def test_packed_rows_arrive_as_canonical_ones_or_are_refused_alike(table: list[tuple[Any, ...]], as_arrays: bool) -> None:
    rows: dict[str, Any] = {name: [cells[i] for cells in table] for i, name in enumerate("nts")}
    if as_arrays:
        rows = {name: np.array([*cells, None], dtype=object)[:-1] for name, cells in rows.items()}
    for numeric, categorical in ((["n"], ["t", "s"]), ([], ["t", "s"]), (["n"], [])):
        assert outcome(onnx.prepare, rows, numeric, categorical) == outcome(canonical, rows, numeric, categorical)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=SHORT // 4), min_size=2))
def test_short_texts_are_packed_and_arrive_as_they_are(cells: list[str]) -> None:
    packed = onnx.pack([cells, cells[::-1]])
    assert packed is not None
    assert packed.dtype.kind == "S"
    assert [read_by_onnxruntime(column) for column in packed] == [cells, cells[::-1]]


@pytest.mark.parametrize("cell", ["x" * (SHORT + 1), "é" * (SHORT // 2 + 1), "a\0", "\0", "a\0b", "\ud800", None, 1, b"a"])
def test_what_cannot_be_packed_is_not(cell: Any) -> None:
    for position in range(3):
        cells: list[Any] = ["a", "", "b"]
        cells[position] = cell
        assert onnx.pack([["a", "b", "c"], cells]) is None


def test_the_longest_text_that_is_packed_arrives_whole() -> None:
    cells = ["x" * SHORT, "", "y" * SHORT, "é" * (SHORT // 2), "z"]
    packed = onnx.pack([cells])
    assert packed is not None
    assert read_by_onnxruntime(packed[0]) == cells


def test_few_cells_and_no_columns_are_not_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "PACKED_CELLS", 7)
    assert onnx.pack([["a"] * 3, ["b"] * 3]) is None
    assert onnx.pack([]) is None
    assert onnx.pack([["a"] * 4, ["b"] * 4]) is not None


def test_float32_arrays_are_fed_without_a_copy_and_stay_as_they_are() -> None:
    column = np.array([np.inf, np.nan, 1], dtype=np.float32)
    fed = onnx.prepare({"n": column}, ["n"], [])["n"]
    assert np.shares_memory(fed, column)
    assert column.tolist()[::2] == [np.inf, 1]


def test_strided_and_foreign_arrays_arrive_as_they_are() -> None:
    for column in (np.arange(6, dtype=np.float32)[::2], np.arange(0, 6, 2, dtype=">f4"), np.arange(0, 6, 2, dtype=">f8")):
        assert read_by_onnxruntime(onnx.prepare({"n": column}, ["n"], [])["n"]) == ["0.0", "2.0", "4.0"]


def test_the_model_that_is_asked_how_bytes_are_read_is_the_identity() -> None:
    model = identity(TensorProto.STRING)
    model.ClearField("producer_name")
    assert model.SerializeToString(deterministic=True) == onnx.IDENTITY


def test_bytes_are_fed_only_while_onnxruntime_reads_them_to_their_first_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    assert onnx.reads_to_the_first_zero()
    onnx.reads_to_the_first_zero.cache_clear()
    for answer in (["a\0b", "c", "\0b"], ["a", "c\0\0", ""], ["b'a'", "b'c'", "b''"]):
        found = np.array(answer, dtype=object)
        other = type("Session", (), {"__init__": lambda *_, **__: None, "run": lambda *_, found=found: [found]})
        monkeypatch.setattr(ort, "InferenceSession", other)
        assert onnx.pack([["a", "b"]]) is None
        onnx.reads_to_the_first_zero.cache_clear()


@pytest.mark.parametrize("model", ["forest", "logistic", "network"])
def test_a_model_answers_hostile_rows_alike_packed_as_objects_and_canonical(
    model: str, published: Callable[[str], Workspace]
) -> None:
    loaded = load(published("mixed").folder(model))
    rng = np.random.default_rng(0)
    rows: dict[str, list[Any]] = {name: [HOSTILE_NUMBERS[i] for i in rng.integers(0, 8, 60)] for name in loaded.config.numeric}
    short = [text for text in HOSTILE_TEXTS if len(text.encode()) <= SHORT]
    for texts in (short, HOSTILE_TEXTS):
        rows |= {
            name: [[*texts, *loaded.config.categories[name]][i] for i in rng.integers(0, len(texts) + 3, 60)]
            for name in loaded.config.categorical
        }
        expected = loaded.module.infer(
            loaded.native, canonical(rows, loaded.config.numeric, loaded.config.categorical), loaded.config
        )
        packed = onnx.prepare(rows, loaded.config.numeric, loaded.config.categorical)
        assert {packed[name].dtype.kind for name in loaded.config.categorical} == ({"S"} if texts is short else {"O"})
        assert loaded.predict_proba(rows).tobytes() == expected.tobytes()
        onnx.PACKED_CELLS = 10**9
        assert loaded.predict_proba(rows).tobytes() == expected.tobytes()
        onnx.PACKED_CELLS = 1
