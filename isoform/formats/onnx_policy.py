"""What a model.onnx may be: checked on its bytes, before onnxruntime sees them. Nothing here is read from the artifact.

Which operators are allowed is in onnx_operators.py; trees, tensors, ranks, divisions and the one loop have files of their own.
docs/decisions/0022-what-an-onnx-file-may-be.md says what is bounded by this and what is not.
"""

import math
from collections import Counter
from collections.abc import Iterator
from itertools import chain

import numpy as np

from isoform.errors import Refused
from isoform.formats import onnx_division, onnx_ranks, onnx_scan
from isoform.formats.onnx_operators import HERE, ML_OPERATORS, OPERATORS, OPSETS
from isoform.formats.onnx_schema import Attribute, defined, parse
from isoform.formats.onnx_tensors import (
    MAX_TEXT_BYTES,
    refuse_external_data,
    refuse_long_label,
    refuse_non_finite,
    refuse_other_size,
)
from isoform.formats.onnx_trees import refuse_circles, refuse_deep_trees, refuse_labels
from isoform.formats.protobuf import Message

IR_VERSIONS = range(8, 11)
LEFT_OUT = {"Clip": (1,), "Slice": (3,)}
"""Operator → its inputs that an exporter leaves out before others: PyTorch clips without a lower bound."""
MAX_TEXTS = 1_000_000
"""In a list: an empty one is two bytes in the file and a hundred times as many in onnxruntime."""
TREES = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")
KEYS = ("keys_strings", "cats_strings")
"""Lists of texts that are compared with, and never in an answer."""


def check(data: bytes) -> Message:
    """Return the model in `data` by names of fields; raises `Refused` for what is not allowed."""
    refuse_ort_format(data)
    model = parse(data)
    refuse_functions(model)
    refuse_ir_version(model)
    refuse_opset(model)
    refuse_second_opset(model)
    domains = {entry.get("domain", "") for entry in model.get("opset_import", ())}
    graphs = list(_graphs(model.get("graph", {})))
    for graph in graphs:
        refuse_sparse_initializers(graph)
        refuse_second_name(graph)
        for node in graph.get("node", ()):
            refuse_domain(node.get("domain", ""))
            refuse_absent_opset(node.get("domain", ""), domains)
            refuse_operator(node)
            attributes = {attribute.name: attribute for attribute in node.get("attribute", ())}
            refuse_second_attribute(node, attributes)
            refuse_attribute(node, attributes)
            refuse_left_out(node)
            refuse_other_outputs(node, attributes)
            refuse_training(node, attributes)
            onnx_scan.check(node, attributes)
            if node.get("op_type") in TREES:
                refuse_labels(node, attributes)
                refuse_circles(node, attributes)
                refuse_deep_trees(node, attributes)
            for attribute in attributes.values():
                refuse_non_finite_attribute(node, attribute)
                refuse_long_text(attribute)
                refuse_many_texts(node, attribute)
        for tensor in _tensors(graph):
            refuse_external_data(tensor)
            refuse_other_size(tensor)
            refuse_non_finite(tensor)
            refuse_long_label(tensor)
    onnx_ranks.check(model.get("graph", {}))
    onnx_division.check(model.get("graph", {}))
    return model


def operators(model: Message) -> list[str]:
    """Return the names of a model's operators, sorted."""
    nodes = chain.from_iterable(graph.get("node", ()) for graph in _graphs(model.get("graph", {})))
    return sorted({node.get("op_type", "") for node in nodes})


def _graphs(graph: Message, nested: bool = False) -> Iterator[Message]:
    """Yield `graph` and those in its nodes."""
    yield graph
    for node in graph.get("node", ()):
        for attribute in node.get("attribute", ()):
            if attribute.type == 5:
                refuse_nested_graph(node, nested)
                yield from _graphs(attribute.value, nested=True)


def _tensors(graph: Message) -> Iterator[Message]:
    """Yield a graph's initializers and the tensors in its nodes."""
    yield from graph.get("initializer", ())
    for node in graph.get("node", ()):
        yield from (attribute.value for attribute in node.get("attribute", ()) if attribute.type == 4)


# Each guard is a function of its own: tests/faults takes them out one at a time and watches its test turn red.


def refuse_ort_format(data: bytes) -> None:
    """Refuse onnxruntime's own format, a FlatBuffer that names kernels."""
    if data[4:8] == b"ORTM":
        raise Refused("is in onnxruntime's own format (.ort), not in ONNX")


def refuse_functions(model: Message) -> None:
    """Refuse operators that a model defines for itself."""
    if "functions" in model:
        raise Refused(f"defines {len(model['functions'])} operators of its own (functions)")


def refuse_ir_version(model: Message) -> None:
    """Refuse another version of the format."""
    if (found := model.get("ir_version")) not in IR_VERSIONS:
        raise Refused(f"has IR version {found}, allowed are {IR_VERSIONS[0]} to {IR_VERSIONS[-1]}")


def refuse_opset(model: Message) -> None:
    """Refuse operators of another version."""
    for entry in model.get("opset_import", ()):
        domain, found = entry.get("domain", ""), entry.get("version")
        refuse_domain(domain)
        allowed = OPSETS.get(domain, range(1))
        if found not in allowed:
            raise Refused(f"has opset {found} of {domain or 'ai.onnx'}, allowed are {allowed[0]} to {allowed[-1]}")


def refuse_second_opset(model: Message) -> None:
    """Refuse two versions of one domain: which of them counts is the reader's choice."""
    domains = [entry.get("domain", "") for entry in model.get("opset_import", ())]
    if len(set(domains)) < len(domains):
        raise Refused("gives the opset of one domain twice")


