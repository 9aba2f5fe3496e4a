"""How a good file becomes a bad one: blind edits of its bytes, and edits that know what the bytes mean.

Hypothesis draws the edits, so that a file that breaks something is shrunk to the smallest edit that does. An edit that knows
the format leaves the rest of the file valid (lengths, checksums and offsets are written anew), so it comes past the reader's
first look. Everything here turns bytes into bytes.
"""

import io
import json
import pickletools
import struct
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]
Edit = Callable[[Draw, bytes], bytes]

NUMBERS = (0, 1, -1, 127, 255, 256, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 10**15)
"""What a field is set to, in two's complement and cut to the field's width."""
VALUES: tuple[Any, ...] = (
    *NUMBERS,
    2**70,
    0.5,
    -1e308,
    None,
    True,
    "",
    "x",
    "../x",
    "\ud800",
    "a\0b",
    "9" * 50,
    [],
    {},
    [[]],
    [0],
)
"""What a value of JSON is set to."""


def payload(canary: str) -> tuple[bytes, ...]:
    """Return opcodes to put into a pickle: calls that would write the canary, and what pickles are built from."""
    call = f"cos\nsystem\n(S'touch {canary}'\ntR".encode()
    stacked = b"\x8c\x02os\x8c\x06system\x93\x8c" + bytes([len(canary) + 6]) + f"touch {canary}".encode() + b"\x85R"
    instance = f"(S'touch {canary}'\nios\nsystem\n".encode()
    parts = b"( ) } ] . 0 1 2 N R b a e s u t o Q \x81 \x85 \x86 \x87 \x88 \x89 \x8f \x90 \x91 \x92 \x93 \x94 \x97 \x98"
    small = (b"h\x00", b"h\x05", b"q\x00", b"K\x00", b"J\xff\xff\xff\xff", b"\x82\x01", b"\x80\x05", b"cbuiltins\neval\n")
    huge = (
        b"\x8e" + b"\xff" * 8,
        b"T\xff\xff\xff\x7f",
        b"\x96\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"r\xff\xff\xff\x7f",
        b"\x8a\xff",
    )
    return (call, stacked, instance, *parts.split(b" "), *small, *huge, b"\x95" + b"\xff" * 8)


# Blind edits


def at(draw: Draw, data: bytes) -> int:
    """Draw a position in `data`, its end included."""
    return int(draw(st.integers(0, len(data))))


def part(draw: Draw, data: bytes, most: int = 64) -> tuple[int, int]:
    """Draw a short range of `data`."""
    start = at(draw, data)
    return start, min(len(data), start + draw(st.integers(1, most)))


def flip(draw: Draw, data: bytes) -> bytes:
    """Flip one bit."""
    position = min(at(draw, data), len(data) - 1)
    return data[:position] + bytes([data[position] ^ 1 << draw(st.integers(0, 7))]) + data[position + 1 :] if data else data


def overwrite(draw: Draw, data: bytes) -> bytes:
    """Write other bytes over some."""
    start, new = at(draw, data), draw(st.binary(min_size=1, max_size=8))
    return data[:start] + new + data[start + len(new) :]


def insert(draw: Draw, data: bytes) -> bytes:
    """Insert bytes."""
    start = at(draw, data)
    return data[:start] + draw(st.binary(min_size=1, max_size=16)) + data[start:]


def delete(draw: Draw, data: bytes) -> bytes:
    """Remove bytes."""
    start, end = part(draw, data)
    return data[:start] + data[end:]


def cut(draw: Draw, data: bytes) -> bytes:
    """Keep the beginning."""
    return data[: at(draw, data)]


def duplicate(draw: Draw, data: bytes) -> bytes:
    """Repeat a block, here or elsewhere."""
    start, end = part(draw, data)
    place = draw(st.just(end) | st.integers(0, len(data)))
    return data[:place] + data[start:end] * draw(st.sampled_from([1, 2, 50])) + data[place:]


