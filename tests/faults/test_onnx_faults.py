"""Faults 43 to 56, and 21 in ONNX: what an attacker can write into model.onnx, made from the good file, really dangerous."""

import itertools
import os
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from cases import Record, both, expect
from harness import DOOR, MORE_MEMORY_BYTES, Child, Fault, Site, problems
from onnx import ModelProto, TensorProto, helper, numpy_helper

from isoform.formats import onnx as onnx_format

POLICY, TREES = "isoform.formats.onnx_policy", "isoform.formats.onnx_trees"
WIRE, SCHEMA, FORMAT = "isoform.formats.protobuf", "isoform.formats.onnx_schema", "isoform.formats.onnx"
ELSEWHERE, UNUSUAL = f"{POLICY}:refuse_external_data", f"{SCHEMA}:refuse_unusual"


def onnx_fault(number: int, title: str, make: Callable[[Site], bytes], reason: str, guard: str) -> Fault:
    return Fault(number=number, title=title, format="onnx", make=make, reason=reason, guard=guard, timeout_s=8)


def changed(change: Callable[[ModelProto, Site], None]) -> Callable[[Site], bytes]:
    """Return how to make the file that `change` leaves of the good one."""

    def make(site: Site) -> bytes:
        model = onnx.load_model_from_string(site.good)
        change(model, site)
        return model.SerializeToString()

    return make


def weights(model: ModelProto) -> TensorProto:
    """Return the largest tensor of numbers."""
    return max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))


def append(model: ModelProto, *nodes: Any, **constants: np.ndarray) -> None:
    """Have the answer depend on nodes that make `more`, [1, 1] or [N, 1], from constants and the column n0."""
    answer = next(node for node in model.graph.node if "probabilities" in node.output)
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0), "no"))
    nodes = (*nodes, helper.make_node("Mul", ["more", "no"], ["nothing"]))
    nodes = (*nodes, helper.make_node("Add", [answer.input[0], "nothing"], ["probabilities"]))
    model.graph.node.remove(answer)
    model.graph.node.extend(nodes)


# 43 to 49: data elsewhere. The weights themselves lie there, so that a reader that follows answers.


def entries(tensor: TensorProto, **values: str) -> None:
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in values.items():
        tensor.external_data.add(key=key, value=value)


def outside(place: Callable[[Site, bytes], str], **more: str) -> Callable[[Site], bytes]:
    """Return how to make a file whose weights lie where `place` has put them."""

    def change(model: ModelProto, site: Site) -> None:
        tensor = weights(model)
        location = place(site, tensor.raw_data)
        tensor.ClearField("raw_data")
        entries(tensor, location=location, **more)

    return changed(change)


def above(site: Site, data: bytes) -> str:
    (site.folder.parent / "secret").write_bytes(data)
    return "../secret"


def absolute(site: Site, data: bytes) -> str:
    (site.root / "secret").write_bytes(data)
    return str(site.root / "secret")


def symlink(site: Site, data: bytes) -> str:
    (site.root / "secret").write_bytes(data)
    (site.folder / "linked.bin").symlink_to(site.root / "secret")
    return "linked.bin"


def hard_link(site: Site, data: bytes) -> str:
    (site.root / "secret").write_bytes(data)
    os.link(site.root / "secret", site.folder / "hard.bin")
    return "hard.bin"


def beside(site: Site, data: bytes) -> str:
    (site.folder / "weights.bin").write_bytes(data)
    return "weights.bin"


def sparse(model: ModelProto, site: Site) -> None:
    tensor = weights(model)
    (site.folder / "sparse.bin").write_bytes(tensor.raw_data)
    made = model.graph.sparse_initializer.add(dims=tensor.dims)
    made.values.CopyFrom(TensorProto(name=tensor.name, data_type=tensor.data_type, dims=[int(np.prod(tensor.dims))]))
    entries(made.values, location="sparse.bin")
    made.indices.CopyFrom(numpy_helper.from_array(np.arange(np.prod(tensor.dims)), f"{tensor.name}_indices"))
    model.graph.initializer.remove(tensor)


def in_attribute(model: ModelProto, site: Site) -> None:
    (site.folder / "value.bin").write_bytes(np.zeros(1, dtype=np.float32).tobytes())
    value = TensorProto(data_type=TensorProto.FLOAT, dims=[1, 1])
    entries(value, location="value.bin")
    append(model, helper.make_node("Constant", [], ["more"], value=value))


def in_body(model: ModelProto, site: Site) -> None:
    def change(inner: Any) -> None:
        (site.folder / "inner.bin").write_bytes(np.zeros(1, dtype=np.float32).tobytes())
        value = inner.initializer.add(data_type=TensorProto.FLOAT, dims=[1], name="inner")
        entries(value, location="inner.bin")

    append(model, scan(change))


