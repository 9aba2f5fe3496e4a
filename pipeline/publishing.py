"""Build the documents of a version: golden.json and metadata.json.

Run     python -m pipeline.publishing     prints the JSON Schema of metadata.json (make schema)
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from isoform.formats.onnx import OUTPUT
from isoform.integrity import sha256
from isoform.labels import labels
from isoform.metadata import Cell, Config, Data, Estimate, File, Golden, Metadata, Parity, Tensor, parse, to_json
from isoform.rows import Columns, count, take
from pipeline import environment, parity
from pipeline.datasets import Schema
from pipeline.params import Params

Kind = Literal["sklearn", "torch"]

FORMATS_OF: dict[Kind, list[str]] = {
    "sklearn": ["joblib", "pickle", "onnx"],
    "torch": ["state_dict", "full_model", "checkpoint", "safetensors", "onnx"],
}
WRITTEN_BY = dict.fromkeys(["joblib", "pickle", "state_dict", "full_model", "checkpoint"], "train") | {
    "safetensors": "convert",
    "onnx": "export",
}
"""Format → the record (see `pipeline.records`) of the stage that writes it."""
FRAMEWORK: dict[Kind, str] = {"sklearn": "scikit-learn", "torch": "pytorch"}
LIBRARIES: dict[Kind, list[str]] = {
    "sklearn": ["numpy", "scipy", "scikit-learn", "joblib", "skl2onnx", "onnx", "onnxruntime"],
    "torch": ["numpy", "torch", "safetensors", "onnxscript", "onnx", "onnxruntime"],
}

UNSEEN = "never seen in training"


def golden_rows(columns: Columns, config: Config, rows: int, seed: int) -> Columns:
    """Return `rows` seeded rows of `columns` and three made ones: all missing, all unseen, and huge numbers."""
    few = take(columns, parity.sample(columns, rows, seed))
    made = {name: np.array([np.nan, 0.0, 1e30], dtype=np.float32) for name in config.numeric}
    first = {name: columns[name][0] for name in config.categorical}
    made |= {name: np.array(["", UNSEEN, first[name]], dtype=object) for name in config.categorical}
    return {name: np.concatenate([few[name], made[name]]) for name in columns}


def golden(columns: Columns, answers: np.ndarray, config: Config, scale: float) -> Golden:
    """Return golden.json for canonical rows and the reference's answers, float32 [N, K], of that scale."""
    classifies = config.task == "classification"
    rows = [[_cell(column[i]) for column in columns.values()] for i in range(count(columns))]
    return Golden(
        tolerance=parity.TOLERANCE,
        scale=scale,
        columns=list(columns),
        rows=rows,
        label=labels(answers, config).tolist() if classifies else None,
        probabilities=[[short(value) for value in row] for row in answers] if classifies else None,
        prediction=None if classifies else [short(value) for value in answers[:, 0]],
    )


def short(value: np.float32) -> float:
    """Return the shortest decimal that rounds to the same float32."""
    return float(str(value))


def build_metadata(
    kind: Kind,
    config: Config,
    settings: Params,
    schema: Schema,
    *,
    metrics: Mapping[str, Estimate],
    contents: Mapping[str, tuple[str, bytes]],
    parities: Mapping[str, Parity],
) -> Metadata:
    """Return metadata.json for files `contents` (entry → file name, bytes)."""
    model = settings.model(kind, config.model_name)
    document = Metadata(
        model_name=config.model_name,
        version=model.version,
        framework=FRAMEWORK[kind],
        # Of the version, not of the run: a run's clock would change the bytes.
        created_at=model.created_at,
        metrics=dict(metrics),
        training_config={
            "builder": config.builder,
            **({"preprocessing": model.preprocessing} if kind == "sklearn" else {}),
            "hyperparameters": config.hyperparameters,
            "seed": settings.seed,
        },
        input_schema=[
            *(Tensor(name=name, shape=[None, 1], dtype="float32") for name in config.numeric),
            *(Tensor(name=name, shape=[None, 1], dtype="string") for name in config.categorical),
        ],
        output_schema=output_schema(config),
        data=Data(
            source=schema.source,
            target=schema.target,
            train_rows=schema.train_rows,
            test_rows=schema.test_rows,
            train_sha256=schema.train_sha256,
            test_sha256=schema.test_sha256,
        ),
        environment=describe_environment(kind, settings),
        files={
            name: File(path=path, bytes=len(data), sha256=sha256(data), parity=parities.get(name))
            for name, (path, data) in contents.items()
        },
    )
    # The dataclasses do not check themselves: no document is published that a reader would refuse.
    return parse(Metadata, to_json(document).encode(), Path("metadata.json"))


def output_schema(config: Config) -> list[Tensor]:
    """Return the outputs of model.onnx."""
    answer = Tensor(name=OUTPUT[config.task], shape=[None, config.width], dtype="float32")
    if config.task == "regression":
        return [answer]
    dtypes: dict[type, Literal["string", "int64", "bool"]] = {str: "string", int: "int64", bool: "bool"}
    return [Tensor(name="label", shape=[None], dtype=dtypes[type(config.classes[0])]), answer]


def describe_environment(kind: Kind, settings: Params) -> dict[str, str]:
    """Return what the bytes depend on: platform, Python's minor version, library versions without build tags."""
    device = settings.device if kind == "torch" else "cpu"
    return {
        "platform": environment.description(settings.reproducibility, device),
        "python": environment.python_minor(),
        **{name: environment.version(name) for name in LIBRARIES[kind]},
    }


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of metadata.json; isoform/metadata.schema.json holds it."""
    import pydantic

    return pydantic.TypeAdapter(Metadata).json_schema()


def _cell(value: Any) -> Cell:
    if isinstance(value, str):
        return value
    return None if np.isnan(value) else short(value)


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))