def reorder(draw: Draw, data: bytes) -> bytes:
    """Swap two blocks."""
    a, b, c = sorted((at(draw, data), at(draw, data), at(draw, data)))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def set_integer(draw: Draw, data: bytes) -> bytes:
    """Set an integer field to a value at the edge of its range, or off by one."""
    width, order = draw(st.sampled_from([1, 2, 4, 8])), draw(st.sampled_from(["little", "big"]))
    start = draw(st.integers(0, max(0, len(data) - width)))
    now = int.from_bytes(data[start : start + width], order)
    value = draw(st.sampled_from((now - 1, now + 1, *NUMBERS)))
    return data[:start] + (value % (1 << 8 * width)).to_bytes(width, order) + data[start + width :]


BLIND: tuple[Edit, ...] = (flip, overwrite, insert, delete, cut, duplicate, reorder, set_integer)


def splice(donors: Sequence[bytes]) -> Edit:
    """Return an edit that puts a part of another file, or the rest of one, in the place of some of this one."""

    def edit(draw: Draw, data: bytes) -> bytes:
        donor = draw(st.sampled_from(donors))
        start, (a, b) = at(draw, data), part(draw, donor, most=len(donor))
        return data[:start] + donor[a:b] + draw(st.sampled_from([data[start:], b""]))

    return edit


# Pickle


def opcodes(data: bytes) -> list[bytes]:
    """Return the opcodes of a pickle with their arguments; what cannot be read is one part at the end."""
    starts = []
    try:
        for _, _, position in pickletools.genops(data):
            starts.append(position)
    except Exception:  # joblib's arrays stand raw in the stream; pickletools raises what it likes
        pass
    starts = starts or [0]
    return [data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True)]


def edit_list(draw: Draw, parts: list[Any], new: Sequence[Any]) -> list[Any]:
    """Swap, repeat, remove or insert an element."""
    i, j = (draw(st.integers(0, len(parts) - 1)) for _ in range(2))
    how = draw(st.sampled_from(["swap", "repeat", "remove", "insert", "move"]))
    edited = list(parts)
    if how == "swap":
        edited[i], edited[j] = edited[j], edited[i]
    elif how == "repeat":
        edited.insert(j, edited[i])
    elif how == "remove":
        del edited[i]
    elif how == "move":
        edited.insert(j, edited.pop(i))
    else:
        edited.insert(i, draw(st.sampled_from(new)))
    return edited


def edit_pickle(new: Sequence[bytes]) -> Edit:
    """Return an edit of a pickle's opcodes; `new` are those that may be inserted."""

    def edit(draw: Draw, data: bytes) -> bytes:
        parts = opcodes(data)
        how = draw(st.sampled_from(["opcodes", "argument"]))
        if how == "opcodes":
            return b"".join(edit_list(draw, parts, new))
        i = draw(st.integers(0, len(parts) - 1))
        parts[i] = parts[i][:1] + draw(st.sampled_from([flip, overwrite, set_integer]))(draw, parts[i][1:] or b"\0")
        return b"".join(parts)

    return edit


# Zip, as torch.save writes it


def edit_zip(inner: Edit) -> Edit:
    """Return an edit of a zip's entries: names, order, contents, always with the checksums and offsets that fit."""

    def edit(draw: Draw, data: bytes) -> bytes:
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
        except Exception:  # an earlier edit has spoilt it
            return flip(draw, data)
        i = draw(st.integers(0, max(0, len(entries) - 1)))
        how = draw(st.sampled_from(["pickle", "content", "entries", "name"])) if entries else ""
        if how == "pickle":
            entries = [(name, inner(draw, content) if name.endswith("data.pkl") else content) for name, content in entries]
        elif how == "content":
            entries[i] = (entries[i][0], draw(st.sampled_from(BLIND))(draw, entries[i][1]))
        elif how == "entries":
            folder = entries[0][0].partition("/")[0]
            entries = edit_list(draw, entries, [("data.pkl", b"N."), (f"{folder}/x.pkl", b"N."), (f"{folder}/data/0", b"")])
        elif how == "name":
            name = draw(st.sampled_from([entries[0][0], "", "../x", "x/data.pkl", entries[i][0].upper(), entries[i][0] + "/"]))
            entries[i] = (name, entries[i][1])
        return zipped(entries)

    return edit


