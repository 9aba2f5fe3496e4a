"""The one contract of every model.onnx: raw columns in, `label` and `probabilities` out, or `prediction`.

A *core* is the exported model: it takes canonical values and gives the answer, probabilities or a prediction.
`assemble` puts the row policy of `isoform.rows` in front of it and the outputs behind it, and removes all that is of
the machine.

Shapes: N rows, F numeric columns, C text columns, K classes.
"""

from collections.abc import Iterator

import numpy as np
import onnx
from google.protobuf.message import Message
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from isoform.errors import CheckFailed
from isoform.formats.onnx import OUTPUT
from isoform.labels import TIE
from isoform.metadata import Config
from pipeline.params import Onnx

LABEL_TYPES = {int: TensorProto.INT64, str: TensorProto.STRING, bool: TensorProto.BOOL}
ROWS, CORE, ANSWER = "/rows", "/core", "/answer"
"""Prefixes of internal names: a column may be called `cat` or `mean`, but not begin so."""


def assemble(core: ModelProto, config: Config, onnx_params: Onnx, *, joined: bool, answer: str) -> ModelProto:
    """Return the whole model around `core`, checked.

    With `joined` the core takes `numeric` float32 [N, F] and `categories` int64 [N, C]; without, one input
    [N, 1] per column, in the order of `config`. `answer` names its output, float32 [N, K].

    Raises `CheckFailed` when the result is not valid ONNX.
    """
    _prefix(core.graph)
    feeds = [value.name for value in core.graph.input]
    front = _joined_front(config, feeds) if joined else _column_front(config, feeds)
    nodes = [*front, *_leading_to(f"{CORE}/{answer}", core.graph), *_back(f"{CORE}/{answer}", config)]
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1]) for name in config.numeric]
    inputs += [helper.make_tensor_value_info(name, TensorProto.STRING, ["N", 1]) for name in config.categorical]
    outputs = [helper.make_tensor_value_info(OUTPUT[config.task], TensorProto.FLOAT, ["N", config.width])]
    if config.task == "classification":
        outputs.insert(0, helper.make_tensor_value_info("label", LABEL_TYPES[type(config.classes[0])], ["N"]))
    graph = helper.make_graph(nodes, config.model_name, inputs, outputs, [*core.graph.initializer, *_constants(config)])
    used_names = {name for level in _graphs(graph) for node in level.node for name in node.input}
    for unused in [constant for constant in graph.initializer if constant.name not in used_names]:
        graph.initializer.remove(unused)
    domains = {"": onnx_params.opset} | {
        entry.domain: entry.version for entry in core.opset_import if entry.domain not in ("", "ai.onnx")
    }
    domains.setdefault("ai.onnx.ml", 3)
    used = {node.domain for node in nodes}
    opsets = [helper.make_opsetid(domain, version) for domain, version in sorted(domains.items()) if domain in used]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=onnx_params.ir_version, producer_name="isoform")
    model.functions.extend(core.functions)
    _strip(model)
    check(model)
    return model


def check(model: ModelProto) -> None:
    """Run onnx's full check; raises `CheckFailed`."""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise CheckFailed(f"model '{model.graph.name}'", f"is not valid ONNX ({error})", "correct its exporter") from error


def _column_front(config: Config, feeds: list[str]) -> Iterator[NodeProto]:
    """One input per column, as a Pipeline takes them: ±inf becomes NaN, text passes."""
    columns = [*config.numeric, *config.categorical]
    for position, (column, feed) in enumerate(zip(columns, feeds, strict=True)):
        if position < len(config.numeric):
            yield helper.make_node("IsInf", [column], [f"{ROWS}/inf_{position}"])
            yield helper.make_node("Where", [f"{ROWS}/inf_{position}", f"{ROWS}/nan", column], [feed])
        else:
            yield helper.make_node("Identity", [column], [feed])


def _joined_front(config: Config, feeds: list[str]) -> Iterator[NodeProto]:
    """All columns side by side, as a network takes them: ±inf becomes NaN, text its index, 0 when unseen."""
    numeric, categories = feeds
    # An empty Concat is invalid: a table without columns of a kind gives N rows of none.
    if config.numeric:
        yield helper.make_node("Concat", config.numeric, [f"{ROWS}/numbers"], axis=1)
        yield helper.make_node("IsInf", [f"{ROWS}/numbers"], [f"{ROWS}/inf"])
        yield helper.make_node("Where", [f"{ROWS}/inf", f"{ROWS}/nan", f"{ROWS}/numbers"], [numeric])
    else:
        yield from _empty(config.categorical[0], numeric, TensorProto.FLOAT)
    for position, column in enumerate(config.categorical):
        vocabulary = config.categories[column]
        yield helper.make_node(
            "LabelEncoder",
            [column],
            [f"{ROWS}/index_{position}"],
            domain="ai.onnx.ml",
            keys_strings=vocabulary,
            values_int64s=range(1, len(vocabulary) + 1),
            default_int64=0,
        )
    if config.categorical:
        indices = [f"{ROWS}/index_{position}" for position in range(len(config.categorical))]
        yield helper.make_node("Concat", indices, [categories], axis=1)
    else:
        yield from _empty(config.numeric[0], categories, TensorProto.INT64)


