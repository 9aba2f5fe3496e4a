"""Faults 43 to 56, and 21 in ONNX: what onnx_files.py makes of model.onnx is refused, each for its own reason."""

import struct
from collections.abc import Callable

import numpy as np
import onnx_files as files
import pytest
from cases import Record, both, expect
from harness import DOOR, MORE_MEMORY_BYTES, Child, Fault, Site, problems
from onnx import ModelProto, TensorProto, helper, numpy_helper

from isoform.formats import onnx as onnx_format

POLICY, TREES = "isoform.formats.onnx_policy", "isoform.formats.onnx_trees"
SCAN, RANKS = "isoform.formats.onnx_scan", "isoform.formats.onnx_ranks"
DIVISION, TENSORS = "isoform.formats.onnx_division", "isoform.formats.onnx_tensors"
WIRE, SCHEMA, FORMAT = "isoform.formats.protobuf", "isoform.formats.onnx_schema", "isoform.formats.onnx"
ELSEWHERE, UNUSUAL = f"{TENSORS}:refuse_external_data", f"{SCHEMA}:refuse_unusual"


def onnx_fault(number: int, title: str, make: Callable[[Site], bytes], reason: str, guard: str) -> Fault:
    return Fault(number=number, title=title, format="onnx", make=make, reason=reason, guard=guard, timeout_s=8)


