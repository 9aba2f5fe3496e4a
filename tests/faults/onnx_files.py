"""What an attacker can write into model.onnx, made from the good file, really dangerous."""

import itertools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from harness import Site
from onnx import ModelProto, TensorProto, helper, numpy_helper


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

    append(model, scan(change), cs=np.ones((2, 1), dtype=np.float32))


def scan(change: Callable[[Any], None] = lambda graph: None) -> Any:
    """Return the one loop that is allowed: the distance of each row of `cs` [2, 1] from each of column n0."""
    value = helper.make_tensor_value_info
    ends = [value("table", TensorProto.FLOAT, [None, None]), value("row", TensorProto.FLOAT, [None])]
    results = [value("same", TensorProto.FLOAT, [None, None]), value("distances", TensorProto.FLOAT, [None])]
    nodes = [
        helper.make_node("Identity", ["table"], ["same"]),
        helper.make_node("Sub", ["table", "row"], ["difference"]),
        helper.make_node("ReduceSumSquare", ["difference", "axis"], ["distances"], keepdims=0),
    ]
    body = helper.make_graph(nodes, "body", ends, results, [numpy_helper.from_array(np.array([1]), "axis")])
    change(body)
    return helper.make_node("Scan", ["n0", "cs"], ["kept", "loop"], body=body, num_scan_inputs=1)


def loops(change: Callable[[Any], None] = lambda graph: None, **attributes: Any) -> Callable[[Site], bytes]:
    """Return how to make a model with that loop, once `change` has changed its body."""

    def make(model: ModelProto, site: Site) -> None:
        loop = scan(change)
        loop.attribute.extend(helper.make_attribute(name, value) for name, value in attributes.items())
        largest = helper.make_node("ReduceMax", ["loop"], ["more"], keepdims=1)
        append(model, loop, largest, cs=np.ones((2, 1), dtype=np.float32))

    return changed(make)


def other_type(graph: Any) -> None:
    """Have the body declare that it makes whole numbers of its table: onnxruntime has half the memory for them."""
    graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    graph.node[0].CopyFrom(helper.make_node("Cast", ["table"], ["same"], to=TensorProto.INT64))


def other_state(graph: Any) -> None:
    graph.node[0].CopyFrom(helper.make_node("Sub", ["table", "row"], ["same"]))


def divides(graph: Any) -> None:
    """Have the body divide whole numbers by 0."""
    nodes = [
        helper.make_node("Cast", ["row"], ["whole"], to=TensorProto.INT32),
        helper.make_node("Sub", ["whole", "whole"], ["zero"]),
        helper.make_node("Div", ["whole", "zero"], ["ratio"]),
    ]
    graph.node.extend(nodes)


def over_three_dimensions(model: ModelProto, site: Site) -> None:
    nodes = [helper.make_node("Unsqueeze", ["n0", "first"], ["deep"]), scan()]
    nodes[1].input[0] = "deep"
    append(
        model,
        *nodes,
        helper.make_node("ReduceMax", ["loop"], ["more"], keepdims=1),
        cs=np.ones((2, 1), dtype=np.float32),
        first=np.array([0]),
    )


# Results of very many dimensions, of which onnxruntime keeps each in some 70 bytes when it opens a session


def million_dimensions(model: ModelProto, site: Site) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.ones(1_000_000, dtype=np.int64), "long"))
    model.graph.node.extend(helper.make_node("ConstantOfShape", ["long"], [f"of {number}"]) for number in range(40))


def untold_shape(model: ModelProto, site: Site) -> None:
    """Compute a shape of as many dimensions as there are rows."""
    nodes = [
        helper.make_node("Cast", ["n0"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Sub", ["whole", "whole"], ["zeros"]),
        helper.make_node("Reshape", ["zeros", "flat"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["of as many"]),
        helper.make_node("ReduceMax", ["n0"], ["more"], keepdims=1),
    ]
    append(model, *nodes, flat=np.array([-1]))


def gathers(model: ModelProto, site: Site) -> None:
    """Have the dimensions double, but for one, with each of 26 nodes."""
    names = ["positions", *(f"gathered {number}" for number in range(26))]
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((1, 1), dtype=np.int64), names[0]))
    model.graph.node.extend(helper.make_node("Gather", [a, a], [b]) for a, b in itertools.pairwise(names))


def long_type(model: ModelProto, site: Site) -> None:
    model.graph.input[0].type.tensor_type.shape.MergeFromString(b"\x0a\x00" * 25_000_000)


def many_texts(model: ModelProto, site: Site) -> None:
    lists = {"keys_strings": [""] * 10_000_000, "values_int64s": [0], "default_int64": 0}
    append(model, helper.make_node("LabelEncoder", ["c0"], ["more"], domain="ai.onnx.ml", **lists))


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
        inner.input[:], inner.output[:] = ["difference", "difference"], ["kept", "distances"]
        graph.node[2].CopyFrom(inner)

    append(model, scan(change), cs=np.ones((2, 1), dtype=np.float32))


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