def scan(change: Callable[[Any], None] = lambda graph: None) -> Any:
    """Return a loop over the rows of column n0."""
    row = helper.make_tensor_value_info("row", TensorProto.FLOAT, [1])
    out = helper.make_tensor_value_info("same", TensorProto.FLOAT, [1])
    body = helper.make_graph([helper.make_node("Identity", ["row"], ["same"])], "body", [row], [out])
    change(body)
    return helper.make_node("Scan", ["n0"], ["more"], body=body, num_scan_inputs=1)


# 50 to 53: what onnxruntime would do with names


def uses(operator: str, domain: str = "", **attributes: Any) -> Callable[[Site], bytes]:
    def change(model: ModelProto, site: Site) -> None:
        if domain and domain not in {entry.domain for entry in model.opset_import}:
            model.opset_import.add(domain=domain, version=1)
        append(model, helper.make_node(operator, ["n0"], ["more"], domain=domain, **attributes))

    return changed(change)


def endless(model: ModelProto, site: Site) -> None:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", [a], [b]) for a, b in (("go", "goes"), ("held", "holds"))],
        "body",
        [value("step", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("held", TensorProto.FLOAT, None)],
        [value("goes", TensorProto.BOOL, []), value("holds", TensorProto.FLOAT, None)],
    )
    loop = helper.make_node("Loop", ["steps", "always", "n0"], ["more"], body=body)
    append(model, loop, steps=np.array(10**15), always=np.array(True))


def loops_in_loops(model: ModelProto, site: Site) -> None:
    def change(graph: Any) -> None:
        inner = scan()
        inner.input[0], inner.output[0] = "row", "same"
        inner.attribute[0].g.input[0].type.tensor_type.ClearField("shape")
        inner.attribute[0].g.output[0].type.tensor_type.ClearField("shape")
        graph.node[0].CopyFrom(inner)
        inner.attribute[0].g.input[0].name, inner.attribute[0].g.node[0].input[0] = "cell", "cell"

    append(model, scan(change))


def function(model: ModelProto, site: Site) -> None:
    made = helper.make_function(
        "mine", "F", ["x"], ["y"], [helper.make_node("Identity", ["x"], ["y"])], [helper.make_opsetid("", 18)]
    )
    model.functions.append(made)
    model.opset_import.add(domain="mine", version=1)
    append(model, helper.make_node("F", ["n0"], ["more"], domain="mine"))


def two_readings(model: ModelProto, site: Site) -> None:
    node = helper.make_node("LinearRegressor", ["n0"], ["more"], domain="ai.onnx.ml", coefficients=[1.0], intercepts=[0.0])
    node.attribute.append(helper.make_attribute("coefficients", [7.0]))
    append(model, node)


def opset(version: int) -> Callable[[Site], bytes]:
    return changed(lambda model, site: setattr(model.opset_import[0], "version", version))


def ort_format(site: Site) -> bytes:
    """Return what onnxruntime itself saves of the good model: it loads, where nothing forbids it."""
    made = site.root.parent / "model.ort"
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(made)
    options.add_session_config_entry("session.save_model_format", "ORT")
    ort.InferenceSession(site.good, options, providers=["CPUExecutionProvider"])
    return made.read_bytes()


# 54: memory


def asks(elements: int) -> Callable[[Site], bytes]:
    """Return how to make a model that wants a float32 of so many elements."""

    def change(model: ModelProto, site: Site) -> None:
        nodes = [
            helper.make_node("ConstantOfShape", ["wanted"], ["large"]),
            helper.make_node("ReduceMax", ["large"], ["more"], keepdims=1),
        ]
        append(model, *nodes, wanted=np.array([1, elements]))

    return changed(change)


def doubles(model: ModelProto, site: Site) -> None:
    names = ["n0", *(f"double_{i}" for i in range(40))]
    nodes = [helper.make_node("Concat", [a, a], [b], axis=1) for a, b in itertools.pairwise(names)]
    append(model, *nodes, helper.make_node("ReduceMax", [names[-1], "axis"], ["more"], keepdims=1), axis=np.array([1]))


def expands(model: ModelProto, site: Site) -> None:
    nodes = [helper.make_node("Expand", ["n0", "to"], ["large"]), helper.make_node("ReduceMax", ["large", "axis"], ["more"])]
    append(model, *nodes, to=np.array([1, 1 << 40]), axis=np.array([1]))


def dims_lie(model: ModelProto, site: Site) -> None:
    weights(model).dims[:] = [1 << 30, 8]