def refuse_absent_opset(domain: str, domains: set[str]) -> None:
    """Refuse operators of a domain whose version is not given: onnxruntime takes the newest that it has."""
    if domain not in domains:
        raise Refused(f"gives no opset of {domain or 'ai.onnx'}, whose operators it uses")


def refuse_second_name(graph: Message) -> None:
    """Refuse a name that two constants, inputs or nodes of a graph give, or two of its outputs: which counts is a choice."""
    outputs = [value.get("name", "") for value in graph.get("output", ())]
    for names in (defined(graph), outputs):
        if len(set(names)) < len(names):
            raise Refused(f"gives the name '{next(name for name, count in Counter(names).items() if count > 1)}' twice")


def refuse_domain(domain: str) -> None:
    """Refuse operators that ONNX does not define."""
    if domain not in OPSETS:
        raise Refused(f"uses operators of the domain '{domain}', allowed are ai.onnx and ai.onnx.ml")


def refuse_operator(node: Message) -> None:
    """Refuse an operator that nobody has looked at."""
    name, is_ml = node.get("op_type", ""), node.get("domain", "") != ""
    if name not in (ML_OPERATORS if is_ml else OPERATORS):
        raise Refused(f"uses the operator {'ai.onnx.ml.' * is_ml}{name}, which is not among those that {HERE} allows")


def refuse_second_attribute(node: Message, attributes: dict[str, Attribute]) -> None:
    """Refuse two attributes of one name: which of them counts is the reader's choice."""
    if len(attributes) != len(node.get("attribute", ())):
        raise Refused(f"has a {node['op_type']} with two attributes of one name")


def refuse_attribute(node: Message, attributes: dict[str, Attribute]) -> None:
    """Refuse attributes of ai.onnx.ml that nobody has looked at."""
    if node.get("domain", "") and (others := attributes.keys() - ML_OPERATORS.get(node["op_type"], attributes.keys())):
        raise Refused(f"has a {node['op_type']} with the attribute {min(others)}, which is not among those that {HERE} allows")


def refuse_left_out(node: Message) -> None:
    """Refuse an input or output that is left out, but for inputs that our exports leave out: onnxruntime reads address 0."""
    allowed = LEFT_OUT.get(node.get("op_type", ""), ())
    if "" in node.get("output", ()) or any(not name and at not in allowed for at, name in enumerate(node.get("input", ()))):
        raise Refused(f"has a {node['op_type']} with an input or output that is left out")


def refuse_other_outputs(node: Message, attributes: dict[str, Attribute]) -> None:
    """Refuse a `Split` into another number of parts than it has outputs: onnxruntime ends the process."""
    if node.get("op_type") == "Split" and "num_outputs" in attributes:
        wanted, found = attributes["num_outputs"].value, len(node.get("output", ()))
        if wanted != found:
            raise Refused(f"has a Split into {wanted} parts with {found} outputs")


def refuse_training(node: Message, attributes: dict[str, Attribute]) -> None:
    """Refuse a `BatchNormalization` that learns: onnxruntime writes statistics where there may be no output."""
    if node.get("op_type") == "BatchNormalization":
        mode = attributes.get("training_mode")
        if len(node.get("output", ())) != 1 or (mode and (mode.type != 2 or mode.value)):
            raise Refused("has a BatchNormalization in training mode, or with more than one output")


def refuse_nested_graph(node: Message, nested: bool) -> None:
    """Refuse a graph in a node, but for the body of a `Scan` that is in none itself: loops in loops need not end."""
    if nested or node.get("op_type") != "Scan":
        raise Refused(f"has a graph in a {node.get('op_type')}{' in a graph in a Scan' * nested}")


def refuse_sparse_initializers(graph: Message) -> None:
    """Refuse sparse constants, which no export has and whose external data many checks overlook."""
    if "sparse_initializer" in graph:
        raise Refused(f"has {len(graph['sparse_initializer'])} sparse initializers")


def refuse_non_finite_attribute(node: Message, attribute: Attribute) -> None:
    """Refuse NaN and ±inf in an attribute, but for what an `Imputer` replaces and thresholds of +inf, which all numbers meet."""
    if attribute.type == 1:
        is_good = math.isfinite(attribute.value) or (node.get("op_type"), attribute.name) == ("Imputer", "replaced_value_float")
    elif attribute.type == 6 and not attribute.value.is_finite():
        is_good = attribute.name == "nodes_values" and bool((attribute.value.decode() > -np.inf).all())
    else:
        return
    if not is_good:
        raise Refused(f"has NaN or an infinite number in {attribute.name} of a {node.get('op_type')}")


def refuse_long_text(attribute: Attribute) -> None:
    """Refuse long texts in attributes that may be in an answer."""
    if attribute.name in KEYS or attribute.type not in (3, 8):
        return
    longest = int(attribute.value.max(initial=0)) if attribute.type == 8 else len(attribute.value)
    if longest > MAX_TEXT_BYTES:
        raise Refused(f"has a text of {longest} bytes in {attribute.name}, the limit is {MAX_TEXT_BYTES}")


def refuse_many_texts(node: Message, attribute: Attribute) -> None:
    """Refuse an endless list of texts, but for the modes of a forest's nodes, which have as many numbers beside them."""
    is_modes = node.get("op_type") in TREES and attribute.name == "nodes_modes"
    if attribute.type == 8 and not is_modes and len(attribute.value) > MAX_TEXTS:
        raise Refused(f"has {len(attribute.value)} texts in {attribute.name}, the limit is {MAX_TEXTS}")
