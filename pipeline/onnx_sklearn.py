"""Convert a fitted scikit-learn Pipeline to a core for `pipeline.onnx_graph`."""

import copy
import math
import re
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from skl2onnx.sklapi import CastTransformer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from isoform.errors import BadInput, first_line
from isoform.metadata import Config
from pipeline import onnx_converters  # noqa: F401  it registers them
from pipeline.onnx_graph import assemble
from pipeline.params import Onnx

DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}
"""What every runtime has; skl2onnx also uses Microsoft's own operators, which the browser's lacks."""
DOUBLE = ("sklearn.neighbors.", "sklearn.gaussian_process.")
"""Packages of estimators that keep rows and measure distances to them."""
CHOOSE = "choose another estimator, docs/compatibility.md lists them"


def export(pipeline: Pipeline, config: Config, onnx_params: Onnx) -> ModelProto:
    """Return the model by the contract; raises `BadInput` for an estimator without a converter."""
    types = [FloatTensorType([None, 1])] * len(config.numeric) + [StringTensorType([None, 1])] * len(config.categorical)
    try:
        core = convert_sklearn(
            _prepared(pipeline, config),
            initial_types=[(f"column_{position}", kind) for position, kind in enumerate(types)],
            options=_options(pipeline, config),
            target_opset={"": onnx_params.opset, "ai.onnx.ml": 3},
        )
    except Exception as error:  # skl2onnx raises a dozen unrelated classes
        raise BadInput(f"model '{config.model_name}'", _reason(error, pipeline), CHOOSE) from error
    if foreign := sorted({entry.domain for entry in core.opset_import} - DOMAINS):
        reason = f"the converter of {type(pipeline[-1]).__name__} uses operators of {foreign[0]}, which not every runtime has"
        raise BadInput(f"model '{config.model_name}'", reason, CHOOSE)
    _look_up(core.graph)
    return assemble(core, config, onnx_params, joined=False, answer=_answer(core.graph, config))


def _prepared(pipeline: Pipeline, config: Config) -> Pipeline:
    """Return the Pipeline with its columns chosen by position, because skl2onnx makes names of its own from those it is given.

    What finds the nearest rows gets them as float64: scikit-learn measures in float64, too, and which row is the nearer
    one may be a matter of the last bit.
    """
    columns = copy.copy(pipeline[0])
    names = [*config.numeric, *config.categorical]
    columns.transformers_ = [(part, step, [*map(names.index, chosen)]) for part, step, chosen in columns.transformers_]
    inside = [pipeline[-1], *pipeline[-1].get_params().values()]
    double = any(type(part).__module__.startswith(DOUBLE) for part in inside)
    cast = [("double", CastTransformer(dtype=np.float64).fit(np.zeros((1, 1), dtype=np.float32)))] if double else []
    return Pipeline([("columns", columns), *cast, *pipeline.steps[1:]])


def _options(pipeline: Pipeline, config: Config) -> dict[Any, dict[str, Any]]:
    # A division, as scikit-learn divides, and no product with the inverse, which rounds otherwise.
    options: dict[Any, dict[str, Any]] = {StandardScaler: {"div": "div"}}
    if config.task == "classification":
        estimator = pipeline[-1]
        while isinstance(estimator, Pipeline):
            estimator = estimator[-1]
        # Without zipmap the probabilities are one tensor instead of a list of maps. Keyed by the estimator:
        # under a plain key skl2onnx searches the whole forest for takers.
        options[id(estimator)] = {"zipmap": False}
    return options


def _reason(error: Exception, pipeline: Pipeline) -> str:
    """Say what cannot be converted: the innermost estimator, where skl2onnx names its class."""
    missing = re.search(r"<class '(?:\w+\.)*(\w+)'>", first_line(error))
    if missing and isinstance(error, RuntimeError | KeyError):
        return f"{missing[1]} has no ONNX converter"
    return f"skl2onnx cannot convert {type(pipeline[-1]).__name__} ({first_line(error)})"


def _look_up(graph: GraphProto) -> None:
    """Read from constant tables by Gather: ArrayFeatureExtractor, which converters take for that, refuses a batch of no rows."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    graph.initializer.append(numpy_helper.from_array(np.array([1, -1], dtype=np.int64), "in_a_row"))
    for position in reversed(range(len(graph.node))):
        node = graph.node[position]
        table = constants.get(node.input[0]) if node.op_type == "ArrayFeatureExtractor" else None
        if table is not None and math.prod(table.dims[:-1]) == 1 and node.input[1] not in constants:
            flat, index = f"{node.output[0]}_table", f"{node.output[0]}_index"
            graph.initializer.append(numpy_helper.from_array(numpy_helper.to_array(table).ravel(), flat))
            graph.node.insert(position, helper.make_node("Reshape", [node.input[1], "in_a_row"], [index]))
            graph.node[position + 1].CopyFrom(helper.make_node("Gather", [flat, index], [node.output[0]]))


def _answer(graph: GraphProto, config: Config) -> str:
    """Return the name of the answer as float32; probabilities are kept within [0, 1].

    A forest's sum of float32 weights may end a last bit beyond.
    """
    output = graph.output[-1]
    answer = str(output.name)
    if output.type.tensor_type.elem_type == TensorProto.DOUBLE:
        graph.node.append(helper.make_node("Cast", [answer], ["single"], to=TensorProto.FLOAT))
        answer = "single"
    if config.task == "classification":
        for name, bound in (("lowest", 0), ("highest", 1)):
            graph.initializer.append(numpy_helper.from_array(np.array(bound, dtype=np.float32), name))
        graph.node.append(helper.make_node("Clip", [answer, "lowest", "highest"], ["clipped"]))
        answer = "clipped"
    return answer
