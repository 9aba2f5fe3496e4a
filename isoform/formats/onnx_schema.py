"""What of ONNX's messages a model.onnx may have, by the field numbers of onnx.proto; whatever is not here is refused.

Three messages get more than a dictionary: an attribute is read in the one order in which protobuf writes it, which makes
millions of numbers quick to read, and its graph, if it has one, is read like the model's.
"""

import re
from functools import cached_property, partial
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from isoform.errors import Refused
from isoform.formats.protobuf import REPEATS, Message, Span, many, one, raw, read, signed, text, varint

TOO_DEEP = (RecursionError,)
"""What Python raises for graphs in graphs in graphs."""


class Attribute(NamedTuple):
    """A named value of a node."""

    name: str
    type: int
    """AttributeProto.type, see `READERS`."""
    value: Any
    """float, int, bytes, a tensor or a graph as `Message`, `Floats`, `Ints`; of a list of texts their lengths, int64 [L]."""


class Ints:
    """A list of integers, decoded when they are wanted."""

    def __init__(self, fields: np.ndarray) -> None:
        self.fields = fields
        """uint8: tag, varint, tag, varint… Of both only the last byte is below 128."""

    @cached_property
    def values(self) -> np.ndarray:
        """int64 [L]."""
        if len(self.fields) % 2 == 0 and (self.fields[1::2] < 0x80).all():
            return self.fields[1::2].astype(np.int64)
        lasts = np.flatnonzero(self.fields < 0x80)
        ends = lasts[1::2]
        sizes = ends - lasts[::2]
        values = self.fields[ends].astype(np.int64)
        for position in range(1, int(sizes.max(initial=0))):
            earlier = self.fields[ends - position] & np.int64(0x7F)
            values = np.where(sizes > position, values << 7 | earlier, values)
        return values


class Floats(NamedTuple):
    """A list of float32, not copied."""

    fields: np.ndarray
    """uint8: tag, four bytes, tag, four bytes…"""

    def decode(self) -> np.ndarray:
        """Return float32 [L]."""
        return self.fields.reshape(-1, 5)[:, 1:].copy().view("<f4").ravel()

    def is_finite(self) -> bool:
        """Tell whether none is NaN or ±inf: whether in none all bits of the exponent are set."""
        return not ((self.fields[4::5] & 0x7F == 0x7F) & (self.fields[3::5] >= 0x80)).any()


def _attribute(span: Span) -> Attribute:
    """Read name, value and type, once each and in this order."""
    data, start, end = span
    in_order = span.size >= 5 and data[start] == 0x0A and data[end - 3 : end - 1] == b"\xa0\x01"
    refuse_unusual(in_order, "that is not a name, a value and a type, in this order")
    size, start = varint(data, start + 1, end)
    value, kind = Span(data, start + size, end - 3), data[end - 1]
    refuse_unusual(value.size >= 0, "whose name is longer than itself")
    refuse_unusual(kind in READERS, f"of the unknown type {kind}")
    name = text(Span(data, start, start + size))
    return Attribute(name, kind, READERS[kind](value))


def _rest(span: Span, tag: int) -> Span:
    """Return the bytes of the one field, of wire type 2, that fills `span`."""
    refuse_unusual(span.size > 0 and span.data[span.start] == tag, "whose value is not of its type")
    size, start = varint(span.data, span.start + 1, span.end)
    refuse_unusual(start + size == span.end, "with more or less than one value")
    return Span(span.data, start, span.end)


def _float(span: Span) -> float:
    refuse_unusual(span.size == 5, "with more or less than one value")
    return float(_floats(span, tag=0x15).decode()[0])


def _int(span: Span) -> int:
    refuse_unusual(span.size > 0 and span.data[span.start] == 0x18, "whose value is not of its type")
    value, stop = varint(span.data, span.start + 1, span.end)
    refuse_unusual(stop == span.end, "with more or less than one value")
    return signed(value)


