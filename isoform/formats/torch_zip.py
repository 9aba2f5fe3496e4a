"""The zip file that torch.save writes, read strictly before torch opens it.

torch finds the entries in the directory at the end and believes it: it compares no CRC and no local header, and takes
whatever else is in the file. Here the file must be nothing but torch's entries, stored, one after the other, each as the
directory says. Files of 4 GiB and more, whose sizes stand elsewhere, are not read.
"""

import re
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from isoform.errors import Refused

LOCAL = struct.Struct("<4s5H3L2H")
DESCRIPTOR = struct.Struct("<4s3L")
CENTRAL = struct.Struct("<4s6H3L5H2L")
TAIL = struct.Struct("<4sQ2H2L4Q 4sLQL 4s4H2LH")
"""The zip64 end of the directory, its locator, and the end of the directory: torch always writes all three."""

STREAMED, UTF8 = 0x0008, 0x0800
"""Flags of an entry: its CRC and sizes follow its content; its name is UTF-8."""

CONTENT = {
    "data.pkl": b".+",
    ".format_version": b"1",
    ".storage_alignment": b"64",
    "byteorder": b"little",
    "version": b"3\n",
    ".data/serialization_id": b"[0-9]{40}",
}
"""What torch.save writes beside the storages: name → pattern of the content."""
REQUIRED = {"data.pkl", "byteorder", "version"}
STORAGE = r"data/(0|[1-9][0-9]{0,8})"

OTHER_FILES = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.": "a stack of pickles, as torch.save wrote before 1.6",
    b"\x80": "a bare pickle",
    b"\x1f\x8b": "compressed with gzip",
}
"""First bytes of what torch, or a reader of pickles, would open too."""


@dataclass(frozen=True)
class Entry:
    """A line of the directory."""

    name: bytes
    offset: int
    size: int
    stored_size: int
    crc: int
    method: int
    flags: int
    extra: bytes


def entries(data: bytes) -> dict[str, memoryview]:
    """Return the content of each entry by its name below the top folder, in the file's order.

    Raises `Refused` for what torch.save does not write.
    """
    refuse_other_files(data)
    refuse_other_tail(data)
    start, directory = read_directory(data)
    refuse_torchscript(directory)
    refuse_duplicate_names(directory)
    refuse_compression(directory)
    contents, at = {}, 0
    for entry in directory:
        refuse_gap(entry.name, at, entry.offset)
        content, at = read_entry(data, entry, start)
        contents[entry.name.decode("latin-1")] = content
    refuse_gap(b"its directory", at, start)
    refuse_other_entries(contents)
    below = {name.partition("/")[2]: content for name, content in contents.items()}
    refuse_other_values(below)
    return below


def read_directory(data: bytes) -> tuple[int, list[Entry]]:
    """Return the offset of the directory and its entries."""
    *_, count, size, start, _ = TAIL.unpack(data[-TAIL.size :])
    found, at, end = [], start, start + size
    while at + CENTRAL.size <= end:
        signature, _, _, flags, method, _, _, crc, stored, size, name, extra, comment, _, _, _, offset = CENTRAL.unpack_from(
            data, at
        )
        at += CENTRAL.size
        found.append(
            Entry(data[at : at + name], offset, size, stored, crc, method, flags, data[at + name : at + name + extra + comment])
        )
        at += name + extra + comment
        refuse_other_signature(signature, b"PK\1\2")
    refuse_gap(b"the end of its directory", at, end)
    refuse_other_count(len(found), count)
    return start, found


def read_entry(data: bytes, entry: Entry, end: int) -> tuple[memoryview, int]:
    """Return the content of an entry, which lies before `end`, and where the next begins."""
    signature, _, flags, method, _, _, crc, stored, size, name_size, extra_size = LOCAL.unpack_from(data, entry.offset)
    refuse_other_signature(signature, b"PK\3\4")
    at = entry.offset + LOCAL.size
    name, padding = data[at : at + name_size], data[at + name_size : at + name_size + extra_size]
    at += name_size + extra_size
    refuse_beyond_end(entry, at, end)
    content = memoryview(data)[at : at + entry.size]
    at += entry.size
    if flags & STREAMED:
        signature, crc, stored, size = DESCRIPTOR.unpack_from(data, at)
        refuse_other_signature(signature, b"PK\7\x08")
        at += DESCRIPTOR.size
    refuse_other_header(entry, name, (flags, method, crc, stored, size), padding)
    refuse_bad_crc(entry, content)
    return content, at


# Each guard is a function of its own: tests/faults takes them out one at a time and watches its test turn red.


def refuse_other_files(data: bytes) -> None:
    """Refuse what torch or a reader of pickles would open as something else than a zip."""
    if data[257:262] == b"ustar":
        raise Refused("is a tar archive, as torch.save wrote before 0.2")
    for magic, what in OTHER_FILES.items():
        if data.startswith(magic):
            raise Refused(f"is {what}")


