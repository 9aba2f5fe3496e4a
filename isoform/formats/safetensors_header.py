"""The header of a safetensors file, read strictly before safetensors opens it; needs no library of tensors.

    8 bytes: the length of the header | the header, JSON: {name: {dtype, shape, data_offsets}} | the numbers, tensor by tensor

safetensors takes a name twice, and headers that keep it busy for seconds. Here every byte behind the header belongs to one
tensor, and each tensor has the bytes that its dtype and shape need.
"""

import json
import re
import struct
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Any, cast

from isoform.errors import Refused
from isoform.strict_json import repeated

LENGTH = struct.Struct("<Q")
MAX_HEADER_BYTES = 1 << 20
"""Some 10,000 tensors; JSON of this length is parsed in milliseconds and takes a few MB."""
MAX_DEPTH = 8
"""Brackets within brackets: {name: {shape: [...]}}, {__metadata__: {isoform: "{tied: {...}}"}}, and room for names with some."""
MAX_DIMENSIONS = 16
ITEM_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
METADATA = "__metadata__"


@dataclass(frozen=True)
class Tensor:
    """A tensor's entry in the header."""

    dtype: str
    shape: list[int]
    begin: int
    """Offset of its first byte from the end of the header."""
    end: int


@dataclass(frozen=True)
class Header:
    """What the file says of itself."""

    tensors: dict[str, Tensor]
    tied: dict[str, str]
    """Name of a tensor that is not stored → the name of the one that it is."""


def read(data: bytes) -> Header:
    """Return the header of a file, checked against its length. Raises `Refused`."""
    refuse_short(data)
    (length,) = LENGTH.unpack_from(data)
    refuse_beyond_end(length, len(data))
    refuse_long(length)
    document = parse(data[LENGTH.size : LENGTH.size + length])
    metadata = document.pop(METADATA, {})
    tensors = {}
    for name, entry in document.items():
        refuse_other_entry(name, entry)
        tensor = Tensor(entry["dtype"], entry["shape"], *entry["data_offsets"])
        refuse_overflow(name, tensor, len(data))
        refuse_other_size(name, tensor)
        tensors[name] = tensor
    refuse_gaps(tensors, len(data) - LENGTH.size - length)
    return Header(tensors, read_tied(metadata, tensors))