def zipped(entries: Sequence[tuple[str, bytes]]) -> bytes:
    """Return an uncompressed zip; names may stand twice."""
    body, directory = b"", b""
    for name, content in entries:
        title = name.encode()
        fields = struct.pack("<HHHHLLLHH", 0, 0, 0, 0, zipfile.crc32(content), len(content), len(content), len(title), 0)
        directory += b"PK\1\2\0\0\0\0" + fields + struct.pack("<HHHLL", 0, 0, 0, 0, len(body)) + title
        body += b"PK\3\4\0\0" + fields + title + content
    end = struct.pack("<HHHHLLH", 0, 0, len(entries), len(entries), len(directory), len(body), 0)
    return body + directory + b"PK\5\6" + end


# JSON, and the header of safetensors


def edit_value(draw: Draw, value: Any) -> Any:
    """Walk down to a place of a JSON value and change what stands there."""
    if isinstance(value, dict | list) and value and draw(st.integers(0, 7)):
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = draw(st.sampled_from(keys))
        how = draw(st.sampled_from(["down"] * 8 + ["remove", "rename", "repeat"]))
        edited = dict(value) if isinstance(value, dict) else list(value)
        if how == "remove":
            del edited[key]
        elif how == "rename" and isinstance(edited, dict):
            edited[draw(st.sampled_from(["", "x", "__metadata__", "onnx", "\ud800", *keys]))] = edited.pop(key)
        elif how == "repeat" and isinstance(edited, list):
            edited = [*edited, edited[key]] * draw(st.sampled_from([1, 1000]))
        else:
            edited[key] = edit_value(draw, value[key])
        return edited
    near = [value + 1, value - 1, -value, float(value), str(value)] if type(value) in (int, float) else []
    return draw(st.sampled_from([*near, *VALUES]))


def edit_json(draw: Draw, data: bytes) -> bytes:
    """Change a value or a key of a JSON document, or repeat a line of it."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return flip(draw, data)
    if not draw(st.integers(0, 7)):
        lines = data.splitlines(keepends=True)
        return b"".join(edit_list(draw, lines, [b'"x": 1,\n', b"NaN,\n", b"[" * 5000, b"\xef\xbb\xbf", b"1e999,\n"]))
    return json.dumps(edit_value(draw, document)).encode()


def edit_safetensors(draw: Draw, data: bytes) -> bytes:
    """Change the header of a safetensors file, and its length to what fits or nearly so."""
    (size,) = struct.unpack("<Q", data[:8].ljust(8, b"\0"))
    header, tensors = data[8 : 8 + size], data[8 + size :]
    header = draw(st.sampled_from([edit_json, edit_json, edit_json, *BLIND]))(draw, header)
    off = draw(st.sampled_from([0] * 12 + [-1, 1, 8, -8]))
    return struct.pack("<Q", max(0, len(header) + off)) + header + tensors


# Protobuf, as ONNX is


Fields = list[tuple[int, int, Any]]
"""Number, wire type, and an integer, bytes or the `Fields` of a message."""
DEPTH = 8


def varint(value: int) -> bytes:
    """Return an unsigned integer as protobuf writes it."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the integer at `position` and where it ends; raises `IndexError` at the end of `data`."""
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return value, position


def fields(data: bytes, depth: int = 0) -> Fields | None:
    """Return the fields of a message, or None for bytes that are none."""
    found: Fields = []
    position = 0
    try:
        while position < len(data):
            key, position = read_varint(data, position)
            number, wire = key >> 3, key & 7
            if not 0 < number < 1000 or wire not in (0, 1, 2, 5):
                return None
            size = {0: 0, 1: 8, 5: 4}.get(wire, 0)
            value: Any = 0
            if wire in (0, 2):
                value, position = read_varint(data, position)
            if wire == 2:
                size, value = value, b""
            if wire != 0:
                value = data[position : position + size]
                if len(value) < size:
                    return None
                position += size
            if wire == 2 and depth < DEPTH and value:
                value = fields(value, depth + 1) or value
            found.append((number, wire, value))
    except IndexError:
        return None
    return found