def long_label(model: ModelProto, site: Site) -> None:
    encoder = helper.make_node(
        "LabelEncoder", ["label_"], ["label"], domain="ai.onnx.ml", keys_int64s=[0, 1], values_strings=["x" * 10**6, "y"]
    )
    node = next(node for node in model.graph.node if "label" in node.output)
    node.output[0] = "label_"
    model.graph.node.append(encoder)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.STRING


def texts(model: ModelProto, site: Site) -> None:
    """Have an answer take 10 GB of text, of which onnxruntime's limit counts the 32 bytes of each object."""
    model.graph.initializer.append(numpy_helper.from_array(np.array([["x" * 10**6]], dtype=object), "text"))
    nodes = [
        helper.make_node("Expand", ["text", "to"], ["texts"]),
        helper.make_node(
            "LabelEncoder", ["texts"], ["all"], domain="ai.onnx.ml", keys_strings=["a"], values_floats=[0.0], default_float=0.0
        ),
        helper.make_node("ReduceMax", ["all", "axis"], ["more"]),
    ]
    append(model, *nodes, to=np.array([1, 10_000]), axis=np.array([1]))


# 55: numbers that are none


def spoilt(value: float) -> Callable[[Site], bytes]:
    def change(model: ModelProto, site: Site) -> None:
        tensor = weights(model)
        values = numpy_helper.to_array(tensor).copy()
        values.flat[-1] = value
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    return changed(change)


def spoilt_attribute(model: ModelProto, site: Site) -> None:
    coefficients = {"coefficients": [float("nan")], "intercepts": [0.0]}
    append(model, helper.make_node("LinearRegressor", ["n0"], ["more"], domain="ai.onnx.ml", **coefficients))


# 56: another signature


def renamed(model: ModelProto, site: Site) -> None:
    model.graph.input[0].name = "m0"
    for node in model.graph.node:
        node.input[:] = ["m0" if name == "n0" else name for name in node.input]


def frozen(model: ModelProto, site: Site) -> None:
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 5


def one_more(model: ModelProto, site: Site) -> None:
    model.graph.output.append(helper.make_tensor_value_info("/rows/numbers", TensorProto.FLOAT, ["N", 4]))


# The nearest fault of what is no ONNX: bytes that two readers may take for two models


def many_opsets(site: Site) -> bytes:
    """Return the good model with an opset 100,001 times."""
    model = onnx.load_model_from_string(site.good)
    model.opset_import.extend([model.opset_import[0]] * 100_001)
    return model.SerializeToString()


def many_attributes(model: ModelProto, site: Site) -> None:
    """Have 200 nodes with 1000 empty attributes each, of a hundredth of the size that they take in memory."""
    attribute = onnx.AttributeProto(name="", type=onnx.AttributeProto.FLOATS)
    nodes = [helper.make_node("Neg", ["n0"], [f"negative {number}"]) for number in range(200)]
    for made in nodes:
        made.attribute.extend([attribute] * 1000)
    model.graph.node.extend(nodes)


def twice(site: Site) -> bytes:
    """Return the good model with a second graph: protobuf merges the two."""
    more = ModelProto()
    more.graph.node.append(helper.make_node("Identity", ["n0"], ["unseen"]))
    return site.good + more.SerializeToString()


def trailing(site: Site) -> bytes:
    return site.good + b"\xfa\x3e\x05hello"


def edited(make: Callable[[Site], bytes], old: bytes, new: bytes) -> Callable[[Site], bytes]:
    """Return how to make a file with a few of its bytes replaced by as many others."""

    def replaced(site: Site) -> bytes:
        data = make(site)
        assert data.count(old) == 1
        assert len(old) == len(new)
        return data.replace(old, new)

    return replaced


AXIS = b"Flatten*\x0b\x0a\x04axis"
"""In the file of a model that flattens: behind it are the value, its type and the end of the attribute."""


def flattens(**more: Any) -> Callable[[Site], bytes]:
    """Return how to make a model with an attribute `axis` of 1, and `more` fields in it."""

    def change(model: ModelProto, site: Site) -> None:
        node = helper.make_node("Flatten", ["n0"], ["more"], axis=1)
        for name, value in more.items():
            setattr(node.attribute[0], name, value)
        append(model, node)

    return changed(change)


def long_version(site: Site) -> bytes:
    """Return the good model with its IR version, 10, in 11 bytes."""
    assert site.good.startswith(b"\x08\x0a")
    return b"\x08\x8a" + b"\x80" * 9 + b"\x00" + site.good[2:]


def field(number: int, data: bytes) -> bytes:
    """Return a field of wire type 2."""
    size = len(data)
    return bytes([number << 3 | 2, *(size >> shift & 0x7F | 0x80 for shift in (0, 7)), size >> 14]) + data


