"""How many dimensions the results in a model.onnx may have: onnxruntime keeps a record of each when it opens a session.

A `Reshape` to a constant of a million entries, or thirty `Gather` of a tensor by itself, would take gigabytes there, which no
limit on memory counts. So a bound on the rank of each result is followed from the constants and columns on, and one on the
number of elements as far as shapes are computed. The rules are those of onnx's shape inference, rounded up.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

from isoform.errors import Refused
from isoform.formats.onnx_operators import ELEMENTWISE
from isoform.formats.onnx_schema import Attribute
from isoform.formats.protobuf import Message, signed

MAX_RANK = 16
UNKNOWN = math.inf


class Bound(NamedTuple):
    """What a tensor has at most."""

    rank: float
    size: float
    """Number of elements; `UNKNOWN` for all that depends on the number of rows."""


Bounds = dict[str, Bound]
"""Name → its bound."""


def check(graph: Message) -> None:
    """Raise `Refused` for a result of more than `MAX_RANK` dimensions, or of which that cannot be told.

    Columns are taken for [N, 1]: those of another shape are refused with the signature, before anything is computed.
    """
    _bounds(graph, {value.get("name", ""): Bound(max(2, len(dims(value))), UNKNOWN) for value in graph.get("input", ())})


def dims(value: Message) -> list[Message]:
    """Return the dimensions that an input or output is declared to have, none where it has no shape."""
    declared: list[Message] = value.get("type", {}).get("tensor_type", {}).get("shape", {}).get("dim", [])
    return declared


def _bounds(graph: Message, inputs: Bounds) -> Bounds:
    """Return the bound of each name that `graph` gives."""
    known = inputs | {tensor.get("name", ""): _tensor(tensor) for tensor in graph.get("initializer", ())}
    known[""] = Bound(0, 0)  # an input that is left out
    constants = {tensor.get("name", ""): known[tensor.get("name", "")] for tensor in graph.get("initializer", ())}
    for node in graph.get("node", ()):
        attributes = {attribute.name: attribute for attribute in node.get("attribute", ())}
        given = [known.get(name, Bound(UNKNOWN, UNKNOWN)) for name in node.get("input", ())]
        found = _result(node, given, attributes)
        if node.get("op_type") == "Constant":
            constants |= dict.fromkeys(node.get("output", ()), found)
        elif _drops_an_axis(node, attributes, constants):
            found = Bound(given[0].rank - 1, given[0].size)
        elif node.get("op_type") == "Scan":
            _check_scan(node, given, attributes)
        refuse_high_rank(node, found.rank)
        known |= dict.fromkeys(node.get("output", ()), found)
    return known


def _result(node: Message, given: list[Bound], attributes: Mapping[str, Attribute]) -> Bound:
    """Return the bound of each of a node's results."""
    first, second = [*given, Bound(0, 0), Bound(0, 0)][:2]
    highest = max((bound.rank for bound in given), default=0)
    match node.get("op_type"):
        case "Constant":
            return _constant(next(iter(attributes.values()), None))
        case "Shape":
            return Bound(1, first.rank)
        case "ConstantOfShape":
            return Bound(first.size, UNKNOWN)
        case "Reshape":
            return Bound(second.size, first.size)
        case "Expand":
            return Bound(max(first.rank, second.size), UNKNOWN)
        case "Unsqueeze":
            return Bound(first.rank + second.size, first.size)
        case "Gather":
            return Bound(max(first.rank + second.rank - 1, 0), second.size if first.rank <= 1 else UNKNOWN)
        case "Concat":
            return Bound(highest, sum(bound.size for bound in given))
        case "Cast" | "Identity" | "Slice" | "Split" | "Squeeze" | "Transpose":
            return first
        case "Flatten" | "Gemm" | "Scan":
            return Bound(2, UNKNOWN)
        case "OneHotEncoder":
            return Bound(first.rank + 1, UNKNOWN)
    if node.get("domain"):
        return Bound(max(highest, 2), UNKNOWN)
    is_list = node.get("op_type") in ELEMENTWISE and highest <= 1  # a shape that is computed; of two the longer counts
    return Bound(highest, max((bound.size for bound in given), default=0) if is_list else UNKNOWN)


def _tensor(tensor: Message) -> Bound:
    shape = [signed(size) for size in tensor.get("dims", ())]
    return Bound(len(shape), math.prod(shape))


def _constant(value: Attribute | None) -> Bound:
    """Return the bound of what a `Constant` holds in its one attribute: a tensor, a list or a scalar."""
    if value is None or value.type not in (1, 2, 3, 4, 6, 7, 8):
        return Bound(UNKNOWN, UNKNOWN)
    if value.type == 4:
        return _tensor(value.value)
    if value.type == 7:
        return Bound(1, len(value.value.values))
    return Bound(1, UNKNOWN) if value.type in (6, 8) else Bound(0, 1)


def _drops_an_axis(node: Message, attributes: Mapping[str, Attribute], constants: Bounds) -> bool:
    """Tell whether a node surely reduces along one axis, and leaves that axis out."""
    axes = constants.get(node.get("input", ())[1]) if len(node.get("input", ())) == 2 else None
    keeps = attributes.get("keepdims")
    is_reduction = str(node.get("op_type")).startswith("Reduce")
    return is_reduction and axes is not None and axes.size == 1 and keeps is not None and (keeps.type, keeps.value) == (2, 0)


def _check_scan(node: Message, given: list[Bound], attributes: Mapping[str, Attribute]) -> None:
    """Raise `Refused` unless the inputs of a `Scan` are tables, and its body makes one number for each row."""
    body: Message = attributes["body"].value if "body" in attributes and attributes["body"].type == 5 else {}
    names, results = ([value.get("name", "") for value in body.get(key, ())] for key in ("input", "output"))
    inner = _bounds(body, {name: Bound(rank, UNKNOWN) for name, rank in zip(names, (2, 1), strict=False)})
    ranks = [bound.rank for bound in given] + [inner[name].rank + 1 for name in results[1:] if name in inner]
    refuse_other_rank(max(ranks, default=UNKNOWN))


def refuse_high_rank(node: Message, rank: float) -> None:
    """Refuse a result of more dimensions than any export has, or of which nobody can tell how many it has."""
    if rank == UNKNOWN:
        raise Refused(f"computes the shape of a result of {node.get('op_type')} in a way that is not followed")
    if rank > MAX_RANK:
        raise Refused(f"has a result of {node.get('op_type')} with up to {rank} dimensions, the limit is {MAX_RANK}")


def refuse_other_rank(rank: float) -> None:
    """Refuse a `Scan` with more dimensions than its body is declared for: onnxruntime ends the process."""
    if rank > 2:
        raise Refused("has a Scan over what may have more than two dimensions")
