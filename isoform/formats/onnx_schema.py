"""What of ONNX's messages a model.onnx may have, by the field numbers of onnx.proto; whatever is not here is refused.

Three messages get more than a dictionary: an attribute is read in the one order in which protobuf writes it, which makes
millions of numbers quick to read, and its graph, if it has one, is read like the model's.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from isoform.errors import Refused
from isoform.formats.protobuf import Message, Span, many, one, raw, read, signed, text, varint


class Attribute(NamedTuple):
    """A named value of a node."""

    name: str
    value: Any
    """float, int, bytes, a tensor or a graph as `Message`, float32 [L], int64 [L], or a list of bytes."""


MODES = [b"LEAF", *(b"BRANCH_" + mode for mode in (b"LEQ", b"LT", b"GTE", b"GT", b"EQ", b"NEQ"))]
"""What a node of a tree may do."""


def _attribute(span: Span) -> Attribute:
    """Read name, value and type, once each and in this order."""
    data, start, end = span
    if span.size < 5 or data[start] != 0x0A or data[end - 3 : end - 1] != b"\xa0\x01":
        raise Refused(UNUSUAL)
    size, start = varint(data, start + 1, end)
    value = Span(data, start + size, end - 3)
    reader = READERS.get(data[end - 1])
    if reader is None or value.size < 0:
        raise Refused(UNUSUAL)
    name = text(Span(data, start, start + size))
    return Attribute(name, reader(value))


UNUSUAL = "has an attribute that is not one plain value of a known type"


def _rest(span: Span, tag: int) -> Span:
    """Return the bytes of the one field, of wire type 2, that fills `span`."""
    if not span.size or span.data[span.start] != tag:
        raise Refused(UNUSUAL)
    size, start = varint(span.data, span.start + 1, span.end)
    if start + size != span.end:
        raise Refused(UNUSUAL)
    return Span(span.data, start, span.end)


def _float(span: Span) -> float:
    return float(_floats(span, tag=0x15)[0]) if span.size == 5 else _fail()


def _int(span: Span) -> int:
    if not span.size or span.data[span.start] != 0x18:
        raise Refused(UNUSUAL)
    value, stop = varint(span.data, span.start + 1, span.end)
    return signed(value) if stop == span.end else _fail()


def _fail() -> Any:
    raise Refused(UNUSUAL)


def _floats(span: Span, tag: int = 0x3D) -> np.ndarray:
    """Read float32 [L], of which each has its tag."""
    fields = np.frombuffer(span.view(), np.uint8)
    if len(fields) % 5 or (fields[::5] != tag).any():
        raise Refused(UNUSUAL)
    return fields.reshape(-1, 5)[:, 1:].copy().view("<f4").ravel()


def _ints(span: Span, tag: int = 0x40) -> np.ndarray:
    """Read int64 [L], of which each has its tag; only the last byte of a varint is below 128."""
    fields = np.frombuffer(span.view(), np.uint8)
    if len(fields) % 2 == 0 and (fields[::2] == tag).all() and (fields[1::2] < 0x80).all():
        return fields[1::2].astype(np.int64)  # all of them below 128, as in most
    lasts = np.flatnonzero(fields < 0x80)
    tags, ends = lasts[::2], lasts[1::2]
    ordered = len(tags) == len(ends) and ends[-1] == len(fields) - 1 and tags[0] == 0 and (tags[1:] == ends[:-1] + 1).all()
    if not ordered or (fields[tags] != tag).any():
        raise Refused(UNUSUAL)
    return _decoded(fields, tags + 1, ends)


def _decoded(fields: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the varints, int64 [L], that begin and end at these bytes."""
    sizes = ends - starts
    if (longest := int(sizes.max(initial=0))) > 9:
        raise Refused("is not ONNX: a number in it does not end")
    values = (fields[starts] & 0x7F).astype(np.int64)
    for position in range(1, longest + 1):
        some = np.flatnonzero(sizes >= position)
        values[some] |= (fields[starts[some] + position] & np.int64(0x7F)) << np.int64(7 * position)
    return values


def _strings(span: Span) -> list[bytes]:
    """Read a list of texts; of a forest's modes, which cover all of it, one each."""
    if span.size > LONG:
        data = span.data[span.start : span.end]
        fields = [b"J" + bytes([len(mode)]) + mode for mode in MODES]
        # No mode holds another's first byte, so that finds cannot overlap, and together they are all there is.
        counts = [data.count(field) for field in fields]
        if sum(count * len(field) for count, field in zip(counts, fields, strict=True)) == len(data):
            return [mode for mode, count in zip(MODES, counts, strict=True) if count]
    found, at = [], span.start
    while at < span.end:
        if span.data[at] != 0x4A:
            raise Refused(UNUSUAL)
        size, start = varint(span.data, at + 1, span.end)
        at = start + size
        if at > span.end:
            raise Refused(UNUSUAL)
        found.append(span.data[start:at])
    return found


LONG = 1000
"""From this many bytes on a list of texts may be a forest's modes."""

TENSOR = dict(
    [
        many(1, "dims"),
        one(2, "data_type"),
        one(4, "float_data", raw),
        one(5, "int32_data", raw),
        many(6, "string_data", raw),
        one(7, "int64_data", raw),
        one(8, "name", text),
        one(9, "raw_data", raw),
        one(10, "double_data", raw),
        many(13, "external_data", partial(read, schema=dict([one(1, "key", text), one(2, "value", text)]), kind="external_data")),
        one(14, "data_location"),
    ]
)
_tensor = partial(read, schema=TENSOR, kind="TensorProto")
NODE = dict(
    [
        many(1, "input", text),
        many(2, "output", text),
        one(3, "name", text),
        one(4, "op_type", text),
        many(5, "attribute", _attribute),
        one(7, "domain", text),
    ]
)
# The types and shapes of inputs and outputs are onnxruntime's to read: what it makes of them is compared with config.json.
VALUE = dict([one(1, "name", text), one(2, "type", raw)])
_value = partial(read, schema=VALUE, kind="ValueInfoProto")
GRAPH = dict(
    [
        many(1, "node", partial(read, schema=NODE, kind="NodeProto")),
        one(2, "name", text),
        many(5, "initializer", _tensor),
        many(11, "input", _value),
        many(12, "output", _value),
        many(15, "sparse_initializer", raw),
    ]
)
OPSET = dict([one(1, "domain", text), one(2, "version")])
MODEL = dict(
    [
        one(1, "ir_version"),
        one(2, "producer_name", text),
        one(3, "producer_version", text),
        one(7, "graph", partial(read, schema=GRAPH, kind="GraphProto")),
        many(8, "opset_import", partial(read, schema=OPSET, kind="OperatorSetIdProto")),
        many(25, "functions", raw),
    ]
)


def _inner(span: Span) -> Message:
    return read(_rest(span, 0x32), GRAPH, "GraphProto")


READERS = {
    1: _float,
    2: _int,
    3: lambda span: bytes(_rest(span, 0x22).view()),
    4: lambda span: _tensor(_rest(span, 0x2A)),
    5: _inner,
    6: _floats,
    7: _ints,
    8: _strings,
}
"""AttributeProto.type → the reader of a value of that type."""


def parse(data: bytes) -> Message:
    """Return the model in `data` by names of fields; raises `Refused` for what is not ONNX as Isoform writes it."""
    try:
        return read(Span(data, 0, len(data)), MODEL, "ModelProto")
    except RecursionError:
        raise Refused("nests graphs in graphs in graphs") from None
