"""The forests in a model.onnx: onnxruntime follows their ids wherever they lead.

A class that is not there aborts the process, a circle is followed without end, and a deep tree overflows the stack.
"""

import numpy as np

from isoform.errors import Refused
from isoform.formats.onnx_schema import Attribute
from isoform.formats.protobuf import Message

MAX_DEPTH = 10_000


def refuse_labels(node: Message, attributes: dict[str, Attribute]) -> None:
    """Refuse a forest whose leaves vote for a class or target that it does not have: onnxruntime reads beyond its list."""
    is_classifier = node["op_type"] == "TreeEnsembleClassifier"
    found = _integers(attributes, "class_ids" if is_classifier else "target_ids")
    if is_classifier:
        lists = [attributes[name] for name in ("classlabels_int64s", "classlabels_strings") if name in attributes]
        width = len(lists[0].value.values if lists[0].type == 7 else lists[0].value) if len(lists) == 1 else 0
        width = width if width > 1 else 0  # of one label it reads the second
    else:
        width = attributes["n_targets"].value if "n_targets" in attributes and attributes["n_targets"].type == 2 else 1
        width = min(width, len(found))  # each target has a leaf: a billion of them would take their memory for every row
        width = width if "n_targets" not in attributes or attributes["n_targets"].value == width else 0
    if not len(found) or found.min() < 0 or found.max() >= width:
        raise Refused(f"has a {node['op_type']} whose leaves vote for what it does not have")


def refuse_circles(node: Message, attributes: dict[str, Attribute]) -> None:
    """Refuse a tree with a child that does not come after its parent: onnxruntime would follow a circle without end."""
    own, true, false = (_integers(attributes, f"nodes_{name}nodeids") for name in ("", "true", "false"))
    modes = attributes.get("nodes_modes")
    sizes = modes.value if modes and modes.type == 8 else np.empty(0, dtype=np.int64)
    is_well = len(own) == len(true) == len(false) == len(sizes)
    if not is_well or ((np.minimum(true, false) <= own) & (sizes != len("LEAF"))).any():
        raise Refused(f"has a {node['op_type']} with a child that does not come after its parent")


def refuse_deep_trees(node: Message, attributes: dict[str, Attribute]) -> None:
    """Refuse a tree deeper than `MAX_DEPTH`: onnxruntime builds it by recursion and runs out of stack."""
    own = _integers(attributes, "nodes_nodeids")
    if own.max(initial=0) < MAX_DEPTH and own.min(initial=0) >= 0:
        return  # no path can be longer, because ids rise along it
    trees, is_inner = _integers(attributes, "nodes_treeids"), attributes["nodes_modes"].value != len("LEAF")
    keys = trees * (own.max() + 1) + own if len(trees) == len(own) else own[:0]
    left, right = (
        np.searchsorted(keys, keys - own + _integers(attributes, name)) for name in ("nodes_truenodeids", "nodes_falsenodeids")
    )
    parents = np.bincount(np.concatenate([left[is_inner], right[is_inner]]), minlength=len(own))
    # Where nodes are in order and none has two parents, each is met once on the way down from the roots.
    if len(keys) and own.min() >= 0 and (np.diff(keys) > 0).all() and len(parents) == len(own) and parents.max() < 2:
        level = np.flatnonzero(parents == 0)
        for _ in range(MAX_DEPTH):
            level = level[is_inner[level]]
            if not len(level):
                return
            level = np.concatenate([left[level], right[level]])
    raise Refused(f"has a {node['op_type']} deeper than {MAX_DEPTH} nodes, or in disorder")


def _integers(attributes: dict[str, Attribute], name: str) -> np.ndarray:
    """Return a list of integers, int64 [L], empty where there is none."""
    found = attributes.get(name)
    return found.value.values if found and found.type == 7 else np.empty(0, dtype=np.int64)
