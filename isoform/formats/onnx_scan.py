"""The one loop that a model.onnx may have: a `Scan` that takes the distance of each row of one table from each of another.

Nearest neighbours and Gaussian processes are exported so. What else a body could do is not known to end well: one that gives
its state another type has onnxruntime write behind the memory it has for it, one along another axis divides by 0.
"""

from collections.abc import Mapping

from isoform.errors import Refused
from isoform.formats.onnx_ranks import dims
from isoform.formats.onnx_schema import Attribute
from isoform.formats.onnx_tensors import FLOATS
from isoform.formats.protobuf import Message, signed

OPERATORS = frozenset(["Abs", "Identity", "Pow", "ReduceSum", "ReduceSumSquare", "Sub"])
"""What distances are made of: Euclidean, Manhattan, Minkowski."""
RANKS = [2, 1, 2, 1]
"""Of the table that stays and the row that comes, as the body takes them, and of the table and the distances it gives."""


def check(node: Message, attributes: Mapping[str, Attribute]) -> None:
    """Raise `Refused` for another `Scan`; what ranks its inputs have when it runs is for `onnx_ranks`."""
    if node.get("op_type") != "Scan":
        return
    body: Message = attributes["body"].value if "body" in attributes and attributes["body"].type == 5 else {}
    refuse_other_loop(node, attributes)
    refuse_other_state(body)
    refuse_other_body(body)


def refuse_other_loop(node: Message, attributes: Mapping[str, Attribute]) -> None:
    """Refuse a `Scan` that does not go through one table, row by row, with another at hand."""
    scanned = attributes.get("num_scan_inputs")
    is_known = (
        attributes.keys() == {"body", "num_scan_inputs"} and scanned is not None and (scanned.type, scanned.value) == (2, 1)
    )
    if not is_known or [len(node.get(key, ())) for key in ("input", "output")] != [2, 2]:
        raise Refused("has a Scan that does not take the distances between the rows of two tables")


def refuse_other_state(body: Message) -> None:
    """Refuse a body whose inputs and outputs are not declared to be floats of one type and of the ranks of `RANKS`."""
    values = [*body.get("input", ()), *body.get("output", ())]
    kinds = [value.get("type", {}).get("tensor_type", {}).get("elem_type", 0) for value in values]
    sizes = [signed(dim["dim_value"]) for value in values for dim in dims(value) if "dim_value" in dim]
    is_float = len(set(kinds)) == 1 and kinds[0] in FLOATS and min(sizes, default=1) > 0
    if not is_float or [len(dims(value)) for value in values] != RANKS:
        raise Refused("has a Scan whose body is not declared for floats, a table and a row")


def refuse_other_body(body: Message) -> None:
    """Refuse a body that computes anything but a distance, or does not hand the table on as it is."""
    nodes = body.get("node", ())
    state, result = (body[key][0].get("name", "") if body.get(key) else "" for key in ("input", "output"))
    hands_on = any(
        (node.get("op_type"), node.get("input"), node.get("output")) == ("Identity", [state], [result]) for node in nodes
    )
    others = {node.get("op_type", "") for node in nodes} - OPERATORS
    if others or not hands_on:
        raise Refused(f"has a Scan whose body {f'uses {min(others)}' if others else 'changes the table'}")