def refuse_other_tail(data: bytes) -> None:
    """Refuse a file that does not end with its directory: cut, or with something behind it."""
    ok = data.startswith(b"PK\3\4") and len(data) > TAIL.size
    if ok:
        (magic64, rest, _, _, a, b, n1, n2, size, start, locator, c, at, disks, magic, d, e, n3, n4, size_, start_, comment) = (
            TAIL.unpack(data[-TAIL.size :])
        )
        ok = (magic64, locator, magic) == (b"PK\6\6", b"PK\6\7", b"PK\5\6") and (rest, disks) == (44, 1)
        ok &= not any((a, b, c, d, e, comment)) and n1 == n2 == n3 == n4 and (size, start) == (size_, start_)
        ok &= start + size == at == len(data) - TAIL.size
    if not ok:
        raise Refused("does not begin and end as a zip of torch.save")


def refuse_other_signature(found: bytes, expected: bytes) -> None:
    """Refuse a part of the zip that does not begin as it must."""
    if found != expected:
        raise Refused(f"has {found!r} in its zip where {expected!r} must be")


def refuse_other_count(found: int, said: int) -> None:
    """Refuse a directory of more or fewer entries than it says: a reader that counts sees others."""
    if found != said:
        raise Refused(f"lists {found} entries in its directory and counts {said}")


def refuse_duplicate_names(directory: Iterable[Entry]) -> None:
    """Refuse two entries of one name: which of them is read depends on the reader."""
    seen: set[bytes] = set()
    for entry in directory:
        if entry.name in seen:
            raise Refused(f"names the entry {shown(entry.name)} twice")
        seen.add(entry.name)


def refuse_compression(directory: Iterable[Entry]) -> None:
    """Refuse what is not stored as it is: it could unpack to any size."""
    for entry in directory:
        if entry.method != 0 or entry.size != entry.stored_size:
            raise Refused(f"compresses the entry {shown(entry.name)}")


def refuse_gap(name: bytes, end: int, begin: int) -> None:
    """Refuse bytes that belong to no entry, or to two."""
    if begin > end:
        raise Refused(f"has {begin - end} bytes before {shown(name)} that belong to no entry")
    if begin < end:
        raise Refused(f"has {end - begin} bytes before {shown(name)} that belong to two entries")


def refuse_beyond_end(entry: Entry, begin: int, end: int) -> None:
    """Refuse an entry that reaches into the directory or beyond the file."""
    if begin + entry.size > end:
        raise Refused(f"says that {shown(entry.name)} holds {entry.size} bytes, {max(0, end - begin)} are left")


def refuse_other_header(entry: Entry, name: bytes, said: tuple[int, ...], padding: bytes) -> None:
    """Refuse an entry that is not called, or not as long, as the directory says."""
    if name != entry.name:
        raise Refused(f"calls an entry {shown(entry.name)} in its directory and {shown(name)} in its place")
    if entry.flags & ~(STREAMED | UTF8):
        raise Refused(f"encrypts or patches the entry {shown(name)}")
    if said != (entry.flags, entry.method, entry.crc, entry.stored_size, entry.size):
        raise Refused(f"describes the entry {shown(name)} in its directory otherwise than in its place")
    if entry.extra or padding[:2] not in (b"", b"FB") or padding[4:].strip(b"Z"):
        raise Refused(f"hides bytes beside the entry {shown(name)}")


def refuse_bad_crc(entry: Entry, content: memoryview) -> None:
    """Refuse content that is not what was written: torch reads it without a word."""
    if zlib.crc32(content) != entry.crc:
        raise Refused(f"the CRC of its entry {shown(entry.name)} is wrong")


def refuse_torchscript(directory: Iterable[Entry]) -> None:
    """Refuse a TorchScript archive, which holds a program."""
    if any(entry.name.partition(b"/")[2].startswith((b"constants.pkl", b"code/")) for entry in directory):
        raise Refused("is TorchScript, which holds a program")


def refuse_other_entries(names: Iterable[str]) -> None:
    """Refuse entries that torch.save does not write, and miss none that it does."""
    folders, found = set(), set()
    for name in names:
        folder, _, rest = name.partition("/")
        if rest not in CONTENT and not re.fullmatch(STORAGE, rest):
            raise Refused(f"holds {name[:80]!r}, which torch.save does not write")
        folders.add(folder)
        found.add(rest)
    if len(folders) > 1:
        raise Refused(f"has {len(folders)} top folders: {', '.join(sorted(folders))[:80]}")
    for name in sorted(REQUIRED - found):
        raise Refused(f"has no entry {name!r}")


def refuse_other_values(contents: dict[str, memoryview]) -> None:
    """Refuse another version, byte order or alignment than torch writes here."""
    for name, pattern in CONTENT.items():
        if name in contents and not re.fullmatch(pattern, contents[name], re.DOTALL):
            raise Refused(f"its entry {name!r} holds {bytes(contents[name][:40])!r}")


def shown(name: bytes) -> str:
    """Return a name for people."""
    return repr(name[:80].decode("latin-1"))


def storage_sizes(contents: dict[str, memoryview]) -> dict[str, int]:
    """Return the bytes of each storage by key."""
    return {name.removeprefix("data/"): len(content) for name, content in contents.items() if name not in CONTENT}