def graphs_in_graphs(site: Site) -> bytes:
    """Return a model whose graph has a node that has a graph that has a node…, 500 times."""
    graph = b""
    for _ in range(500):
        graph = field(1, field(4, b"Scan") + field(5, field(1, b"body") + field(6, graph) + b"\xa0\x01\x05"))
    return b"\x08\x0a" + field(7, graph)


def forest(**trees: Any) -> Callable[[Site], bytes]:
    """Return how to make a model that asks a forest, of one split unless `trees` say otherwise, as well."""
    split = {
        "nodes_treeids": [0, 0, 0], "nodes_nodeids": [0, 1, 2], "nodes_featureids": [0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "LEAF", "LEAF"], "nodes_values": [0.0, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 0], "nodes_falsenodeids": [2, 0, 0],
        "class_treeids": [0, 0, 0, 0], "class_nodeids": [1, 1, 2, 2], "class_ids": [0, 1, 0, 1],
        "class_weights": [0.1, 0.9, 0.9, 0.1], "classlabels_strings": ["no", "yes"],
    }  # fmt: skip

    def change(model: ModelProto, site: Site) -> None:
        node = helper.make_node(
            "TreeEnsembleClassifier", ["n0"], ["a label", "scores"], domain="ai.onnx.ml", **{**split, **trees}
        )
        append(model, node, helper.make_node("ReduceMax", ["scores", "last"], ["more"], keepdims=1), last=np.array([1]))

    return changed(change)


def chain(length: int) -> dict[str, Any]:
    """Return a tree whose every split has a leaf and the next split."""
    nodes, leaves = range(2 * length + 1), range(length, 2 * length + 1)
    return {
        "nodes_treeids": [0 for _ in nodes], "nodes_nodeids": list(nodes), "nodes_featureids": [0 for _ in nodes],
        "nodes_modes": ["BRANCH_LEQ"] * length + ["LEAF" for _ in leaves], "nodes_values": [float(node) for node in nodes],
        "nodes_truenodeids": list(leaves[:-1]) + [0 for _ in leaves],
        "nodes_falsenodeids": [*range(1, length), leaves[-1]] + [0 for _ in leaves],
        "class_treeids": [0 for _ in leaves], "class_nodeids": list(leaves), "class_ids": [0 for _ in leaves],
        "class_weights": [0.5 for _ in leaves],
    }  # fmt: skip


CIRCLE = {
    "nodes_treeids": [0] * 5, "nodes_nodeids": [0, 1, 2, 3, 4], "nodes_featureids": [0] * 5,
    "nodes_modes": ["BRANCH_LEQ", "BRANCH_LEQ", "BRANCH_LEQ", "LEAF", "LEAF"], "nodes_values": [1e30] * 5,
    "nodes_truenodeids": [1, 2, 1, 0, 0], "nodes_falsenodeids": [4, 3, 3, 0, 0],
    "class_treeids": [0, 0], "class_nodeids": [3, 4], "class_ids": [0, 1], "class_weights": [0.5, 0.5],
}  # fmt: skip
"""A tree whose split 2 leads back to split 1."""


def billion_targets(model: ModelProto, site: Site) -> None:
    trees = {
        "nodes_treeids": [0], "nodes_nodeids": [0], "nodes_featureids": [0], "nodes_modes": ["LEAF"], "nodes_values": [0.0],
        "nodes_truenodeids": [0], "nodes_falsenodeids": [0], "target_treeids": [0], "target_nodeids": [0], "target_ids": [0],
        "target_weights": [1.0], "n_targets": 2**31 - 1,
    }  # fmt: skip
    node = helper.make_node("TreeEnsembleRegressor", ["n0"], ["scores"], domain="ai.onnx.ml", **trees)
    append(model, node, helper.make_node("ReduceMax", ["scores", "last"], ["more"], keepdims=1), last=np.array([1]))


def division(model: ModelProto, site: Site) -> None:
    nodes = [helper.make_node("Div", ["least", "minus one"], ["ratio"]), helper.make_node("Cast", ["ratio"], ["more"], to=1)]
    append(model, *nodes, **{"least": np.array([[-(2**63)]]), "minus one": np.array([[-1]])})


def division_in_body(model: ModelProto, site: Site) -> None:
    def change(graph: Any) -> None:
        nodes = [
            helper.make_node("Cast", ["row"], ["whole"], to=TensorProto.INT32),
            helper.make_node("Sub", ["whole", "whole"], ["zero"]),
            helper.make_node("Div", ["whole", "zero"], ["ratio"]),
            helper.make_node("Cast", ["ratio"], ["same"], to=TensorProto.FLOAT),
        ]
        del graph.node[:]
        graph.node.extend(nodes)

    append(model, scan(change))


