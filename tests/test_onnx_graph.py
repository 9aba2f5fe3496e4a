"""pipeline.onnx_graph: the row policy before a core, the label behind it, and nothing else in the file."""

import dataclasses
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from isoform.errors import CheckFailed
from isoform.formats import onnx as onnx_format
from isoform.metadata import Config
from pipeline.onnx_graph import assemble, check
from pipeline.params import Onnx

PINNED = Onnx(opset=18, ir_version=10)
CONFIG = Config(
    model_name="tiny",
    task="classification",
    builder="by hand",
    hyperparameters={},
    numeric=["a", "b"],
    categorical=["c"],
    categories={"c": ["", "red", "žlutá"]},
    classes=[10, 20],
    network=None,
)


def joined_core(numeric: int = 2, categories: int = 1) -> onnx.ModelProto:
    """Return a core that lays its inputs open: the first number, ten times the second, … and the same of the indices."""
    inputs = [
        helper.make_tensor_value_info("numeric", TensorProto.FLOAT, ["N", numeric]),
        helper.make_tensor_value_info("categories", TensorProto.INT64, ["N", categories]),
    ]
    nodes = [
        helper.make_node("MatMul", ["numeric", "tens"], ["left"], name="/home/somebody/model.py:12"),
        helper.make_node("Cast", ["categories"], ["indices"], to=TensorProto.FLOAT, doc_string="line 5"),
        helper.make_node("MatMul", ["indices", "places"], ["right"]),
        helper.make_node("Concat", ["left", "right"], ["p"], axis=1),
    ]
    tens = np.array([[1], [10], [100]], dtype=np.float32)
    return core(nodes, inputs, {"tens": tens[:numeric], "places": tens[:categories]})


def column_core() -> onnx.ModelProto:
    """Return a core with one input per column, as skl2onnx makes one."""
    inputs = [
        helper.make_tensor_value_info("first", TensorProto.FLOAT, ["N", 1]),
        helper.make_tensor_value_info("second", TensorProto.FLOAT, ["N", 1]),
        helper.make_tensor_value_info("third", TensorProto.STRING, ["N", 1]),
    ]
    nodes = [
        helper.make_node(
            "LabelEncoder", ["third"], ["code"], domain="ai.onnx.ml", keys_strings=["red"], values_floats=[7.0], default_float=0.0
        ),
        helper.make_node("Add", ["first", "code"], ["sum"]),
        helper.make_node("Concat", ["sum", "second"], ["p"], axis=1),
    ]
    return core(nodes, inputs, {})


def core(nodes: list[onnx.NodeProto], inputs: list[onnx.ValueInfoProto], constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    initializers = [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()]
    outputs = [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["N", 2])]
    graph = helper.make_graph(nodes, "main_graph", inputs, outputs, initializers, doc_string="made in /home/somebody")
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, producer_name="somebody", producer_version="5", doc_string="x")
    helper.set_model_props(model, {"where": "/home/somebody"})
    return model


def run(model: onnx.ModelProto, **columns: list[Any]) -> dict[str, np.ndarray]:
    session = ort.InferenceSession(onnx_format.dump(model), providers=["CPUExecutionProvider"])
    feeds = {
        name: np.array(cells, dtype=object if isinstance(cells[0], str) else np.float32).reshape(-1, 1)
        for name, cells in columns.items()
    }
    return dict(zip(["label", "probabilities"], session.run(["label", "probabilities"], feeds), strict=True))


def test_numbers_side_by_side_and_text_as_indices_reach_a_joined_core() -> None:
    model = assemble(joined_core(), CONFIG, PINNED, joined=True, answer="p")
    found = run(model, a=[1, 2, 4], b=[0.5, 0, 3], c=["red", "žlutá", "unseen"])
    assert found["probabilities"].tolist() == [[6, 2], [2, 3], [34, 0]]


def test_each_column_reaches_a_core_of_columns() -> None:
    model = assemble(column_core(), CONFIG, PINNED, joined=False, answer="p")
    found = run(model, a=[1, 2], b=[5, 6], c=["red", ""])
    assert found["probabilities"].tolist() == [[8, 5], [2, 6]]


@pytest.mark.parametrize(("made", "joined"), [(joined_core, True), (column_core, False)])
def test_infinities_reach_the_core_as_nan(made: Any, joined: bool) -> None:
    model = assemble(made(), CONFIG, PINNED, joined=joined, answer="p")
    found = run(model, a=[np.inf, -np.inf, np.nan, 3e38], b=[1, 1, 1, 0], c=[""] * 4)
    assert np.isnan(found["probabilities"][:, 0]).tolist() == [True, True, True, False]


def test_the_label_is_the_class_of_the_first_of_the_largest() -> None:
    model = assemble(joined_core(), CONFIG, PINNED, joined=True, answer="p")
    found = run(model, a=[1, 0, 5], b=[0, 0, 0], c=["", "red", "žlutá"])
    assert found["label"].tolist() == [10, 20, 10]
    assert found["label"].dtype == np.int64


def test_classes_that_are_text_become_text() -> None:
    config = dataclasses.replace(CONFIG, classes=["no", "ano ☺"])
    model = assemble(joined_core(), config, PINNED, joined=True, answer="p")
    assert run(model, a=[1, 0], b=[0, 0], c=["unseen", "red"])["label"].tolist() == ["no", "ano ☺"]


