"""Export a model to ONNX, its preprocessing included, by the contract of pipeline/onnx_graph.py.

Reads   pipeline.joblib or model.pt in the model's version folder, data/prepared/schema.json
Writes  model.onnx beside it
Run     python -m stages.export_onnx sklearn pipeline_rf
"""

from typing import Literal

from onnx import ModelProto

from isoform.errors import CheckFailed, Refused
from isoform.formats import FORMATS, onnx_policy
from isoform.formats import onnx as onnx_format
from isoform.integrity import read_bytes, write_atomic
from isoform.metadata import Config
from pipeline import configs, datasets, layout, params
from stages import run


def export_sklearn(data: bytes, config: Config, onnx_params: params.Onnx) -> ModelProto:
    """Return the ONNX model of the Pipeline in joblib's bytes."""
    from isoform.formats import joblib
    from pipeline import onnx_sklearn

    return onnx_sklearn.export(joblib.load(data, config), config, onnx_params)


def export_torch(data: bytes, config: Config, onnx_params: params.Onnx) -> ModelProto:
    """Return the ONNX model of the network in a state_dict's bytes."""
    from isoform.formats import state_dict
    from pipeline import onnx_torch

    return onnx_torch.export(state_dict.load(data, config), config, onnx_params)


def main(kind: Literal["sklearn", "torch"], name: str) -> None:
    """Export the model `name` of `kind`; raises `BadInput` or `CheckFailed`, and then leaves no model.onnx."""
    settings = params.load()
    model = settings.model(kind, name)
    config = configs.describe(name, model, datasets.read_schema())
    folder = layout.version_dir(name, model.version)
    source, export = {"sklearn": ("joblib", export_sklearn), "torch": ("state_dict", export_torch)}[kind]
    exported = export(read_bytes(folder / FORMATS[source].filename), config, settings.onnx)
    content = onnx_format.dump(exported)
    try:
        onnx_policy.check(content)
    except Refused as refusal:
        raise CheckFailed(
            f"model '{name}'",
            f"its model.onnx {refusal}",
            "read what it could be made to do, then allow it in isoform/formats/onnx_policy.py",
        ) from refusal
    write_atomic(folder / FORMATS["onnx"].filename, content)


if __name__ == "__main__":
    run(main, __doc__, "name", kind=["sklearn", "torch"])