def learns(model: ModelProto, site: Site) -> None:
    inputs, outputs = ["n0", *["one"] * 4], ["more", "means", "variances"]
    append(model, helper.make_node("BatchNormalization", inputs, outputs, training_mode=1), one=np.ones(1, dtype=np.float32))


def no_opset(model: ModelProto, site: Site) -> None:
    """Leave the version of ai.onnx out: that of the other domain is all there is."""
    del model.opset_import[:]
    model.opset_import.add(domain="ai.onnx.ml", version=3)


def second_opset(model: ModelProto, site: Site) -> None:
    model.opset_import.add(domain="", version=22)


def second_initializer(model: ModelProto, site: Site) -> None:
    tensor = weights(model)
    model.graph.initializer.append(numpy_helper.from_array(numpy_helper.to_array(tensor) * 2, tensor.name))


def second_output(model: ModelProto, site: Site) -> None:
    model.graph.output.append(model.graph.output[-1])


def node(*arguments: Any, **attributes: Any) -> Callable[[Site], bytes]:
    """Return how to make a model with a node of the column n0 more."""
    return changed(lambda model, site: append(model, helper.make_node(*arguments, **attributes)))


FAULTS = [
    onnx_fault(21, "input left out", node("Max", ["n0", ""], ["more"]), "put that is left out", f"{POLICY}:refuse_left_out"),
    onnx_fault(
        21,
        "output left out",
        node("Split", ["n0"], ["more", ""], num_outputs=2),
        "a Split with an input or output that is left out",
        f"{POLICY}:refuse_left_out",
    ),
    onnx_fault(
        21,
        "more outputs than parts",
        node("Split", ["n0"], ["more", "b", "c"], num_outputs=2, axis=1),
        "a Split into 2 parts with 3 outputs",
        f"{POLICY}:refuse_other_outputs",
    ),
    onnx_fault(21, "it learns", changed(learns), "a BatchNormalization in training mode", f"{POLICY}:refuse_training"),
    onnx_fault(21, "-2^63 / -1", changed(division), "a Div that may be of integers", f"{POLICY}:refuse_integer_division"),
    onnx_fault(
        21, "0 / 0 in a body", changed(division_in_body), "a Div that may be of integers", f"{POLICY}:refuse_integer_division"
    ),
    onnx_fault(43, "external data ../", outside(above), r"keeps the data of '.+' elsewhere \(location \.\./secret\)", ELSEWHERE),
    onnx_fault(44, "absolute path", outside(absolute), r"elsewhere \(location /.*/secret\)", ELSEWHERE),
    onnx_fault(45, "symbolic link", outside(symlink), r"elsewhere \(location linked\.bin\)", ELSEWHERE),
    onnx_fault(46, "hard link", outside(hard_link), r"elsewhere \(location hard\.bin\)", ELSEWHERE),
    onnx_fault(47, "sparse initializer", changed(sparse), "has 1 sparse init", f"{POLICY}:refuse_sparse_initializers"),
    onnx_fault(47, "tensor in an attribute", changed(in_attribute), r"elsewhere \(location value\.bin\)", ELSEWHERE),
    onnx_fault(47, "tensor in a body", changed(in_body), r"elsewhere \(location inner\.bin\)", ELSEWHERE),
    onnx_fault(
        48,
        "address in memory",
        outside(lambda site, data: "*/_ORT_MEM_ADDR_/*", offset="4194304", length="256"),
        r"elsewhere \(location \*/_ORT_MEM_ADDR_/\*, offset 4194304",
        ELSEWHERE,
    ),
    onnx_fault(
        49, "length 10^15", outside(beside, length=str(10**15)), r"elsewhere \(location weights\.bin, length 10{15}\)", ELSEWHERE
    ),
    onnx_fault(50, "unknown operator", uses("RandomNormalLike"), "the operator RandomNormalLike,", f"{POLICY}:refuse_operator"),
    onnx_fault(50, "made-up operator", uses("System"), "uses the operator System,", f"{POLICY}:refuse_operator"),
    onnx_fault(50, "loop of 10^15 steps", changed(endless), "has a graph in a Loop", f"{POLICY}:refuse_nested_graph"),
    onnx_fault(50, "loop in a loop", changed(loops_in_loops), "in a graph in a Scan", f"{POLICY}:refuse_nested_graph"),
    onnx_fault(50, "function", changed(function), "defines 1 operators of its own", f"{POLICY}:refuse_functions"),
    onnx_fault(
        50,
        "unknown attribute",
        uses("LinearRegressor", "ai.onnx.ml", coefficients=[1.0], intercepts=[0.0], targets=10**9),
        "has a LinearRegressor with the attribute targets",
        f"{POLICY}:refuse_attribute",
    ),
    onnx_fault(
        50, "an attribute twice", changed(two_readings), "with two attributes of one name", f"{POLICY}:refuse_second_attribute"
    ),
    onnx_fault(51, "custom domain", uses("Evil", "evil.example"), "of the domain 'evil.example'", f"{POLICY}:refuse_domain"),
    onnx_fault(
        51, "onnxruntime's domain", uses("Gelu", "com.microsoft"), "of the domain 'com.microsoft'", f"{POLICY}:refuse_domain"
    ),
    onnx_fault(
        52, "opset left out", changed(no_opset), "gives no opset of ai.onnx, whose operators", f"{POLICY}:refuse_absent_opset"
    ),
    onnx_fault(52, "two opsets", changed(second_opset), "opset of one domain twice", f"{POLICY}:refuse_second_opset"),
    onnx_fault(53, "a constant twice", changed(second_initializer), "gives the name '.+' twice", f"{POLICY}:refuse_second_name"),
    onnx_fault(53, "a name of two nodes", node("Neg", ["n0"], ["label"]), "name 'label' twice", f"{POLICY}:refuse_second_name"),
    onnx_fault(53, "an output twice", changed(second_output), "'probabilities' twice", f"{POLICY}:refuse_second_name"),
    onnx_fault(52, "opset 999", opset(999), "has opset 999 of ai.onnx", f"{POLICY}:refuse_opset"),
    onnx_fault(52, "opset 7", opset(7), "has opset 7 of ai.onnx", f"{POLICY}:refuse_opset"),
    onnx_fault(
        52,
        "IR 999",
        changed(lambda model, site: setattr(model, "ir_version", 999)),
        "has IR version 999",
        f"{POLICY}:refuse_ir_version",
    ),
    onnx_fault(53, ".ort bytes", ort_format, "is in onnxruntime's own format", f"{POLICY}:refuse_ort_format"),
    onnx_fault(53, "a second graph", twice, "gives 'graph' of a ModelProto twice", f"{WIRE}:refuse_second_value"),
    onnx_fault(53, "an unknown field", trailing, "field 1007, wire type 2, of a ModelProto", f"{WIRE}:refuse_unknown_field"),
    onnx_fault(
        54, "a list without end", many_opsets, "has more than 100000 nodes, attributes and other parts", f"{WIRE}:refuse_many"
    ),
    onnx_fault(
        54, "attributes without end", changed(many_attributes), "has more than 100000 nodes, attributes", f"{WIRE}:refuse_many"
    ),
    onnx_fault(53, "cut", lambda site: site.good[:-9], "is cut: a field of a", f"{WIRE}:refuse_overrun"),
    onnx_fault(
        53,
        "type before value",
        edited(flattens(), AXIS + b"\x18\x01\xa0\x01\x02", AXIS + b"\xa0\x01\x02\x18\x01"),
        "that is not a name, a value and a type, in this order",
        UNUSUAL,
    ),
    onnx_fault(
        53,
        "a field behind the type",
        flattens(ref_attr_name="x"),
        "that is not a name, a value and a type, in this order",
        UNUSUAL,
    ),
    onnx_fault(53, "a field behind the value", flattens(doc_string="x"), "with more or less than one value", UNUSUAL),
    onnx_fault(
        53,
        "a second value",
        edited(flattens(doc_string="x"), b"\x18\x01\x6a\x01x", b"\x18\x02\x18\x81\x00"),
        "with more or less than one value",
        UNUSUAL,
    ),
    onnx_fault(
        53,
        "value of another type",
        edited(flattens(), AXIS + b"\x18\x01", AXIS + b"\x20\x01"),
        "whose value is not of its type",
        UNUSUAL,
    ),
    onnx_fault(
        53,
        "an unknown type",
        edited(flattens(), AXIS + b"\x18\x01\xa0\x01\x02", AXIS + b"\x18\x01\xa0\x01\x0f"),
        "of the unknown type 15",
        UNUSUAL,
    ),
    onnx_fault(
        53,
        "a name longer than its attribute",
        edited(flattens(), AXIS, AXIS.replace(b"\x04axis", b"\x09axis")),
        "whose name is longer than itself",
        UNUSUAL,
    ),
    onnx_fault(
        53,
        "an altered tag within a list of floats",
        edited(
            uses("LinearRegressor", "ai.onnx.ml", coefficients=[1.0, 7.0], intercepts=[0.0]),
            b"\x3d" + struct.pack("<f", 7.0),
            b"\x15" + struct.pack("<f", 7.0),
        ),
        "that holds something else than its floats",
        UNUSUAL,
    ),
    onnx_fault(
        53,
        "an altered tag within a list of integers",
        edited(forest(class_ids=[0, 1, 0, 1, 1]), b"\x40\x01\x40\x01\xa0\x01\x07", b"\x40\x01\x18\x01\xa0\x01\x07"),
        "that holds something else than its integers",
        UNUSUAL,
    ),
    onnx_fault(
        53,
        "an altered tag within a list of texts",
        edited(forest(classlabels_strings=["no", "yes", "more"]), b"\x4a\x04more", b"\x22\x04more"),
        "that holds something else than its texts",
        UNUSUAL,
    ),
    onnx_fault(
        53,
        "an integer of 11 bytes in a list",
        edited(forest(class_ids=[0, 1, 0, 1] + [0] * 6), b"\x40\x00" * 6, b"\x40" + b"\x80" * 10 + b"\x00"),
        "that holds an integer of more than 10 bytes",
        UNUSUAL,
    ),
    onnx_fault(53, "an integer of 11 bytes", long_version, "a number in it does not", f"{WIRE}:refuse_endless"),
    onnx_fault(53, "a name that is no text", lambda site: site.good.replace(b"n0", b"n\xff"), "no UTF-8", f"{WIRE}:NOT_UTF8=()"),
    onnx_fault(53, "graphs in graphs", graphs_in_graphs, "nests graphs in graphs in graphs", f"{SCHEMA}:TOO_DEEP=()"),
    onnx_fault(54, "dims beyond the data", changed(dims_lie), r"of shape \[1073741824, 8\] with", f"{POLICY}:refuse_other_size"),
    onnx_fault(54, "label of a million bytes", changed(long_label), "has a text of 1000000 bytes", f"{POLICY}:refuse_long_text"),
    onnx_fault(54, "10 GB of text", changed(texts), "1000000 bytes in the tensor 'text',", f"{POLICY}:refuse_long_label"),
    onnx_fault(54, "two billion targets", changed(billion_targets), "Regressor whose leaves", f"{TREES}:refuse_labels"),
    onnx_fault(21, "class that is not there", forest(classlabels_strings=["no"]), "whose leaves vote", f"{TREES}:refuse_labels"),
    onnx_fault(21, "tree in a circle", forest(**CIRCLE), "child that does not come after", f"{TREES}:refuse_circles"),
    onnx_fault(21, "tree of 100000 levels", forest(**chain(100_000)), "deeper than 10000", f"{TREES}:refuse_deep_trees"),
    onnx_fault(55, "NaN", spoilt(float("nan")), "NaN or an infinite number in the tensor", f"{POLICY}:refuse_non_finite"),
    onnx_fault(55, "infinity", spoilt(float("inf")), "NaN or an infinite number in the tensor", f"{POLICY}:refuse_non_finite"),
    onnx_fault(
        55,
        "NaN in an attribute",
        changed(spoilt_attribute),
        "infinite number in coefficients of a LinearRegressor",
        f"{POLICY}:refuse_non_finite_attribute",
    ),
    onnx_fault(56, "wrong input name", changed(renamed), "its inputs are m0, n1,", f"{FORMAT}:refuse_other_signature"),
    onnx_fault(56, "wrong shape", changed(frozen), r"input 'n0' is tensor\(float\) \[5, 1\]", f"{FORMAT}:refuse_other_signature"),
    onnx_fault(56, "one more output", changed(one_more), "its outputs are label, pro", f"{FORMAT}:refuse_other_signature"),
]
LIMIT, REFUSAL = f"{FORMAT}:MAX_MEMORY_BYTES", f"{FORMAT}:refuse_more_memory"
UNLIMITED, LOWERED = f"{LIMIT}={1 << 50}", f"{LIMIT}={256 << 20}"
ROOM_BYTES = 6 << 30
"""More than the limit of a session, so that it is this that refuses."""
SHIPPED = "takes more than 4096 MiB for these rows at once"


