"""Divisions in a model.onnx: onnxruntime divides integers by 0, and the least by -1, at the price of the process.

Types are followed from constants and columns as far as it takes to tell that a `Div` is of floats. The body of
a `Scan` has no `Div`: onnx_scan.py lists what it may use.
"""

from isoform.errors import Refused
from isoform.formats.onnx_operators import SAME_TYPE
from isoform.formats.onnx_tensors import FLOATS
from isoform.formats.protobuf import Message

OF_FIRST_INPUT = SAME_TYPE | {"TopK", "ArrayFeatureExtractor", "Imputer"}
"""Of both domains, those whose first output is of that type."""
FLOAT_OUTPUT = {"LinearClassifier": 1, "TreeEnsembleClassifier": 1} | dict.fromkeys(
    ["LinearRegressor", "Normalizer", "OneHotEncoder", "SVMRegressor", "Scaler", "TreeEnsembleRegressor"], 0
)
"""Operator of ai.onnx.ml → the output that is always float32."""


def check(graph: Message) -> None:
    """Raise `Refused` for a division in a model's graph that may be of integers.

    Its inputs are taken for float32: those of another type are refused with the signature, before anything is computed.
    """
    floats = {value.get("name", "") for value in graph.get("input", ())}
    floats |= {tensor.get("name", "") for tensor in graph.get("initializer", ()) if tensor.get("data_type", 0) in FLOATS}
    for node in graph.get("node", ()):
        refuse_integer_division(node, floats)
        floats.update(_float_outputs(node, floats))


def _float_outputs(node: Message, floats: set[str]) -> list[str]:
    """Return those of a node's outputs that surely are float32 or float64."""
    name: str = node.get("op_type", "")
    inputs: list[str] = node.get("input", [])
    outputs: list[str] = node.get("output", [])
    attributes = {attribute.name: attribute for attribute in node.get("attribute", ())}
    if name in FLOAT_OUTPUT:
        return outputs[FLOAT_OUTPUT[name] :][:1]
    if name == "Scan":
        return outputs
    if name == "Cast":
        is_float = any(item.name == "to" and item.type == 2 and item.value in FLOATS for item in attributes.values())
    elif name in ("Constant", "ConstantOfShape"):
        kinds = [
            item.value.get("data_type", 0) if item.type == 4 else {1: 1, 6: 1}.get(item.type) for item in attributes.values()
        ]
        is_float = kinds[0] in FLOATS if len(kinds) == 1 else name == "ConstantOfShape" and not kinds
    elif name == "LabelEncoder":
        is_float = "values_floats" in attributes
    elif name == "Where":
        is_float = not floats.isdisjoint(inputs[1:])
    else:
        is_float = name in OF_FIRST_INPUT and not floats.isdisjoint(inputs[:1])
    return (outputs[:1] if name == "TopK" else outputs) if is_float else []


def refuse_integer_division(node: Message, floats: set[str]) -> None:
    """Refuse a `Div` that may be of integers: by 0, or of the least by -1, the processor ends the process."""
    if node.get("op_type") == "Div" and floats.isdisjoint(node.get("input", ())):
        raise Refused("has a Div that may be of integers")
