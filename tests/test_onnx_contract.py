"""What a model.onnx must have beside the right numbers: the signature that isoform.formats.onnx wants, pipeline.onnx_contract."""

import dataclasses
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from test_onnx_graph import CONFIG, PINNED, joined_core

from isoform.errors import CheckFailed, Refused
from isoform.formats import onnx as onnx_format
from isoform.rows import Columns
from pipeline.onnx_contract import check_labels, check_no_rows
from pipeline.onnx_graph import assemble
from pipeline.parity import held_out

COLUMNS: Columns = {
    "a": np.array([1, 0, 5], dtype=np.float32),
    "b": np.zeros(3, dtype=np.float32),
    "c": np.array(["", "red", "žlutá"], dtype=object),
}
REGRESSION = dataclasses.replace(CONFIG, task="regression", classes=[])


def model() -> onnx.ModelProto:
    return assemble(joined_core(), CONFIG, PINNED, joined=True, answer="p")


def session(made: onnx.ModelProto) -> Any:
    return onnx_format.load(onnx_format.dump(made))


def test_what_the_exporter_makes_keeps_the_contract() -> None:
    onnx_format.refuse_other_signature(session(model()), CONFIG)
    check_no_rows(session(model()), COLUMNS)
    probabilities = onnx_format.infer(session(model()), COLUMNS, CONFIG)
    check_labels(session(model()), held_out(COLUMNS, np.arange(3), [2]), [probabilities, probabilities], CONFIG, "joblib")


@pytest.mark.parametrize("classes", [[1, 2], ["no", "yes"], [False, True]])
def test_labels_of_every_type_keep_the_contract(classes: list[Any]) -> None:
    config = dataclasses.replace(CONFIG, classes=classes)
    made = session(assemble(joined_core(), config, PINNED, joined=True, answer="p"))
    onnx_format.refuse_other_signature(made, config)
    check_no_rows(made, COLUMNS)


def test_a_regression_keeps_the_contract_and_has_no_label() -> None:
    core = joined_core()
    core.graph.node.append(helper.make_node("ReduceSum", ["p", "axis"], ["y"], keepdims=1))
    core.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1]), "axis"))
    core.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 1]))
    made = session(assemble(core, REGRESSION, PINNED, joined=True, answer="y"))
    onnx_format.refuse_other_signature(made, REGRESSION)
    check_no_rows(made, COLUMNS)
    check_labels(made, held_out(COLUMNS, np.arange(3), []), [np.zeros((3, 1))], REGRESSION, "joblib")


def frozen(made: onnx.ModelProto) -> None:
    for value in made.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 2


def encoded_outside(made: onnx.ModelProto) -> None:
    encoder = next(node for node in made.graph.node if node.op_type == "LabelEncoder")
    made.graph.input[2].type.tensor_type.elem_type = TensorProto.INT64
    encoder.CopyFrom(helper.make_node("Identity", list(encoder.input), list(encoder.output)))


def renamed(made: onnx.ModelProto) -> None:
    made.graph.input[0].name = "A"
    for node in made.graph.node:
        node.input[:] = ["A" if name == "a" else name for name in node.input]


def without_label(made: onnx.ModelProto) -> None:
    del made.graph.output[0]


def more(made: onnx.ModelProto) -> None:
    made.graph.output.append(helper.make_tensor_value_info("/rows/numbers", TensorProto.FLOAT, ["N", 2]))


SABOTAGES = {
    frozen: r"its input 'a' is tensor\(float\) \[2, 1\]; expected tensor\(float\) \[N, 1\] for any N",
    encoded_outside: r"its input 'c' is tensor\(int64\) \['N', 1\]; expected tensor\(string\) \[N, 1\]",
    renamed: "its inputs are A, b, c; expected a, b, c",
    without_label: "its outputs are probabilities; expected label, probabilities",
    more: "its outputs are label, probabilities, /rows/numbers; expected label, probabilities",
}


@pytest.mark.parametrize("change", SABOTAGES, ids=lambda change: change.__name__)
def test_another_signature_is_refused(change: Any) -> None:
    made = model()
    change(made)
    with pytest.raises(Refused, match=f"^{SABOTAGES[change]}"):
        onnx_format.load(onnx_format.dump(made), CONFIG)


def test_another_number_or_type_of_classes_is_refused() -> None:
    with pytest.raises(Refused, match=r"'probabilities' is tensor\(float\) \['N', 2\]; expected tensor\(float\) \[N, 3\]"):
        onnx_format.refuse_other_signature(session(model()), dataclasses.replace(CONFIG, classes=[1, 2, 3]))
    with pytest.raises(Refused, match=r"'label' is tensor\(int64\) \['N'\]; expected tensor\(string\) \[N\]"):
        onnx_format.refuse_other_signature(session(model()), dataclasses.replace(CONFIG, classes=["1", "2"]))


def test_a_label_that_is_not_the_references_is_refused() -> None:
    questions = held_out(COLUMNS, np.arange(3), [])
    wanted = np.array([[0.9, 0.1], [0.1, 0.9], [0.2, 0.8]], dtype=np.float32)
    with pytest.raises(CheckFailed, match=r"format 'onnx', test row 2: its label is 10, joblib's 20 of \[0.2.*; 1 of 3 rows"):
        check_labels(session(model()), questions, [wanted], CONFIG, "joblib")


def test_a_graph_that_cannot_take_no_rows_is_refused() -> None:
    core = joined_core()
    core.graph.node.append(helper.make_node("Gather", ["p", "first"], ["row"], axis=0))
    core.graph.node.append(helper.make_node("Max", ["p", "row"], ["q"]))
    core.graph.initializer.append(onnx.numpy_helper.from_array(np.array([0]), "first"))
    core.graph.output[0].name = "q"
    with pytest.raises(CheckFailed, match=r"format 'onnx': failed on a batch of no rows \(.*; correct its exporter"):
        check_no_rows(session(assemble(core, CONFIG, PINNED, joined=True, answer="q")), COLUMNS)


def test_a_graph_that_answers_rows_that_were_not_asked_is_refused() -> None:
    core = joined_core()
    core.graph.node.append(helper.make_node("Concat", ["p", "row"], ["q"], axis=0))
    core.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((1, 2), dtype=np.float32), "row"))
    core.graph.output[0].name = "q"
    with pytest.raises(CheckFailed, match=r"its output 'label' has shape \[1\] for a batch of no rows"):
        check_no_rows(session(assemble(core, CONFIG, PINNED, joined=True, answer="q")), COLUMNS)