def greedy(title: str, make: Callable[[Site], bytes], reason: str = SHIPPED) -> Fault:
    return onnx_fault(54, title, make, reason, LIMIT)


GREEDY: list[tuple[Fault, list[str]]] = [
    (greedy("asks for 32 GiB", asks(1 << 33)), []),
    (greedy("asks for a million GiB", asks(1 << 48)), []),
    (greedy("expands 10^12 times", changed(expands)), []),
    # With a limit lower than the one outside of the tests: this one fills what it gets.
    (greedy("doubles 40 times", changed(doubles), SHIPPED.replace("4096", "256")), [LOWERED]),
]
"""Refused while it answers: by Isoform where it limits memory, elsewhere when memory has run out."""


test_it_is_held, test_it_is_not_held_without_its_guard = both(FAULTS)


@pytest.mark.parametrize(("fault", "limit"), GREEDY, ids=[str(fault) for fault, _ in GREEDY])
def test_a_model_takes_no_more_memory_than_it_may(
    fault: Fault, limit: list[str], child: Child, make_site: Callable[[str], Site], record: Record
) -> None:
    site = make_site("onnx")
    site.replace(fault.make(site))
    room = MORE_MEMORY_BYTES if limit else ROOM_BYTES
    outcome = child.attempt(site.root, site.command, without=limit, more_memory_bytes=room)
    expect("a", problems(outcome, DOOR, site.path.name))
    record(fault.number, fault.title, fault.format, "a", outcome)
    site.vouch()
    outcome = child.attempt(site.root, site.command, without=limit, more_memory_bytes=room)
    expect("b", problems(outcome, fault.reason, site.path.name))
    record(fault.number, fault.title, fault.format, "b", outcome)
    for guards in ([UNLIMITED], [*limit, REFUSAL]):
        outcome = child.attempt(site.root, site.command, without=guards, more_memory_bytes=room)
        assert list(problems(outcome, fault.reason, site.path.name)), f"it is held without {guards[-1]}"


