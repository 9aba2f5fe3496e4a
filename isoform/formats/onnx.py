"""ONNX: graph, weights and preprocessing in one file that any ONNX runtime answers from."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import onnxruntime as ort

from isoform.metadata import Config, Task
from isoform.rows import Cells, Columns, Rows, read, to_list, to_text

PACKED_CELLS, PACKED_BYTES = 1000, 32
"""Text is fed as bytes from this many cells on, where each takes fewer bytes than this: else objects are as fast."""
IDENTITY = bytes.fromhex(
    "08083a2b"  # IR 8, a graph
    "0a100a017812017922084964656e74697479120167"  # of one node, y = Identity(x), named "g"
    "5a090a017812040a02080862090a017912040a020808"  # x and y are text
    "42040a001012"  # opset 18
)
"""The smallest ONNX model of text: it answers with its input."""

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


def prepare(rows: Rows, numeric: Sequence[str], categorical: Sequence[str]) -> Columns:
    """Return `rows` as `infer` takes them: checked as by `isoform.rows.canonical`, with less work.

    What the graph does itself is left to it: float32 columns may hold ±inf and may be the caller's own arrays. Many short
    texts come as bytes (`pack`).
    """
    floats, cells = read(rows, numeric, categorical)
    with np.errstate(over="ignore"):  # beyond float32's range is ±inf, which the graph takes for missing
        columns = {name: np.ascontiguousarray(column, np.float32) for name, column in zip(numeric, floats, strict=True)}
    packed = pack(cells)
    columns |= zip(categorical, to_text(cells, categorical) if packed is None else packed, strict=True)
    return columns


def pack(columns: Sequence[Cells]) -> np.ndarray | None:
    """Return columns of text as UTF-8, `S` [C, N], each cell ended by a zero byte with anything behind it.

    onnxruntime reads these several times faster than objects. None where objects do better, or where a cell is no text,
    no valid Unicode or holds NUL. No Python code runs for a cell: all are joined, encoded, and found again by the zero
    bytes between them.
    """
    cells = sum(map(len, columns))
    if cells < PACKED_CELLS or not reads_to_the_first_zero():
        return None
    try:  # a zero in front, and as many behind as one reads on from the last byte
        parts = ["", *("\0".join(to_list(column)) for column in columns), "\0" * (PACKED_BYTES - 1)]
        data = "\0".join(parts).encode()  # at once: each further copy takes a per cent of a small model's answer
    except (TypeError, UnicodeEncodeError):
        return None
    size = len(data) - PACKED_BYTES
    zeros = np.flatnonzero(np.frombuffer(data, np.uint8, size + 1) == 0)
    width = int((zeros[1:] - zeros[:-1]).max())  # of the longest cell and the zero byte behind it
    if len(zeros) != cells + 1 or width > PACKED_BYTES:
        return None
    windows: np.ndarray = np.ndarray(size, f"S{width}", data, offset=1, strides=(1,))  # at every byte those that follow
    return windows[zeros[:-1]].reshape(len(columns), -1)


@cache
def reads_to_the_first_zero() -> bool:
    """Tell whether onnxruntime reads bytes as text that ends at their first zero: it does, but promises it nowhere."""
    session = ort.InferenceSession(IDENTITY, providers=["CPUExecutionProvider"])
    return bool(session.run(["y"], {"x": np.array([b"a\0b", b"c\0\0", b"\0b"])})[0].tolist() == ["a", "c", ""])


def infer(native: ort.InferenceSession, columns: Columns, config: Config) -> np.ndarray:
    """Return the output `probabilities` or `prediction`; each column is fed as [N, 1]."""
    return np.asarray(native.run([OUTPUT[config.task]], _feeds(columns))[0])


def predict(native: ort.InferenceSession, columns: Columns) -> np.ndarray:
    """Return the output `label`, int64, bool or object (`str`) [N]: what a consumer in another language reads."""
    return np.asarray(native.run(["label"], _feeds(columns))[0])


def _feeds(columns: Columns) -> dict[str, np.ndarray]:
    return {name: column.reshape(-1, 1) for name, column in columns.items()}