def _floats(span: Span, tag: int = 0x3D) -> Floats:
    fields = np.frombuffer(span.view(), np.uint8)
    refuse_unusual(len(fields) % 5 == 0 and bool((fields[::5] == tag).all()), "that holds something else than its floats")
    return Floats(fields)


def _ints(span: Span, tag: int = 0x40) -> Ints:
    """Check that all bytes are tags and varints, in turn. Of each only the last byte is below 128: the odd ones are tags."""
    fields = np.frombuffer(span.view(), np.uint8)
    if len(fields) % 2 == 0 and (fields[::2] == tag).all() and (fields[1::2] < 0x80).all():
        return Ints(fields)  # all of them below 128, as in most lists
    low = fields < 0x80
    inside = np.bitwise_xor.accumulate(low.view(np.uint8)).view(bool)  # from a tag to before the last byte of its varint
    high = ~low
    in_turn = not (inside[-1] or (low & inside & (fields != tag)).any() or (high > inside).any())
    refuse_unusual(in_turn, "that holds something else than its integers")
    is_long = (high[2:] & high[:-2]).any() and re.search(b"[\x80-\xff]{10}", span.view())
    refuse_unusual(not is_long, "that holds an integer of more than 10 bytes")
    return Ints(fields)


def _sizes(span: Span, tag: int = 0x4A) -> np.ndarray:
    """Return the length of each text of a list, int64 [L]; the texts themselves are onnxruntime's to read."""
    fields = np.frombuffer(span.view(), np.uint8)
    tags = np.flatnonzero(fields == tag)  # as many as there are texts, or more
    if len(tags) and tags[-1] < len(fields) - 1:  # when no text holds the tag's letter, each has one length, one byte long
        sizes = fields[tags + 1].astype(np.int64)
        following = np.append(tags[1:], len(fields))
        if not tags[0] and (sizes < 0x80).all() and (tags + 2 + sizes == following).all():
            return sizes
    found, at = [], span.start
    while at < span.end and span.data[at] == tag:
        size, start = varint(span.data, at + 1, span.end)
        at = start + size
        found.append(size)
    refuse_unusual(at == span.end, "that holds something else than its texts")
    return np.array(found, dtype=np.int64)


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
DIMENSION = dict([one(1, "dim_value"), one(2, "dim_param", text)])
SHAPE = dict([many(1, "dim", partial(read, schema=DIMENSION, kind="TensorShapeProto.Dimension"))])
TENSOR_TYPE = dict([one(1, "elem_type"), one(2, "shape", partial(read, schema=SHAPE, kind="TensorShapeProto"))])
TYPE = dict([one(1, "tensor_type", partial(read, schema=TENSOR_TYPE, kind="TypeProto.Tensor"))])
# What onnxruntime makes of the types of a model's inputs and outputs is compared with config.json.
VALUE = dict([one(1, "name", text), one(2, "type", partial(read, schema=TYPE, kind="TypeProto"))])
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
    8: _sizes,
}
"""AttributeProto.type → the reader of a value of that type."""


def parse(data: bytes) -> Message:
    """Return the model in `data` by names of fields; raises `Refused` for what is not ONNX as Isoform writes it."""
    REPEATS.set(0)
    try:
        return read(Span(data, 0, len(data)), MODEL, "ModelProto")
    except TOO_DEEP:
        raise Refused("nests graphs in graphs in graphs") from None


def defined(graph: Message) -> list[str]:
    """Return the names that a graph gives, one for each time that it gives it."""
    values = chain(graph.get("input", ()), graph.get("initializer", ()))
    return [value.get("name", "") for value in values] + [
        name for node in graph.get("node", ()) for name in node.get("output", ())
    ]


def refuse_unusual(good: bool, what: str) -> None:
    """Raise `Refused` for an attribute that onnxruntime may read as another than is read here."""
    if not good:
        raise Refused(f"has an attribute {what}")