ANSWERS = """
import sys
from pathlib import Path
import numpy as np
from isoform import errors
from isoform.formats import onnx

def answer():
    try:
        onnx.predict(onnx.load(Path("small.onnx").read_bytes()), {"x": np.zeros(1, dtype=np.float32)})
    except errors.Refused as refusal:
        raise errors.CheckFailed("small.onnx", str(refusal), "ask for less") from None

sys.exit(errors.run(answer))
"""


@pytest.mark.parametrize("without", ["", UNLIMITED, REFUSAL])
def test_a_model_of_170_bytes_cannot_have_32_gib(without: str, child: Child, make_site: Callable[[str], Site]) -> None:
    nodes = [helper.make_node("ConstantOfShape", ["s"], ["c"]), helper.make_node("ReduceMax", ["c"], ["label"])]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in (("x", ["N", 1]), ("label", [1])))
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(np.array([1 << 33]), "s")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    data = onnx_format.dump(model)
    assert len(data) <= 170
    site = make_site("onnx")
    (site.root / "small.onnx").write_bytes(data)
    outcome = child.attempt(site.root, ["-c", ANSWERS], without=without, more_memory_bytes=ROOM_BYTES)
    found = list(problems(outcome, SHIPPED, "small.onnx"))
    assert bool(found) == bool(without), found or f"it is held without {without}"


