"""What a model.onnx may be: checked on its bytes, before onnxruntime sees them. Nothing here is read from the artifact.

The lists hold what the estimators of docs/compatibility.md and networks are exported to, each operator looked at for what
it could be made to do: none opens a file, calls out, draws at random or loops but for `Scan`, over the rows it is given.
A network that needs another is refused when it is exported. Read in onnx's documentation what the operator does, then add it.

docs/decisions/0022-what-an-onnx-file-may-be.md says what is bounded by this and what is not.
"""

import math
from collections import Counter
from collections.abc import Iterator
from itertools import chain

import numpy as np

from isoform.errors import Refused
from isoform.formats.onnx_schema import Attribute, parse
from isoform.formats.onnx_trees import refuse_circles, refuse_deep_trees, refuse_labels
from isoform.formats.protobuf import Message, Span, signed

HERE = "isoform/formats/onnx_policy.py"
IR_VERSIONS = range(8, 11)
OPSETS = {"": range(18, 23), "ai.onnx.ml": range(1, 4)}
"""Domain → its versions."""
_ELEMENTWISE = """
    Abs Add Clip Div Elu Erf Exp Gelu HardSigmoid HardSwish Identity LeakyRelu Log Max Min Mish Mul Neg PRelu Pow Reciprocal Relu
    Selu Sigmoid Softplus Softsign Sqrt Sub Sum Tanh"""
_ALONG_AN_AXIS = """
    BatchNormalization CumSum LayerNormalization LogSoftmax LpNormalization ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax
    ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Softmax"""
_PRODUCTS = " Gemm MatMul"
_SHAPES = " Concat Expand Flatten Gather GatherElements Reshape Slice Split Squeeze Tile Transpose Unsqueeze"
SAME_TYPE = frozenset((_ELEMENTWISE + _ALONG_AN_AXIS + _PRODUCTS + _SHAPES).split())
"""Of ai.onnx, those whose outputs are all of the type of their first input."""
_TO_TRUTH = " And Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Not Or Xor"
_TO_OTHER_TYPES = " ArgMax ArgMin Cast Constant ConstantOfShape Shape TopK Where"
_ROWS_AGAINST_ROWS = " Scan"  # nearest neighbours, Gaussian processes
OPERATORS = SAME_TYPE | frozenset((_TO_TRUTH + _TO_OTHER_TYPES + _ROWS_AGAINST_ROWS).split())
"""Of ai.onnx."""
OF_FIRST_INPUT = SAME_TYPE | {"TopK", "ArrayFeatureExtractor", "Imputer"}
"""Of both domains, those whose first output is of that type."""
LEFT_OUT = {"Clip": (1,), "Slice": (3,)}
"""Operator → its inputs that an exporter leaves out before others: PyTorch clips without a lower bound."""
_TREES = (
    "base_values nodes_falsenodeids nodes_featureids nodes_hitrates nodes_missing_value_tracks_true nodes_modes nodes_nodeids "
    "nodes_treeids nodes_truenodeids nodes_values post_transform "
)
ML_OPERATORS = {
    name: frozenset(attributes.split())
    for name, attributes in {
        "ArrayFeatureExtractor": "",
        "Imputer": "imputed_value_floats replaced_value_float",
        "LabelEncoder": (
            "keys_floats keys_int64s keys_strings values_floats values_int64s values_strings "
            "default_float default_int64 default_string"
        ),
        "LinearClassifier": "classlabels_ints classlabels_strings coefficients intercepts multi_class post_transform",
        "LinearRegressor": "coefficients intercepts post_transform",
        "Normalizer": "norm",
        "OneHotEncoder": "cats_int64s cats_strings zeros",
        "SVMRegressor": "coefficients kernel_params kernel_type n_supports one_class post_transform rho support_vectors",
        "Scaler": "offset scale",
        "TreeEnsembleClassifier": (
            _TREES + "class_ids class_nodeids class_treeids class_weights classlabels_int64s classlabels_strings"
        ),
        "TreeEnsembleRegressor": (
            _TREES + "aggregate_function n_targets target_ids target_nodeids target_treeids target_weights"
        ),
    }.items()
}
"""Operator of ai.onnx.ml → its attributes: with these an operator is given its model, so they are listed, too."""
FLOAT_OUTPUT = {"LinearClassifier": 1, "TreeEnsembleClassifier": 1} | dict.fromkeys(
    ["LinearRegressor", "Normalizer", "OneHotEncoder", "SVMRegressor", "Scaler", "TreeEnsembleRegressor"], 0
)
"""Operator of ai.onnx.ml → the output that is always float32."""
TREES = ("TreeEnsembleClassifier", "TreeEnsembleRegressor")
TYPES = {1: ("float_data", 4), 11: ("double_data", 8), 6: ("int32_data", 4), 7: ("int64_data", 8), 9: ("int32_data", 1)}
"""TensorProto.data_type of numbers and truth values → the field for their values, and the size of one in `raw_data`."""
STRING = 8
FLOATS = {1: "<f4", 11: "<f8"}
MISSING = "/rows/nan"
"""The one constant that is NaN: the row policy puts it in the place of ±inf."""
MAX_TEXT_BYTES = 256
"""Of a text that may be in an answer: onnxruntime's limit on memory does not count what is in texts."""
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
            if node.get("op_type") in TREES:
                refuse_labels(node, attributes)
                refuse_circles(node, attributes)
                refuse_deep_trees(node, attributes)
            for attribute in attributes.values():
                refuse_non_finite_attribute(node, attribute)
                refuse_long_text(attribute)
        for tensor in _tensors(graph):
            refuse_external_data(tensor)
            refuse_other_size(tensor)
            refuse_non_finite(tensor)
            refuse_long_label(tensor)
    # Inputs are float32 or text: those of another type are refused with the signature, before anything is computed.
    _floats(model.get("graph", {}), {value.get("name", "") for value in model.get("graph", {}).get("input", ())})
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


