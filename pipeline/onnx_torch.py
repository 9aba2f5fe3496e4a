"""Export a network to a core for `pipeline.onnx_graph`."""

import logging
import warnings

import torch
from onnx import ModelProto
from torch import nn

from isoform import networks
from isoform.errors import BadInput, first_line
from isoform.metadata import Config, Task
from pipeline.onnx_graph import assemble
from pipeline.params import Onnx


class _Answer(nn.Module):
    def __init__(self, network: nn.Module, task: Task) -> None:
        super().__init__()
        self.network, self.task = network, task

    def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        return networks.answer(self.network(numeric, categories), self.task)


def export(network: nn.Module, config: Config, onnx_params: Onnx) -> ModelProto:
    """Return the model by the contract; raises `BadInput` for a network that torch cannot export."""
    # Two rows: an example of one would be taken for a constant.
    example = torch.zeros(2, len(config.numeric)), torch.zeros(2, len(config.categorical), dtype=torch.int64)
    rows = torch.export.Dim("N")
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)  # they narrate every pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of its own deprecated internals
            program = torch.onnx.export(
                _Answer(network, config.task).eval(),
                example,
                dynamo=True,
                input_names=["numeric", "categories"],
                output_names=["answer"],
                # Without this the batch would be frozen at the example's.
                dynamic_shapes=({0: rows}, {0: rows}),
                opset_version=onnx_params.opset,
                verbose=False,
            )
    except Exception as error:  # the exporter raises whatever its passes raise
        reason = f"torch cannot export {type(network).__name__} ({first_line(error)})"
        raise BadInput(f"model '{config.model_name}'", reason, "use operators that ONNX has") from error
    if program is None:
        raise BadInput(f"model '{config.model_name}'", "torch.onnx gave no program", "see the log")
    exported = {entry.version for entry in program.model_proto.opset_import if entry.domain == ""}
    if exported != {onnx_params.opset}:  # it falls back to another when it cannot convert
        reason = f"torch exported opset {sorted(exported)}, params.yaml asks for {onnx_params.opset}"
        raise BadInput(f"model '{config.model_name}'", reason, "ask for opset 18")
    return assemble(program.model_proto, config, onnx_params, joined=True, answer="answer")