@pytest.mark.parametrize("without", ["", "isoform.verification:refuse_other_shape"])
@pytest.mark.parametrize(("shape", "length", "told"), [([1], 0, r"\(\)"), ([-1, 2], 2, r"\(\d, 2\)")], ids=["scalar", "two"])
def test_labels_of_another_shape_than_declared_are_one_line(
    shape: list[int], length: int, told: str, without: str, child: Child, make_site: Callable[[str], Site]
) -> None:
    def change(model: ModelProto, site: Site) -> None:
        next(node for node in model.graph.node if "label" in node.output).output[0] = "one"
        constants = {"shape": shape, "length": [length], "first": [0], "second": [1], "twice": [max(length, 1)]}
        model.graph.initializer.extend(numpy_helper.from_array(np.array(value), name) for name, value in constants.items())
        if not length:
            model.graph.node.append(helper.make_node("Slice", ["one", "first", "second"], ["some"]))
        else:
            model.graph.node.append(helper.make_node("Tile", ["one", "twice"], ["some"]))
        nodes = [  # a zero that no inference of shapes sees
            helper.make_node("ArgMax", ["n0"], ["zeros"], axis=1, keepdims=0),
            helper.make_node("Slice", ["zeros", "first", "second"], ["zero"]),
            helper.make_node("Add", ["zero", "length"], ["end"]),
            helper.make_node("Slice", ["shape", "first", "end"], ["other shape"]),
            helper.make_node("Reshape", ["some", "other shape"], ["label"]),
        ]
        model.graph.node.extend(nodes)

    site = make_site("onnx")
    site.replace(changed(change)(site))
    site.vouch()
    outcome = child.attempt(site.root, ["verify", str(site.folder)], without=without)
    found = list(problems(outcome, rf"gives labels of shape {told} to \d rows", "model.onnx"))
    assert bool(found) == bool(without), found or f"it is held without {without}"
