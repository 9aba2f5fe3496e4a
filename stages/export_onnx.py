"""Export a model to ONNX, its preprocessing included, by the contract of pipeline/onnx_graph.py.

Reads   pipeline.joblib or model.pt in the model's version folder, checked by train.sha256, data/prepared/schema.json
Writes  model.onnx and its hash, export.sha256, beside it
Run     python -m stages.export_onnx sklearn pipeline_rf
"""

from typing import Any, Literal

from onnx import ModelProto

from isoform.errors import CheckFailed, Refused
from isoform.formats import FORMATS, onnx_policy
from isoform.formats import onnx as onnx_format
from isoform.loading import parse_model
from isoform.metadata import Config
from pipeline import configs, datasets, layout, params, records
from stages import run


def export_sklearn(native: Any, config: Config, onnx_params: params.Onnx) -> ModelProto:
    """Return the ONNX model of a Pipeline."""
    from pipeline import onnx_sklearn

    return onnx_sklearn.export(native, config, onnx_params)


def export_torch(native: Any, config: Config, onnx_params: params.Onnx) -> ModelProto:
    """Return the ONNX model of a network."""
    from pipeline import onnx_torch

    return onnx_torch.export(native, config, onnx_params)


def main(kind: Literal["sklearn", "torch"], name: str) -> None:
    """Export the model `name` of `kind`; raises `BadInput` or `CheckFailed`, and then leaves no model.onnx."""
    settings = params.load()
    model = settings.model(kind, name)
    config = configs.describe(name, model, datasets.read_schema())
    folder = layout.version_dir(name, model.version)
    source, export = {"sklearn": ("joblib", export_sklearn), "torch": ("state_dict", export_torch)}[kind]
    path = folder / FORMATS[source].filename
    native = parse_model(path, source, records.read(folder, "train", path.name), config)
    content = onnx_format.dump(export(native, config, settings.onnx))
    try:
        onnx_policy.check(content)
    except Refused as refusal:
        raise CheckFailed(
            f"model '{name}'",
            f"its model.onnx {refusal}",
            "read what it could be made to do, then allow it in isoform/formats/onnx_operators.py",
        ) from refusal
    records.write(folder, "export", {FORMATS["onnx"].filename: content})


if __name__ == "__main__":
    run(main, __doc__, "name", kind=["sklearn", "torch"])