def parse(text: bytes) -> dict[str, Any]:
    """Return a JSON object of bounded depth without a key twice."""
    refuse_deep(text)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """Return an object whose keys are not repeated."""
        refuse_duplicate_keys(pairs)
        return dict(pairs)

    try:
        document = json.loads(text.decode(), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise Refused(f"its header is no JSON ({str(error)[:80]})") from None
    refuse_other_document(document)
    return cast(dict[str, Any], document)


def read_tied(metadata: Any, tensors: dict[str, Tensor]) -> dict[str, str]:
    """Return which names stand for which tensors: {isoform: '{"tied": {name: name}}'} is all the metadata there is."""
    refuse_other_metadata(metadata, ["isoform"], str)
    content = parse(metadata.get("isoform", "{}").encode(errors="replace"))
    refuse_other_metadata(content, ["tied"], dict)
    tied: dict[str, str] = content.get("tied", {})
    refuse_other_ties(tied, tensors)
    return tied


# Each guard is a function of its own: tests/faults takes them out one at a time and watches its test turn red.


def refuse_short(data: bytes) -> None:
    """Refuse what has no room for a header."""
    if len(data) < LENGTH.size + len("{}"):
        raise Refused(f"holds {len(data)} bytes, fewer than a header")


def refuse_beyond_end(length: int, size: int) -> None:
    """Refuse a header that is longer than the file."""
    if length > size - LENGTH.size:
        raise Refused(f"says that its header has {length} bytes, and {size - LENGTH.size} follow")


def refuse_long(length: int) -> None:
    """Refuse a header that takes long to parse, or much memory."""
    if length > MAX_HEADER_BYTES:
        raise Refused(f"its header has {length} bytes, the limit is {MAX_HEADER_BYTES}")


def refuse_deep(text: bytes) -> None:
    """Refuse brackets in brackets beyond what a header has: parsing them takes the stack."""
    if max(accumulate(1 if bracket in b"[{" else -1 for bracket in re.findall(rb"[\[\]{}]", text)), default=0) > MAX_DEPTH:
        raise Refused(f"nests its JSON deeper than {MAX_DEPTH}")


def refuse_duplicate_keys(pairs: list[tuple[str, Any]]) -> None:
    """Refuse a key twice in one object: which of them counts depends on the reader."""
    if (key := repeated(pairs)) is not None:
        raise Refused(f"names {key[:80]!r} twice in its header")


def refuse_other_document(document: Any) -> None:
    """Refuse JSON that is no object."""
    if not isinstance(document, dict):
        raise Refused(f"its header is a {type(document).__name__}, not an object")


def refuse_other_entry(name: str, entry: Any) -> None:
    """Refuse an entry that is not {dtype, shape, data_offsets} of a known dtype and of numbers that count something."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise Refused(f"its tensor {name[:80]!r} is not described by dtype, shape and data_offsets")
    shape, offsets = entry["shape"], entry["data_offsets"]
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in ITEM_BYTES:
        raise Refused(f"its tensor {name[:80]!r} has the dtype {str(entry['dtype'])[:40]!r}")
    counts = isinstance(shape, list) and isinstance(offsets, list) and len(shape) <= MAX_DIMENSIONS and len(offsets) == 2
    if not counts or not all(type(count) is int and 0 <= count < 2**63 for count in [*shape, *offsets]):
        raise Refused(f"its tensor {name[:80]!r} has a shape or data_offsets that are no sizes")


def refuse_overflow(name: str, tensor: Tensor, size: int) -> None:
    """Refuse a shape of more numbers than the file has bytes: 64 bits may not even count them."""
    if prod(tensor.shape) > size:
        raise Refused(f"its tensor {name[:80]!r} has the shape {tensor.shape}, more numbers than the file has bytes")


def refuse_other_size(name: str, tensor: Tensor) -> None:
    """Refuse a tensor that has not the bytes that its dtype and shape take."""
    need = prod(tensor.shape) * ITEM_BYTES[tensor.dtype]
    if tensor.end - tensor.begin != need:
        raise Refused(
            f"its tensor {name[:80]!r}, {tensor.dtype} {tensor.shape}, takes {need} bytes, "
            f"and its data_offsets give it {tensor.end - tensor.begin}"
        )


def refuse_gaps(tensors: dict[str, Tensor], size: int) -> None:
    """Refuse bytes behind the header that belong to two tensors, or to none."""
    at = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin < at:
            raise Refused(f"its tensor {name[:80]!r} overlaps the one before by {at - tensor.begin} bytes")
        if tensor.begin > at:
            raise Refused(f"has a hole of {tensor.begin - at} bytes before its tensor {name[:80]!r}")
        at = tensor.end
    if at != size:
        raise Refused(f"its tensors take {at} bytes, and {size} follow its header")


def refuse_other_metadata(found: Any, keys: list[str], kind: type) -> None:
    """Refuse metadata that this package does not write; none at all is well."""
    if not isinstance(found, dict) or not set(found) <= set(keys) or not all(isinstance(value, kind) for value in found.values()):
        raise Refused(f"has other metadata than {keys[0]!r}: {str(found)[:80]}")


def refuse_other_ties(tied: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """Refuse a name that stands for what is no tensor, or is one itself."""
    for name, source in tied.items():
        if name in tensors or not isinstance(source, str) or source not in tensors:
            raise Refused(f"ties the name {name[:80]!r} to {str(source)[:80]!r}, which is no tensor that it can stand for")