def _empty(column: str, output: str, dtype: int) -> Iterator[NodeProto]:
    """[N, 1] → [N, 0] of `dtype`."""
    zero = helper.make_tensor(f"{ROWS}/zero", dtype, [1], [0])
    yield helper.make_node("Shape", [column], [f"{ROWS}/rows"], start=0, end=1)
    yield helper.make_node("Concat", [f"{ROWS}/rows", f"{ROWS}/none"], [f"{ROWS}/empty_shape"], axis=0)
    yield helper.make_node("ConstantOfShape", [f"{ROWS}/empty_shape"], [output], value=zero)


def _back(answer: str, config: Config) -> Iterator[NodeProto]:
    """The label is the first of the tied largest probabilities: `isoform.labels.most_probable`, node by node."""
    yield helper.make_node("Identity", [answer], [OUTPUT[config.task]])
    if config.task == "regression":
        return
    yield helper.make_node("ReduceMax", [answer, f"{ANSWER}/axis"], [f"{ANSWER}/largest"], keepdims=1)
    yield helper.make_node("Sub", [f"{ANSWER}/largest", f"{ANSWER}/tie"], [f"{ANSWER}/least"])
    yield helper.make_node("GreaterOrEqual", [answer, f"{ANSWER}/least"], [f"{ANSWER}/is_tied"])
    yield helper.make_node("Cast", [f"{ANSWER}/is_tied"], [f"{ANSWER}/tied"], to=TensorProto.FLOAT)
    yield helper.make_node("ArgMax", [f"{ANSWER}/tied"], [f"{ANSWER}/index"], axis=1, keepdims=0)
    yield helper.make_node("Gather", [f"{ANSWER}/classes", f"{ANSWER}/index"], ["label"], axis=0)


def _constants(config: Config) -> list[TensorProto]:
    classes = np.array(config.classes, dtype=object if str in map(type, config.classes) else None)
    constants = []
    if config.task == "classification":
        constants += [
            numpy_helper.from_array(classes, f"{ANSWER}/classes"),
            numpy_helper.from_array(np.array(TIE, dtype=np.float32), f"{ANSWER}/tie"),
            numpy_helper.from_array(np.array([1], dtype=np.int64), f"{ANSWER}/axis"),
        ]
    if config.numeric:
        constants.append(numpy_helper.from_array(np.array(np.nan, dtype=np.float32), f"{ROWS}/nan"))
    if not config.numeric or not config.categorical:
        constants.append(numpy_helper.from_array(np.array([0], dtype=np.int64), f"{ROWS}/none"))
    return constants


def _prefix(graph: GraphProto) -> None:
    """Put `/core` before every name, in the branches of If and Loop too. Empty names (absent inputs) stay."""

    def renamed(name: str) -> str:
        return f"{CORE}/{name}" if name else name

    for level in _graphs(graph):
        for value in [*level.input, *level.output, *level.initializer]:
            value.name = renamed(value.name)
        for position, node in enumerate(level.node):
            node.input[:] = map(renamed, node.input)
            node.output[:] = map(renamed, node.output)
            # Exporters name nodes after source lines or counters; the position is as good and always the same.
            node.name = f"{CORE}/{node.op_type}_{position}"
        del level.value_info[:]


def _leading_to(answer: str, graph: GraphProto) -> list[NodeProto]:
    """Return the nodes that `answer` needs: exporters leave others, which cost time and may fail where it does not."""
    needed, nodes = {answer}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(node.input, *(inner.input for level in _inside(node) for inner in level.node))
    return nodes[::-1]


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """Yield `graph` and every graph inside its nodes."""
    yield graph
    for node in graph.node:
        yield from _inside(node)


def _inside(node: NodeProto) -> Iterator[GraphProto]:
    """Yield every graph inside a node."""
    for attribute in node.attribute:
        for inner in [attribute.g, *attribute.graphs] if attribute.HasField("g") else attribute.graphs:
            yield from _graphs(inner)


def _strip(message: Message) -> None:
    """Clear doc strings and metadata everywhere: exporters write source lines and file paths into them."""
    for field in ("doc_string", "metadata_props"):
        if field in message.DESCRIPTOR.fields_by_name:
            # ClearField, because assigning "" would still be written.
            message.ClearField(field)
    for descriptor, value in message.ListFields():
        if descriptor.type == descriptor.TYPE_MESSAGE:
            for child in value if hasattr(value, "__len__") else [value]:
                _strip(child)