def message(found: Fields) -> bytes:
    """Return the bytes of a message; lengths always fit."""
    data = b""
    for number, wire, value in found:
        data += varint(number << 3 | wire)
        if wire == 0:
            data += varint(value)
        else:
            content = message(value) if isinstance(value, list) else value
            data += (varint(len(content)) if wire == 2 else b"") + content
    return data


def edit_fields(draw: Draw, found: Fields, new: Fields) -> Fields:
    """Walk down to a field of a message and change it, or the list of fields it stands in."""
    if not found:
        return [draw(st.sampled_from(new))]
    i = draw(st.integers(0, len(found) - 1))
    number, wire, value = found[i]
    if isinstance(value, list) and draw(st.integers(0, 5)):
        return [*found[:i], (number, wire, edit_fields(draw, value, new)), *found[i + 1 :]]
    how = draw(st.sampled_from(["value", "value", "number", "list"]))
    if how == "list":
        return edit_list(draw, found, new)
    if how == "number":
        number = draw(st.sampled_from([number - 1 or 1, number + 1, 1, 2, 3, 5, 7, 8, 13, 14, 15]))
    elif wire == 0:
        value = draw(st.sampled_from([value + 1, max(0, value - 1), *(edge % 2**64 for edge in NUMBERS)]))
    else:
        content = message(value) if isinstance(value, list) else value
        edited = draw(st.sampled_from(BLIND))(draw, content)
        value = edited if wire == 2 else edited[: len(content)].ljust(len(content), b"\0")
    return [*found[:i], (number, wire, value), *found[i + 1 :]]


EXTERNAL: Fields = [
    (14, 0, 1),
    (13, 2, [(1, 2, b"location"), (2, 2, b"../canary")]),
    (13, 2, [(1, 2, b"length"), (2, 2, b"9" * 15)]),
]
"""Fields of a tensor that lies in another file."""
NEW_FIELDS: Fields = [
    *EXTERNAL,
    (1, 0, 2**40),
    (4, 2, b"Loop"),
    (4, 2, b"Scan"),
    (7, 2, b"ai.none"),
    (8, 2, [(2, 0, 999)]),
    (3, 0, 7),
]


def edit_protobuf(draw: Draw, data: bytes) -> bytes:
    """Change a field of a protobuf message at any depth."""
    found = fields(data)
    return message(edit_fields(draw, found, NEW_FIELDS)) if found else flip(draw, data)


# All together


def edits_of(format: str, canary: str) -> Edit:
    """Return the edit that knows the format, or the document."""
    pickled = edit_pickle(payload(canary))
    known: dict[str, Edit] = {"joblib": pickled, "pickle": pickled, "safetensors": edit_safetensors, "onnx": edit_protobuf}
    known |= dict.fromkeys(("state_dict", "checkpoint", "full_model"), edit_zip(pickled))
    return known.get(format, edit_json)


class Bad(bytes):
    """A bad file, told by its size: Hypothesis would show every byte."""

    def __repr__(self) -> str:
        return f"{len(self)} bytes"


@st.composite
def mutated(draw: Draw, format: str, good: bytes, donors: Sequence[bytes], canary: str) -> Bad:
    """Draw a bad file: one to four edits of the good one, those that know the format first."""
    knowing, blind = edits_of(format, canary), [*BLIND, splice(donors)]
    aware = draw(st.integers(0, 2))
    bad = good
    for _ in range(aware):
        bad = knowing(draw, bad)
    for _ in range(draw(st.integers(0 if aware else 1, 2))):
        bad = draw(st.sampled_from(blind))(draw, bad)
    return Bad(bad)