FAULTS = [
    onnx_fault(
        21, "input left out", files.node("Max", ["n0", ""], ["more"]), "put that is left out", f"{POLICY}:refuse_left_out"
    ),
    onnx_fault(
        21,
        "output left out",
        files.node("Split", ["n0"], ["more", ""], num_outputs=2),
        "a Split with an input or output that is left out",
        f"{POLICY}:refuse_left_out",
    ),
    onnx_fault(
        21,
        "more outputs than parts",
        files.node("Split", ["n0"], ["more", "b", "c"], num_outputs=2, axis=1),
        "a Split into 2 parts with 3 outputs",
        f"{POLICY}:refuse_other_outputs",
    ),
    onnx_fault(
        21, "it learns", files.changed(files.learns), "a BatchNormalization in training mode", f"{POLICY}:refuse_training"
    ),
    onnx_fault(
        21, "-2^63 / -1", files.changed(files.division), "a Div that may be of integers", f"{DIVISION}:refuse_integer_division"
    ),
    onnx_fault(21, "0 / 0 in a body", files.loops(files.divides), "a Scan whose body uses Cast", f"{SCAN}:refuse_other_body"),
    onnx_fault(
        21, "another state", files.loops(files.other_state), "a Scan whose body changes the table", f"{SCAN}:refuse_other_body"
    ),
    onnx_fault(
        21,
        "a state of another type",
        files.loops(files.other_type),
        "a Scan whose body is not declared for floats",
        f"{SCAN}:refuse_other_state",
    ),
    onnx_fault(
        21,
        "another axis of no length",
        files.loops(scan_output_axes=[1]),
        "a Scan that does not take the distances",
        f"{SCAN}:refuse_other_loop",
    ),
    onnx_fault(
        21,
        "three dimensions for two",
        files.changed(files.over_three_dimensions),
        "a Scan over what may have more than two dimensions",
        f"{RANKS}:refuse_other_rank",
    ),
    onnx_fault(
        54,
        "a million dimensions",
        files.changed(files.million_dimensions),
        "a result of ConstantOfShape with up to 1000000 dimensions",
        f"{RANKS}:refuse_high_rank",
    ),
    onnx_fault(
        54,
        "dimensions that double",
        files.changed(files.gathers),
        "a result of Gather with up to 17 dimensions",
        f"{RANKS}:refuse_high_rank",
    ),
    onnx_fault(54, "an endless type", files.changed(files.long_type), "has more than 100000 nodes", f"{WIRE}:refuse_many"),
    onnx_fault(
        54,
        "a shape of nobody knows how many",
        files.changed(files.untold_shape),
        "the shape of a result of ConstantOfShape in a way that is not followed",
        f"{RANKS}:refuse_high_rank",
    ),
    onnx_fault(
        54,
        "empty texts for an operator that takes none",
        files.node("Abs", ["n0"], ["more"], nodes_modes=[""] * 1_200_000),
        "has 1200000 texts in nodes_modes",
        f"{POLICY}:refuse_many_texts",
    ),
    onnx_fault(54, "empty texts", files.changed(files.many_texts), "has 10000000 texts in keys", f"{POLICY}:refuse_many_texts"),
    onnx_fault(
        53,
        "an unknown field of a type",
        files.changed(lambda model, site: setattr(model.graph.input[0].type, "denotation", "x")),
        "field 6, wire type 2, of a TypeProto",
        f"{WIRE}:refuse_unknown_field",
    ),
    onnx_fault(
        43,
        "external data ../",
        files.outside(files.above),
        r"keeps the data of '.+' elsewhere \(location \.\./secret\)",
        ELSEWHERE,
    ),
    onnx_fault(44, "absolute path", files.outside(files.absolute), r"elsewhere \(location /.*/secret\)", ELSEWHERE),
    onnx_fault(45, "symbolic link", files.outside(files.symlink), r"elsewhere \(location linked\.bin\)", ELSEWHERE),
    onnx_fault(46, "hard link", files.outside(files.hard_link), r"elsewhere \(location hard\.bin\)", ELSEWHERE),
    onnx_fault(
        47, "sparse initializer", files.changed(files.sparse), "has 1 sparse init", f"{POLICY}:refuse_sparse_initializers"
    ),
    onnx_fault(47, "tensor in an attribute", files.changed(files.in_attribute), r"elsewhere \(location value\.bin\)", ELSEWHERE),
    onnx_fault(47, "tensor in a body", files.changed(files.in_body), r"elsewhere \(location inner\.bin\)", ELSEWHERE),
    onnx_fault(
        48,
        "address in memory",
        files.outside(lambda site, data: "*/_ORT_MEM_ADDR_/*", offset="4194304", length="256"),
        r"elsewhere \(location \*/_ORT_MEM_ADDR_/\*, offset 4194304",
        ELSEWHERE,
    ),
    onnx_fault(
        49,
        "length 10^15",
        files.outside(files.beside, length=str(10**15)),
        r"elsewhere \(location weights\.bin, length 10{15}\)",
        ELSEWHERE,
    ),
    onnx_fault(
        50, "unknown operator", files.uses("RandomNormalLike"), "the operator RandomNormalLike,", f"{POLICY}:refuse_operator"
    ),
    onnx_fault(50, "made-up operator", files.uses("System"), "uses the operator System,", f"{POLICY}:refuse_operator"),
    onnx_fault(50, "loop of 10^15 steps", files.changed(files.endless), "has a graph in a Loop", f"{POLICY}:refuse_nested_graph"),
    onnx_fault(
        50, "loop in a loop", files.changed(files.loops_in_loops), "in a graph in a Scan", f"{POLICY}:refuse_nested_graph"
    ),
    onnx_fault(50, "function", files.changed(files.function), "defines 1 operators of its own", f"{POLICY}:refuse_functions"),
    onnx_fault(
        50,
        "unknown attribute",
        files.uses("LinearRegressor", "ai.onnx.ml", coefficients=[1.0], intercepts=[0.0], targets=10**9),
        "has a LinearRegressor with the attribute targets",
        f"{POLICY}:refuse_attribute",
    ),
    onnx_fault(
        50,
        "an attribute twice",
        files.changed(files.two_readings),
        "with two attributes of one name",
        f"{POLICY}:refuse_second_attribute",
    ),
    onnx_fault(
        51, "custom domain", files.uses("Evil", "evil.example"), "of the domain 'evil.example'", f"{POLICY}:refuse_domain"
    ),
    onnx_fault(
        51,
        "onnxruntime's domain",
        files.uses("Gelu", "com.microsoft"),
        "of the domain 'com.microsoft'",
        f"{POLICY}:refuse_domain",
    ),
    onnx_fault(
        52,
        "opset left out",
        files.changed(files.no_opset),
        "gives no opset of ai.onnx, whose operators",
        f"{POLICY}:refuse_absent_opset",
    ),
    onnx_fault(52, "two opsets", files.changed(files.second_opset), "opset of one domain twice", f"{POLICY}:refuse_second_opset"),
    onnx_fault(
        53,
        "a constant twice",
        files.changed(files.second_initializer),
        "gives the name '.+' twice",
        f"{POLICY}:refuse_second_name",
    ),
    onnx_fault(
        53, "a name of two nodes", files.node("Neg", ["n0"], ["label"]), "name 'label' twice", f"{POLICY}:refuse_second_name"
    ),
    onnx_fault(
        53, "an output twice", files.changed(files.second_output), "'probabilities' twice", f"{POLICY}:refuse_second_name"
    ),
    onnx_fault(52, "opset 999", files.opset(999), "has opset 999 of ai.onnx", f"{POLICY}:refuse_opset"),
    onnx_fault(52, "opset 7", files.opset(7), "has opset 7 of ai.onnx", f"{POLICY}:refuse_opset"),
    onnx_fault(
        52,
        "IR 999",
        files.changed(lambda model, site: setattr(model, "ir_version", 999)),
        "has IR version 999",
        f"{POLICY}:refuse_ir_version",
    ),
    onnx_fault(53, ".ort bytes", files.ort_format, "is in onnxruntime's own format", f"{POLICY}:refuse_ort_format"),
    onnx_fault(53, "a second graph", files.twice, "gives 'graph' of a ModelProto twice", f"{WIRE}:refuse_second_value"),
    onnx_fault(
        53, "an unknown field", files.trailing, "field 1007, wire type 2, of a ModelProto", f"{WIRE}:refuse_unknown_field"
    ),
    onnx_fault(
        54,
        "a list without end",
        files.many_opsets,
        "has more than 100000 nodes, attributes and other parts",
        f"{WIRE}:refuse_many",
    ),
    onnx_fault(
        54,
        "attributes without end",
        files.changed(files.many_attributes),
        "has more than 100000 nodes, attributes",
        f"{WIRE}:refuse_many",
    ),
    onnx_fault(53, "cut", lambda site: site.good[:-9], "is cut: a field of a", f"{WIRE}:refuse_overrun"),
    onnx_fault(
        53,
        "type before value",
        files.edited(files.flattens(), files.AXIS + b"\x18\x01\xa0\x01\x02", files.AXIS + b"\xa0\x01\x02\x18\x01"),
        "that is not a name, a value and a type, in this order",
        UNUSUAL,
    ),
    onnx_fault(
        53,
        "a field behind the type",
        files.flattens(ref_attr_name="x"),
        "that is not a name, a value and a type, in this order",
        UNUSUAL,
    ),
    onnx_fault(53, "a field behind the value", files.flattens(doc_string="x"), "with more or less than one value", UNUSUAL),
    onnx_fault(
        53,
        "a second value",
        files.edited(files.flattens(doc_string="x"), b"\x18\x01\x6a\x01x", b"\x18\x02\x18\x81\x00"),
        "with more or less than one value",
        UNUSUAL,
    ),
    onnx_fault(
        53,
        "value of another type",
        files.edited(files.flattens(), files.AXIS + b"\x18\x01", files.AXIS + b"\x20\x01"),
        "whose value is not of its type",
        UNUSUAL,
    ),
    onnx_fault(
        53,
        "an unknown type",
        files.edited(files.flattens(), files.AXIS + b"\x18\x01\xa0\x01\x02", files.AXIS + b"\x18\x01\xa0\x01\x0f"),
        "of the unknown type 15",
        UNUSUAL,
    ),
    onnx_fault(
        53,
        "a name longer than its attribute",
        files.edited(files.flattens(), files.AXIS, files.AXIS.replace(b"\x04axis", b"\x09axis")),
        "whose name is longer than itself",
        UNUSUAL,
    ),
    onnx_fault(
        53,
        "an altered tag within a list of floats",
        files.edited(
            files.uses("LinearRegressor", "ai.onnx.ml", coefficients=[1.0, 7.0], intercepts=[0.0]),
            b"\x3d" + struct.pack("<f", 7.0),
            b"\x15" + struct.pack("<f", 7.0),
        ),
        "that holds something else than its floats",
        UNUSUAL,
    ),
    onnx_fault(
        53,
        "an altered tag within a list of integers",
        files.edited(files.forest(class_ids=[0, 1, 0, 1, 1]), b"\x40\x01\x40\x01\xa0\x01\x07", b"\x40\x01\x18\x01\xa0\x01\x07"),
        "that holds something else than its integers",
        UNUSUAL,
    ),
    onnx_fault(
        53,
        "an altered tag within a list of texts",
        files.edited(files.forest(classlabels_strings=["no", "yes", "more"]), b"\x4a\x04more", b"\x22\x04more"),
        "that holds something else than its texts",
        UNUSUAL,
    ),
    onnx_fault(
        53,
        "an integer of 11 bytes in a list",
        files.edited(files.forest(class_ids=[0, 1, 0, 1] + [0] * 6), b"\x40\x00" * 6, b"\x40" + b"\x80" * 10 + b"\x00"),
        "that holds an integer of more than 10 bytes",
        UNUSUAL,
    ),
    onnx_fault(53, "an integer of 11 bytes", files.long_version, "a number in it does not", f"{WIRE}:refuse_endless"),
    onnx_fault(53, "a name that is no text", lambda site: site.good.replace(b"n0", b"n\xff"), "no UTF-8", f"{WIRE}:NOT_UTF8=()"),
    onnx_fault(53, "graphs in graphs", files.graphs_in_graphs, "nests graphs in graphs in graphs", f"{SCHEMA}:TOO_DEEP=()"),
    onnx_fault(
        54,
        "dims beyond the data",
        files.changed(files.dims_lie),
        r"of shape \[1073741824, 8\] with",
        f"{TENSORS}:refuse_other_size",
    ),
    onnx_fault(
        54,
        "label of a million bytes",
        files.changed(files.long_label),
        "has a text of 1000000 bytes",
        f"{POLICY}:refuse_long_text",
    ),
    onnx_fault(
        54, "10 GB of text", files.changed(files.texts), "1000000 bytes in the tensor 'text',", f"{TENSORS}:refuse_long_label"
    ),
    onnx_fault(
        54, "two billion targets", files.changed(files.billion_targets), "Regressor whose leaves", f"{TREES}:refuse_labels"
    ),
    onnx_fault(
        21, "class that is not there", files.forest(classlabels_strings=["no"]), "whose leaves vote", f"{TREES}:refuse_labels"
    ),
    onnx_fault(
        21,
        "one class",
        files.forest(classlabels_strings=["no"], class_ids=[0, 0, 0, 0]),
        "whose leaves vote",
        f"{TREES}:refuse_labels",
    ),
    onnx_fault(21, "tree in a circle", files.forest(**files.CIRCLE), "child that does not come after", f"{TREES}:refuse_circles"),
    onnx_fault(
        21, "tree of 100000 levels", files.forest(**files.chain(100_000)), "deeper than 10000", f"{TREES}:refuse_deep_trees"
    ),
    onnx_fault(55, "NaN", files.spoilt(float("nan")), "NaN or an infinite number in the tensor", f"{TENSORS}:refuse_non_finite"),
    onnx_fault(
        55, "infinity", files.spoilt(float("inf")), "NaN or an infinite number in the tensor", f"{TENSORS}:refuse_non_finite"
    ),
    onnx_fault(
        55,
        "NaN in an attribute",
        files.changed(files.spoilt_attribute),
        "infinite number in coefficients of a LinearRegressor",
        f"{POLICY}:refuse_non_finite_attribute",
    ),
    onnx_fault(
        56, "wrong input name", files.changed(files.renamed), "its inputs are m0, n1,", f"{FORMAT}:refuse_other_signature"
    ),
    onnx_fault(
        56,
        "wrong shape",
        files.changed(files.frozen),
        r"input 'n0' is tensor\(float\) \[5, 1\]",
        f"{FORMAT}:refuse_other_signature",
    ),
    onnx_fault(
        56, "one more output", files.changed(files.one_more), "its outputs are label, pro", f"{FORMAT}:refuse_other_signature"
    ),
]
LIMIT, REFUSAL = f"{FORMAT}:MAX_MEMORY_BYTES", f"{FORMAT}:refuse_more_memory"
UNLIMITED, LOWERED = f"{LIMIT}={1 << 50}", f"{LIMIT}={256 << 20}"
ROOM_BYTES = 6 << 30
"""More than the limit of a session, so that it is this that refuses."""
SHIPPED = "takes more than 4096 MiB for these rows at once"


def greedy(title: str, make: Callable[[Site], bytes], reason: str = SHIPPED) -> Fault:
    return onnx_fault(54, title, make, reason, LIMIT)


GREEDY: list[tuple[Fault, list[str]]] = [
    (greedy("asks for 32 GiB", files.asks(1 << 33)), []),
    (greedy("asks for a million GiB", files.asks(1 << 48)), []),
    (greedy("expands 10^12 times", files.changed(files.expands)), []),
    # With a limit lower than the one outside of the tests: this one fills what it gets.
    (greedy("doubles 40 times", files.changed(files.doubles), SHIPPED.replace("4096", "256")), [LOWERED]),
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
        next(files.node for files.node in model.graph.node if "label" in files.node.output).output[0] = "one"
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
    site.replace(files.changed(change)(site))
    site.vouch()
    outcome = child.attempt(site.root, ["verify", str(site.folder)], without=without)
    found = list(problems(outcome, rf"gives labels of shape {told} to \d rows", "model.onnx"))
    assert bool(found) == bool(without), found or f"it is held without {without}"
