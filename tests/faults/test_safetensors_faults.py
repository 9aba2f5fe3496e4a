"""Faults 32 to 42, and what else can be in a safetensors file."""

import json
import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import both
from harness import Child, Fault, Site, problems
from torch_files import payload

Entry = dict[str, Any]
Header = dict[str, Entry]
Made = tuple[int, str, Callable[[Site], bytes], str, str]
FILL, FIRST = "features.normalize.fill", "features.embeddings.0.weight"
HEADER, WEIGHTS = "isoform.formats.safetensors_header:", "isoform.weights:"


def parts(data: bytes) -> tuple[Header, bytes]:
    """Return header and numbers of a file."""
    (length,) = struct.unpack_from("<Q", data)
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def whole(header: Header | bytes, body: bytes) -> bytes:
    """Return the file of these."""
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + body


def length(claimed: Callable[[Site], int]) -> Callable[[Site], bytes]:
    """Return a maker of the good file whose first bytes claim another length of the header."""
    return lambda site: struct.pack("<Q", claimed(site)) + site.good[8:]


def header(change: Callable[[Header], object], more: bytes = b"") -> Callable[[Site], bytes]:
    """Return a maker of the good file with its header changed and bytes behind it."""

    def make(site: Site) -> bytes:
        entries, body = parts(site.good)
        change(entries)
        return whole(entries, body + more)

    return make


def text(change: Callable[[bytes], bytes]) -> Callable[[Site], bytes]:
    """Return a maker of the good file with the text of its header changed."""

    def make(site: Site) -> bytes:
        (size,) = struct.unpack_from("<Q", site.good)
        return whole(change(site.good[8 : 8 + size].rstrip()), site.good[8 + size :])

    return make


def overlap(entries: Header) -> None:
    """Give two tensors of one size the same bytes."""
    entries["features.normalize.mean"]["data_offsets"] = entries[FILL]["data_offsets"]


def hole(site: Site) -> bytes:
    """Hide a pickle that runs a command between two tensors."""
    entries, body = parts(site.good)
    hidden, at = payload(site), entries[FILL]["data_offsets"][0]
    for name, entry in entries.items():
        if name != "__metadata__" and entry["data_offsets"][0] >= at:
            entry["data_offsets"] = [offset + len(hidden) for offset in entry["data_offsets"]]
    return whole(entries, body[:at] + hidden + body[at:])


def duplicate(header: bytes) -> bytes:
    """Name a tensor twice, alike: safetensors takes it."""
    entry = json.dumps(json.loads(header)[FILL])
    return header[:-1] + f',"{FILL}":{entry}}}'.encode()


def number(value: float) -> Callable[[Site], bytes]:
    """Return a maker of the good file with one weight replaced."""

    def make(site: Site) -> bytes:
        entries, body = parts(site.good)
        at = entries[FILL]["data_offsets"][0]
        return whole(entries, body[:at] + np.float32(value).tobytes() + body[at + 4 :])

    return make


def many(count: int) -> Callable[[Header], object]:
    """Return what adds tensors of no numbers, which take no bytes."""
    return lambda entries: entries.update({f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(count)})


def rename(entries: Header) -> None:
    entries["renamed"] = entries.pop(FILL)


def drop(site: Site) -> bytes:
    """Take out a tensor and its bytes."""
    entries, body = parts(site.good)
    begin, end = entries.pop(FILL)["data_offsets"]
    for name, entry in entries.items():
        if name != "__metadata__" and entry["data_offsets"][0] >= end:
            entry["data_offsets"] = [offset - (end - begin) for offset in entry["data_offsets"]]
    return whole(entries, body[:begin] + body[end:])


def entry(**changes: Any) -> Callable[[Site], bytes]:
    """Return a maker of the good file with one tensor's entry changed."""
    return header(lambda entries: entries[FILL].update(changes))


def metadata(**content: Any) -> Callable[[Site], bytes]:
    """Return a maker of the good file with other metadata."""
    return header(lambda entries: entries.update(__metadata__=content))