@pytest.mark.parametrize(("numeric", "categorical"), [(["a"], []), ([], ["c"]), (["a", "b"], ["c", "d"])])
def test_a_table_may_have_one_kind_of_column_only(numeric: list[str], categorical: list[str]) -> None:
    config = dataclasses.replace(
        CONFIG, numeric=numeric, categorical=categorical, categories={name: ["red"] for name in categorical}
    )
    model = assemble(joined_core(len(numeric), len(categorical)), config, PINNED, joined=True, answer="p")
    columns = {name: [1.0, np.nan] for name in numeric} | {name: ["red", ""] for name in categorical}
    found = run(model, **columns)["probabilities"]
    assert found.shape == (2, 2)
    assert found[0].tolist() == [[0, 1, 11][len(numeric)], [0, 1, 11][len(categorical)]]


NAMES = ["numeric", "categories", "tens", "p", "left", "cat", "mean", "first", "a b", "ž", "x.y", "x:0", "", "N", "probability"]


@pytest.mark.parametrize("name", [name for name in NAMES if name])
@pytest.mark.parametrize(("made", "joined"), [(joined_core, True), (column_core, False)])
def test_a_column_may_have_a_name_that_the_core_uses(name: str, made: Any, joined: bool) -> None:
    config = dataclasses.replace(CONFIG, numeric=[name, "b"])
    model = assemble(made(), config, PINNED, joined=joined, answer="p")
    expected = run(assemble(made(), CONFIG, PINNED, joined=joined, answer="p"), a=[1], b=[2], c=["red"])
    found = run(model, **{name: [1], "b": [2], "c": ["red"]})
    assert found["probabilities"].tolist() == expected["probabilities"].tolist()


@pytest.mark.parametrize(("made", "joined"), [(joined_core, True), (column_core, False)])
def test_opset_ir_version_and_producer_are_the_pinned_ones(made: Any, joined: bool) -> None:
    for opset, ir_version in ((18, 10), (21, 9), (18, 8)):
        pinned = Onnx(opset=opset, ir_version=ir_version)
        model = assemble(made(), CONFIG, pinned, joined=joined, answer="p")
        assert {entry.domain: entry.version for entry in model.opset_import} == {"": opset, "ai.onnx.ml": 3}
        assert (model.ir_version, model.producer_name, model.producer_version) == (ir_version, "isoform", "")
        assert model.graph.name == "tiny"


@pytest.mark.parametrize(("made", "joined"), [(joined_core, True), (column_core, False)])
def test_no_trace_of_the_exporter_is_left(made: Any, joined: bool) -> None:
    data = onnx_format.dump(assemble(made(), CONFIG, PINNED, joined=joined, answer="p"))
    for trace in (b"somebody", b".py", b"line 5", b"main_graph", b"where"):
        assert trace not in data


@pytest.mark.parametrize(("made", "joined"), [(joined_core, True), (column_core, False)])
def test_assembling_twice_gives_the_same_bytes(made: Any, joined: bool) -> None:
    files = {onnx_format.dump(assemble(made(), CONFIG, PINNED, joined=joined, answer="p")) for _ in range(5)}
    assert len(files) == 1


def test_a_node_without_the_optional_input_keeps_it_absent() -> None:
    made = joined_core()
    made.graph.node.append(helper.make_node("Clip", ["p", "", "most"], ["q"]))
    made.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(1.5), "most"))
    made.graph.output[0].name = "q"
    model = assemble(made, CONFIG, PINNED, joined=True, answer="q")
    assert run(model, a=[9], b=[0], c=["red"])["probabilities"].tolist() == [[1.5, 1.5]]


def test_what_no_output_needs_is_left_out() -> None:
    made = joined_core()
    made.graph.node.append(helper.make_node("ArgMax", ["p"], ["label"], axis=1))
    made.graph.node.append(helper.make_node("Cast", ["label"], ["text"], to=TensorProto.STRING))
    model = assemble(made, CONFIG, PINNED, joined=True, answer="p")
    assert onnx_format.dump(model) == onnx_format.dump(assemble(joined_core(), CONFIG, PINNED, joined=True, answer="p"))


def test_what_a_branch_alone_needs_is_kept() -> None:
    made = joined_core()
    out = helper.make_tensor_value_info("q", TensorProto.FLOAT, None)
    branches = [helper.make_graph([helper.make_node(kind, ["twice"], ["q"])], kind, [], [out]) for kind in ("Identity", "Neg")]
    made.graph.node.append(helper.make_node("Add", ["p", "p"], ["twice"]))
    made.graph.node.append(helper.make_node("If", ["always"], ["r"], then_branch=branches[0], else_branch=branches[1]))
    made.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "always"))
    made.graph.output[0].name = "r"
    model = assemble(made, CONFIG, PINNED, joined=True, answer="r")
    assert run(model, a=[1], b=[0], c=["red"])["probabilities"].tolist() == [[2, 4]]


@pytest.mark.parametrize("probabilities", ["absent", ""])
def test_a_core_without_the_output_named_is_refused(probabilities: str) -> None:
    with pytest.raises(CheckFailed, match="model 'tiny': is not valid ONNX"):
        assemble(joined_core(), CONFIG, PINNED, joined=True, answer=probabilities)


def test_a_core_of_an_unknown_operator_is_refused() -> None:
    made = joined_core()
    made.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(CheckFailed, match="is not valid ONNX"):
        assemble(made, CONFIG, PINNED, joined=True, answer="p")


def test_check_passes_what_is_valid() -> None:
    check(assemble(joined_core(), CONFIG, PINNED, joined=True, answer="p"))
