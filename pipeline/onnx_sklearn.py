"""Convert a fitted scikit-learn Pipeline to a core for `pipeline.onnx_graph`."""

import numpy as np
from onnx import GraphProto, ModelProto, helper, numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.pipeline import Pipeline

from isoform.errors import BadInput
from isoform.metadata import Config
from pipeline.onnx_graph import assemble
from pipeline.params import Onnx


def export(pipeline: Pipeline, config: Config, onnx_params: Onnx) -> ModelProto:
    """Return the model by the contract; raises `BadInput` for an estimator without a converter."""
    inputs = [(name, FloatTensorType([None, 1])) for name in config.numeric]
    inputs += [(name, StringTensorType([None, 1])) for name in config.categorical]
    try:
        core = convert_sklearn(
            pipeline,
            initial_types=inputs,
            # Without zipmap the probabilities are one tensor instead of a list of maps. Keyed by the estimator:
            # under a plain key skl2onnx searches the whole forest for takers.
            options={id(pipeline[-1]): {"zipmap": False}} if config.task == "classification" else None,
            target_opset={"": onnx_params.opset, "ai.onnx.ml": 3},
        )
    except Exception as error:  # skl2onnx raises a dozen unrelated classes
        estimator = type(pipeline[-1]).__name__
        raise BadInput(
            f"model '{config.model_name}'", f"skl2onnx cannot convert {estimator} ({error})", "choose another"
        ) from error
    if config.task == "regression":
        return assemble(core, config, onnx_params, joined=False, answer=core.graph.output[0].name)
    _clip(core.graph)
    return assemble(core, config, onnx_params, joined=False, answer="clipped")


def _clip(graph: GraphProto) -> None:
    """Keep probabilities within [0, 1]: a forest's sum of float32 weights may end a last bit beyond."""
    for name, bound in (("lowest", 0), ("highest", 1)):
        graph.initializer.append(numpy_helper.from_array(np.array(bound, dtype=np.float32), name))
    graph.node.append(helper.make_node("Clip", ["probabilities", "lowest", "highest"], ["clipped"]))
