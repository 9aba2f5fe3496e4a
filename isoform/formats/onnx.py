"""ONNX: graph, weights and preprocessing in one file that any ONNX runtime answers from."""

from typing import Any

import numpy as np
import onnxruntime as ort

from isoform.metadata import Config, Task
from isoform.rows import Columns

OUTPUT: dict[Task, str] = {"classification": "probabilities", "regression": "prediction"}
"""The output that holds the answer, float32 [N, K]."""


def dump(model: Any) -> bytes:
    """Serialise an `onnx.ModelProto`."""
    return bytes(model.SerializeToString(deterministic=True))


def load(data: bytes, config: Config | None = None) -> ort.InferenceSession:
    """Open a session on `data`; from bytes, onnxruntime refuses every form of external data."""
    options = ort.SessionOptions()
    # One thread gives one row the same bits alone and in a batch, and is fastest for small models.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # a failure raises; its log line would be a second, longer report
    options.add_session_config_entry("session.load_model_format", "ONNX")  # not ORT's own .ort format
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def infer(native: ort.InferenceSession, columns: Columns, config: Config) -> np.ndarray:
    """Return the output `probabilities` or `prediction`; each column is fed as [N, 1]."""
    return np.asarray(native.run([OUTPUT[config.task]], _feeds(columns))[0])


def predict(native: ort.InferenceSession, columns: Columns) -> np.ndarray:
    """Return the output `label`, int64, bool or object (`str`) [N]: what a consumer in another language reads."""
    return np.asarray(native.run(["label"], _feeds(columns))[0])


def _feeds(columns: Columns) -> dict[str, np.ndarray]:
    return {name: column.reshape(-1, 1) for name, column in columns.items()}
