"""ONNX: graph, weights and preprocessing in one file that any ONNX runtime answers from."""

import os
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

# onnxruntime keeps an identifier of the machine in the home folder, and reports to its maker, unless it finds this at import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

from isoform.errors import Refused
from isoform.formats import onnx_policy
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

MAX_MEMORY_BYTES = 4 << 30
"""What a session may take for tensors, weights included: the largest batch that it can answer at once is bounded by it."""
CPU = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
SESSION = {
    "session.load_model_format": "ONNX",  # not ORT's own .ort format
    "session.use_env_allocators": "1",  # those with the limit on memory
    # Computes what depends on no row when a session is opened, without regard to the limit.
    "optimization.disable_specified_optimizers": "ConstantFolding",
}
LABEL_TYPES = {str: "tensor(string)", bool: "tensor(bool)", int: "tensor(int64)"}

OUTPUT: dict[Task, str] = {"classification": "probabilities", "regression": "prediction"}
"""The output that holds the answer, float32 [N, K]."""


def dump(model: Any) -> bytes:
    """Serialise an `onnx.ModelProto`."""
    return bytes(model.SerializeToString(deterministic=True))


def load(data: bytes, config: Config | None = None) -> ort.InferenceSession:
    """Open a session on what `isoform.formats.onnx_policy` allows and, with a `config`, on its inputs and outputs alone.

    It may take `MAX_MEMORY_BYTES` for its answers. From bytes, onnxruntime itself refuses every form of external data.
    """
    onnx_policy.check(data)
    # Replaces the allocator that the next session takes: each has its own, and what others of the process have stays theirs.
    ort.create_and_register_allocator(CPU, ort.OrtArenaCfg(MAX_MEMORY_BYTES, -1, -1, -1))
    options = ort.SessionOptions()
    # One thread gives one row the same bits alone and in a batch, and is fastest for small models.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # a failure raises; its log line would be a second, longer report
    for key, value in SESSION.items():
        options.add_session_config_entry(key, value)
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    if config is not None:
        refuse_other_signature(session, config)
    return session


def refuse_other_signature(session: ort.InferenceSession, config: Config) -> None:
    """Raise `Refused` unless there is one input [N, 1] per raw column, and the outputs are those of the task."""
    inputs: dict[str, tuple[str, int | None]] = dict.fromkeys(config.numeric, ("tensor(float)", 1))
    inputs |= dict.fromkeys(config.categorical, ("tensor(string)", 1))
    outputs: dict[str, tuple[str, int | None]] = {OUTPUT[config.task]: ("tensor(float)", config.width)}
    if config.task == "classification":
        outputs = {"label": (LABEL_TYPES[type(config.classes[0])], None)} | outputs
    for kind, found, expected in (("input", session.get_inputs(), inputs), ("output", session.get_outputs(), outputs)):
        if [tensor.name for tensor in found] != list(expected):
            names = ", ".join(tensor.name for tensor in found)
            raise Refused(f"its {kind}s are {names}; expected {', '.join(expected)}")
        for tensor, (dtype, width) in zip(found, expected.values(), strict=True):
            rows, *rest = tensor.shape or [0]
            if tensor.type != dtype or isinstance(rows, int) or rest != ([] if width is None else [width]):
                shape = "[N]" if width is None else f"[N, {width}]"
                reason = f"its {kind} '{tensor.name}' is {tensor.type} {tensor.shape}"
                raise Refused(f"{reason}; expected {dtype} {shape} for any N")


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
    """Return the output `probabilities` or `prediction`; each column is fed as [N, 1].

    Raises `Refused` when that takes too much memory, or whatever onnxruntime raises.
    """
    return _run(native, OUTPUT[config.task], columns)


def predict(native: ort.InferenceSession, columns: Columns) -> np.ndarray:
    """Return the output `label`, int64, bool or object (`str`) [N]: what a consumer in another language reads."""
    return _run(native, "label", columns)


def _run(native: ort.InferenceSession, output: str, columns: Columns) -> np.ndarray:
    try:
        return np.asarray(native.run([output], {name: column.reshape(-1, 1) for name, column in columns.items()})[0])
    except Exception as error:  # onnxruntime's own classes, a dozen
        refuse_more_memory(error)
        raise


def refuse_more_memory(error: Exception) -> None:
    """Raise `Refused` when it was the limit on memory that kept a session from an answer."""
    if "Available memory of" in str(error):
        raise Refused(f"takes more than {MAX_MEMORY_BYTES >> 20} MiB for these rows at once") from error