MADE: list[Made] = [
    (19, "a pickle named safetensors", payload, r"^is a pickle, not safetensors$", "isoform.loading:refuse_pickle"),
    (
        32,
        "header length 2^63",
        length(lambda site: 1 << 63),
        "says that its header has 9223372036854775808",
        HEADER + "refuse_beyond_end",
    ),
    (
        33,
        "length beyond the file",
        length(lambda site: len(site.good) - 7),
        r"says that its header has (\d+) bytes, and \d+ follow",
        HEADER + "refuse_beyond_end",
    ),
    (33, "no room for a header", lambda site: site.good[:9], "holds 9 bytes, fewer than a header", HEADER + "refuse_short"),
    (34, "overlap", header(overlap), "overlaps the one before by 16 bytes", HEADER + "refuse_gaps"),
    (35, "a hole", hole, f"has a hole of .* bytes before its tensor '{FILL}'", HEADER + "refuse_gaps"),
    (
        35,
        "bytes behind the tensors",
        lambda site: site.good + payload(site),
        r"take \d+ bytes, and \d+ follow",
        HEADER + "refuse_gaps",
    ),
    (
        36,
        "a dtype lie",
        entry(dtype="F64"),
        r"F64 \[4\], takes 32 bytes, and its data_offsets give it 16",
        HEADER + "refuse_other_size",
    ),
    (
        36,
        "a shape lie",
        entry(shape=[3]),
        r"F32 \[3\], takes 12 bytes, and its data_offsets give it 16",
        HEADER + "refuse_other_size",
    ),
    (36, "another dtype", entry(dtype="I32"), r"is int32 \[4\], the network's is float32 \[4\]", WEIGHTS + "refuse_other_shapes"),
    (36, "another shape", entry(shape=[2, 2]), r"is float32 \[2, 2\], the network's", WEIGHTS + "refuse_other_shapes"),
    (36, "an unknown dtype", entry(dtype="F8_E5M2"), "has the dtype 'F8_E5M2'", HEADER + "refuse_other_entry"),
    (
        36,
        "no dtype",
        header(lambda entries: entries[FILL].pop("dtype")),
        "is not described by dtype",
        HEADER + "refuse_other_entry",
    ),
    (36, "a shape of -1", entry(shape=[-1, -4]), "shape or data_offsets that are no sizes", HEADER + "refuse_other_entry"),
    (
        37,
        "a shape that overflows to nothing",
        header(lambda entries: entries.update(x={"dtype": "F32", "shape": [2**32, 2**32], "data_offsets": [0, 0]})),
        r"shape \[4294967296, 4294967296\], more numbers than the file",
        HEADER + "refuse_overflow",
    ),
    (38, "a duplicate key", text(duplicate), f"names '{FILL}' twice in its header", HEADER + "refuse_duplicate_keys"),
    (
        39,
        "deep JSON",
        text(lambda header: b"[" * 500_000 + b"]" * 500_000),
        "nests its JSON deeper than 8",
        HEADER + "refuse_deep",
    ),
    (
        39,
        "deep JSON in the metadata",
        metadata(isoform="[" * 500_000 + "]" * 500_000),
        "nests its JSON deeper than 8",
        HEADER + "refuse_deep",
    ),
    (39, "a list", text(lambda header: b"[]"), "its header is a list, not an object", HEADER + "refuse_other_document"),
    (40, "200k tensors", header(many(200_000)), r"its header has \d{8} bytes, the limit is 1048576", HEADER + "refuse_long"),
    (40, "15k tensors", header(many(15_000)), "has a tensor 't0' that the network has not", WEIGHTS + "refuse_other_names"),
    *(
        (41, f"a weight of {value}", number(value), f"'{FILL}' holds NaN or infinity", WEIGHTS + "refuse_non_finite")
        for value in (math.nan, math.inf, -math.inf)
    ),
    (42, "a missing tensor", drop, f"lacks the tensor '{FILL}'$", WEIGHTS + "refuse_other_names"),
    (42, "an extra tensor", header(many(1)), "^has a tensor 't0' that the network has not", WEIGHTS + "refuse_other_names"),
    (
        42,
        "a renamed tensor",
        header(rename),
        f"lacks the tensor '{FILL}' and has a tensor 'renamed'",
        WEIGHTS + "refuse_other_names",
    ),
    (
        42,
        "a tied name that is a tensor",
        metadata(isoform=json.dumps({"tied": {FILL: "features.normalize.mean"}})),
        f"ties the name '{FILL}' to 'features.normalize.mean', which",
        HEADER + "refuse_other_ties",
    ),
    (
        42,
        "a name tied to nothing",
        metadata(isoform=json.dumps({"tied": {"x": "y"}})),
        "ties the name 'x'",
        HEADER + "refuse_other_ties",
    ),
    (
        42,
        "another key in the metadata",
        metadata(format="pt"),
        "has other metadata than 'isoform'",
        HEADER + "refuse_other_metadata",
    ),
    (
        42,
        "another metadata",
        metadata(isoform='{"code": "x"}'),
        "has other metadata than 'tied'",
        HEADER + "refuse_other_metadata",
    ),
]
FAULTS = [Fault(number=n, title=t, format="safetensors", make=m, reason=r, guard=g) for n, t, m, r, g in MADE]


test_it_is_held, test_it_is_not_held_without_its_guard = both(FAULTS)


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if "isoform.formats" in fault.guard], ids=str)
def test_inspect_reads_the_header_as_strictly(fault: Fault, child: Child, make_site: Callable[[str], Site]) -> None:
    site = make_site(fault.format)
    site.replace(fault.make(site))
    outcome = child.attempt(site.root, ["inspect", str(site.path)])
    assert not list(problems(outcome, fault.reason, site.path.name))
