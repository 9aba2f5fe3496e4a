"""The tensors in a model.onnx: their data is in the file, as long as their shape says, and finite."""

import math

import numpy as np

from isoform.errors import Refused
from isoform.formats.protobuf import Message, Span, signed

TYPES = {1: ("float_data", 4), 11: ("double_data", 8), 6: ("int32_data", 4), 7: ("int64_data", 8), 9: ("int32_data", 1)}
"""TensorProto.data_type of numbers and truth values → the field for their values, and the size of one in `raw_data`."""
STRING = 8
FLOATS = {1: "<f4", 11: "<f8"}
MISSING = "/rows/nan"
"""The one constant that is NaN: the row policy puts it in the place of ±inf."""
MAX_TEXT_BYTES = 256
"""Of a text that may be in an answer: onnxruntime's limit on memory does not count what is in texts."""


def refuse_external_data(tensor: Message) -> None:
    """Refuse a tensor whose data is in another file, or at an address in memory."""
    if "external_data" in tensor or tensor.get("data_location", 0):
        where = ", ".join(f"{entry.get('key')} {entry.get('value')}" for entry in tensor.get("external_data", ()))
        raise Refused(f"keeps the data of '{tensor.get('name', '')}' elsewhere ({where})")


def refuse_other_size(tensor: Message) -> None:
    """Refuse a tensor of another type, or with other data than its shape says."""
    kind, name = tensor.get("data_type", 0), tensor.get("name", "")
    if kind != STRING and kind not in TYPES:
        raise Refused(f"has a tensor '{name}' of data type {kind}")
    field, width = TYPES.get(kind, ("string_data", 0))
    fields = tensor.keys() & {"float_data", "double_data", "int32_data", "int64_data", "string_data", "raw_data"}
    if len(fields) > 1 or not fields <= {field, *(["raw_data"] if width else [])}:
        raise Refused(f"gives the data of '{name}' as {' and '.join(sorted(fields))}")
    dims = [signed(size) for size in tensor.get("dims", ())]
    held = _count(tensor, field, width)
    if min(dims, default=0) < 0 or held != math.prod(dims):
        raise Refused(f"has a tensor '{name}' of shape {dims} with data for {held:g}")


def _count(tensor: Message, field: str, width: int) -> float:
    """Return the number of values for which a tensor has data."""
    if raw := tensor.get("raw_data"):
        return float(raw.size / width)
    data = tensor.get(field, ())
    if field in ("float_data", "double_data") or not data:
        return data.size / TYPES[tensor["data_type"]][1] if data else 0
    if field == "string_data":
        return len(data)
    return int((np.frombuffer(data.view(), np.uint8) < 0x80).sum())  # varints: the last byte of each


def refuse_non_finite(tensor: Message) -> None:
    """Refuse NaN and ±inf among a tensor's numbers, but for the one NaN of the row policy."""
    data = tensor.get("raw_data") or tensor.get("float_data") or tensor.get("double_data")
    dtype = FLOATS.get(tensor.get("data_type", 0))
    if not data or not dtype or (tensor.get("name") == MISSING and not tensor.get("dims")):
        return
    if data.size % np.dtype(dtype).itemsize == 0 and not np.isfinite(np.frombuffer(data.view(), dtype)).all():
        raise Refused(f"has NaN or an infinite number in the tensor '{tensor.get('name', '')}'")


def refuse_long_label(tensor: Message) -> None:
    """Refuse long texts in tensors."""
    texts: list[Span] = tensor.get("string_data", [])
    if (longest := max((text.size for text in texts), default=0)) > MAX_TEXT_BYTES:
        raise Refused(f"has a text of {longest} bytes in the tensor '{tensor.get('name', '')}', the limit is {MAX_TEXT_BYTES}")