def _floats(graph: Message, known: set[str]) -> set[str]:
    """Return the names in `graph` of what surely is float32 or float64, those in `known` among them."""
    floats = known | {tensor.get("name", "") for tensor in graph.get("initializer", ()) if tensor.get("data_type", 0) in FLOATS}
    for node in graph.get("node", ()):
        refuse_integer_division(node, floats)
        floats.update(_float_outputs(node, floats))
    return floats


def _float_outputs(node: Message, floats: set[str]) -> list[str]:
    """Return those of a node's outputs that surely are float32 or float64."""
    name: str = node.get("op_type", "")
    inputs: list[str] = node.get("input", [])
    outputs: list[str] = node.get("output", [])
    attributes = {attribute.name: attribute for attribute in node.get("attribute", ())}
    if name in FLOAT_OUTPUT:
        return outputs[FLOAT_OUTPUT[name] :][:1]
    if name == "Scan":
        return _scan_outputs(inputs, outputs, attributes, floats)
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


def _scan_outputs(inputs: list[str], outputs: list[str], attributes: dict[str, Attribute], floats: set[str]) -> list[str]:
    """Return those of the outputs of a `Scan` that surely are float32 or float64; its body is looked at on the way."""
    body: Message = attributes["body"].value if "body" in attributes and attributes["body"].type == 5 else {}
    names = [value.get("name", "") for value in body.get("input", ())]
    known = floats - {*names, *_defined(body)} | {inner for inner, outer in zip(names, inputs, strict=False) if outer in floats}
    inside = _floats(body, known)
    results = [value.get("name", "") in inside for value in body.get("output", ())]
    return [name for name, is_float in zip(outputs, results, strict=False) if is_float]


def _defined(graph: Message) -> list[str]:
    """Return the names that a graph gives, one for each time that it gives it."""
    values = chain(graph.get("input", ()), graph.get("initializer", ()))
    return [value.get("name", "") for value in values] + [
        name for node in graph.get("node", ()) for name in node.get("output", ())
    ]


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
    for names in (_defined(graph), outputs):
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


