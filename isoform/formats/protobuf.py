"""Read protobuf's wire format strictly: every byte belongs to a field that a schema names, and no field stands twice.

Readers differ in what they make of the rest (a message given twice is merged, an unknown field skipped, and the parser behind
a policy may see another file than the policy did), so there is no rest. Nothing is copied but names: data stays a `Span`.

A schema maps each tag, a field's number and wire type, to its name, whether it repeats, and the function that reads its value.
"""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple

from isoform.errors import Refused

VARINT, BYTES = 0, 2
"""Wire types. The files that Isoform writes have no others, except for the numbers in an attribute."""
MAX_VARINT_BYTES = 10
NOT_UTF8 = (UnicodeDecodeError,)
"""What Python raises for a name that is no text."""
MAX_REPEATS = 100_000
"""How many values all fields that repeat may have in a file: nodes, their inputs, their attributes. In memory an attribute
takes up to a hundred times its bytes. The largest of some 100 exports has 2,100."""
REPEATS: ContextVar[int] = ContextVar("REPEATS")
"""How many there were so far; set to 0 before a file is read."""

Message = dict[str, Any]
"""A message by names of fields: a value, or a list of values for a field that repeats."""


class Span(NamedTuple):
    """A part of the file, [start, end)."""

    data: bytes
    start: int
    end: int

    def view(self) -> memoryview:
        """Return its bytes, not copied."""
        return memoryview(self.data)[self.start : self.end]

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.end - self.start


Read = Callable[[Span], Any]
Schema = Mapping[int, tuple[str, bool, Read | None]]
"""Tag → name, whether it repeats, and the reader of its bytes; None for a varint."""


def one(number: int, name: str, read: Read | None = None) -> tuple[int, tuple[str, bool, Read | None]]:
    """Return the entry of a schema for a field that stands once at most."""
    return number << 3 | (VARINT if read is None else BYTES), (name, False, read)


def many(number: int, name: str, read: Read | None = None) -> tuple[int, tuple[str, bool, Read | None]]:
    """Return the entry of a schema for a field that may repeat."""
    return number << 3 | (VARINT if read is None else BYTES), (name, True, read)


def text(span: Span) -> str:
    """Read a string."""
    try:
        return span.data[span.start : span.end].decode()
    except NOT_UTF8:
        raise Refused("is not ONNX: a name in it is no UTF-8") from None


def raw(span: Span) -> Span:
    """Leave a field's bytes as they are."""
    return span


def read(span: Span, schema: Schema, kind: str) -> Message:
    """Return the fields of the message of a `kind` that fills `span`; raises `Refused`."""
    data, at, end = span
    found: Message = {}
    while at < end:
        tag, at = (data[at], at + 1) if data[at] < 0x80 else varint(data, at, end)
        entry = schema.get(tag)
        if entry is None:
            refuse_unknown_field(kind, tag)
            return found
        name, repeats, reader = entry
        size, at = (data[at], at + 1) if at < end and data[at] < 0x80 else varint(data, at, end)
        value: Any = size
        if reader is not None:
            refuse_overrun(kind, at + size, end)
            value = reader(Span(data, at, min(at + size, end)))
            at += size
        if not repeats:
            if name in found:
                refuse_second_value(kind, name)
            found[name] = value
        else:
            found.setdefault(name, []).append(value)
            REPEATS.set(REPEATS.get() + 1)
            refuse_many(REPEATS.get())
    return found


def varint(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return the unsigned integer at `at` and where it ends; raises `Refused` when it is cut or too long."""
    last, limit = at, min(at + MAX_VARINT_BYTES, end)
    while last < limit and data[last] >= 0x80:
        last += 1
    refuse_endless(last, limit)
    value = 0
    for position in range(last, at - 1, -1):
        value = value << 7 | data[position] & 0x7F
    return value, last + 1


def signed(value: int) -> int:
    """Return the int64 that a varint stands for."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def refuse_endless(last: int, limit: int) -> None:
    """Raise `Refused` for a number whose last byte is not before the end of what holds it, or not among the first ten."""
    if last >= limit:
        raise Refused("is not ONNX: it ends, or a number in it does not")


def refuse_unknown_field(kind: str, tag: int) -> None:
    """Raise `Refused` for a field that no export has."""
    raise Refused(f"is not ONNX as Isoform writes it: field {tag >> 3}, wire type {tag & 7}, of a {kind} is not known")


def refuse_overrun(kind: str, stop: int, end: int) -> None:
    """Raise `Refused` for a field that is longer than what holds it."""
    if stop > end:
        raise Refused(f"is cut: a field of a {kind} ends {stop - end} bytes beyond it")


def refuse_second_value(kind: str, name: str) -> None:
    """Raise `Refused` for a second value, which some readers put in the place of the first and some merge with it."""
    raise Refused(f"gives '{name}' of a {kind} twice")


def refuse_many(count: int) -> None:
    """Raise `Refused` for more values than any export has."""
    if count > MAX_REPEATS:
        raise Refused(f"has more than {MAX_REPEATS} nodes, attributes and other parts")