def refuse_integer_division(node: Message, floats: set[str]) -> None:
    """Refuse a `Div` that may be of integers: by 0, or of the least by -1, the processor ends the process."""
    if node.get("op_type") == "Div" and floats.isdisjoint(node.get("input", ())):
        raise Refused("has a Div that may be of integers")


def refuse_nested_graph(node: Message, nested: bool) -> None:
    """Refuse a graph in a node, but for the body of a `Scan` that is in none itself: loops in loops need not end."""
    if nested or node.get("op_type") != "Scan":
        raise Refused(f"has a graph in a {node.get('op_type')}{' in a graph in a Scan' * nested}")


def refuse_sparse_initializers(graph: Message) -> None:
    """Refuse sparse constants, which no export has and whose external data many checks overlook."""
    if "sparse_initializer" in graph:
        raise Refused(f"has {len(graph['sparse_initializer'])} sparse initializers")


def refuse_external_data(tensor: Message) -> None:
    """Refuse a tensor whose data is in another file, or at an address in memory."""
    if "external_data" in tensor or tensor.get("data_location", 0):
        where = ", ".join(f"{entry.get('key')} {entry.get('value')}" for entry in tensor.get("external_data", ()))
        raise Refused(f"keeps the data of '{tensor.get('name', '')}' elsewhere ({where})")


def refuse_other_size(tensor: Message) -> None:
    """Refuse a tensor of another type, or with other data than its shape says."""
    kind, name = tensor.get("data_type", 0), tensor.get("name", "")
    if kind != STRING and kind not in TYPES:
        raise Refused(f"has a tensor '{name}' of data type {kind}")
    field, width = TYPES.get(kind, ("string_data", 0))
    fields = tensor.keys() & {"float_data", "double_data", "int32_data", "int64_data", "string_data", "raw_data"}
    if len(fields) > 1 or not fields <= {field, *(["raw_data"] if width else [])}:
        raise Refused(f"gives the data of '{name}' as {' and '.join(sorted(fields))}")
    dims = [signed(size) for size in tensor.get("dims", ())]
    held = _count(tensor, field, width)
    if min(dims, default=0) < 0 or held != math.prod(dims):
        raise Refused(f"has a tensor '{name}' of shape {dims} with data for {held:g}")


def _count(tensor: Message, field: str, width: int) -> float:
    """Return the number of values for which a tensor has data."""
    if raw := tensor.get("raw_data"):
        return float(raw.size / width)
    data = tensor.get(field, ())
    if field in ("float_data", "double_data") or not data:
        return data.size / TYPES[tensor["data_type"]][1] if data else 0
    if field == "string_data":
        return len(data)
    return int((np.frombuffer(data.view(), np.uint8) < 0x80).sum())  # varints: the last byte of each


def refuse_non_finite(tensor: Message) -> None:
    """Refuse NaN and ±inf among a tensor's numbers, but for the one NaN of the row policy."""
    data = tensor.get("raw_data") or tensor.get("float_data") or tensor.get("double_data")
    dtype = FLOATS.get(tensor.get("data_type", 0))
    if not data or not dtype or (tensor.get("name") == MISSING and not tensor.get("dims")):
        return
    if data.size % np.dtype(dtype).itemsize == 0 and not np.isfinite(np.frombuffer(data.view(), dtype)).all():
        raise Refused(f"has NaN or an infinite number in the tensor '{tensor.get('name', '')}'")


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


def refuse_long_label(tensor: Message) -> None:
    """Refuse long texts in tensors."""
    texts: list[Span] = tensor.get("string_data", [])
    if (longest := max((text.size for text in texts), default=0)) > MAX_TEXT_BYTES:
        raise Refused(f"has a text of {longest} bytes in the tensor '{tensor.get('name', '')}', the limit is {MAX_TEXT_BYTES}")
