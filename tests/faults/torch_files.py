"""Bad torch files, made from good ones: their zip entry by entry, their pickle, their tensors."""

import io
import os
import pickle
import struct
import sys
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from harness import Site

from isoform.formats import state_dict

Entries = dict[str, bytes]
WRITTEN_LAST = ("version", ".data/serialization_id")
"""What torch's writer adds by itself."""


class Payload:
    """Unpickled, it writes the canary."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"echo sung > {self.canary}",)


def payload(site: Site) -> bytes:
    """Return a pickle that runs a command."""
    return pickle.dumps(Payload(site.canary), protocol=2)


def rewrite(data: bytes, change: Callable[[Entries], object]) -> bytes:
    """Return the file with its entries changed (names below the top folder), all else as torch's own writer makes it."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {info.filename.partition("/")[2]: archive.read(info) for info in archive.infolist()}
    change(entries)
    buffer = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(buffer)
    for name, content in entries.items():
        if name not in WRITTEN_LAST:
            writer.write_record(name, content, len(content))
    writer.write_end_of_file()
    return buffer.getvalue()


def with_entry(name: str, content: Callable[[Site], bytes]) -> Callable[[Site], bytes]:
    """Return a maker of the good file with an entry added or replaced."""
    return lambda site: rewrite(site.good, lambda entries: entries.update({name: content(site)}))


def with_pickle(content: bytes | Callable[[Site], bytes], *, storages: bool = True) -> Callable[[Site], bytes]:
    """Return a maker of the good file with another data.pkl, and without storages if they would be too many."""

    def make(site: Site) -> bytes:
        def change(entries: Entries) -> None:
            entries["data.pkl"] = content if isinstance(content, bytes) else content(site)
            for name in [name for name in entries if name.startswith("data/") and not storages]:
                del entries[name]

        return rewrite(site.good, change)

    return make


def with_state(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Site], bytes]:
    """Return a maker of the good file with its tensors changed; those of a module only in place."""

    def make(site: Site) -> bytes:
        content = torch.load(io.BytesIO(site.good), weights_only=False)
        held = content["model_state_dict"] if site.format == "checkpoint" else content
        with torch.no_grad():
            change(held.state_dict() if site.format == "full_model" else held)
        return state_dict.dump_torch(content)

    return make


def with_content(change: Callable[[Any], object]) -> Callable[[Site], bytes]:
    """Return a maker of the good file with what it holds changed."""

    def make(site: Site) -> bytes:
        content = torch.load(io.BytesIO(site.good), weights_only=False)
        change(content)
        return state_dict.dump_torch(content)

    return make


def entry_at(data: bytes, name: str) -> tuple[int, int]:
    """Return where the content of an entry begins and ends."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        info = archive.getinfo(f"archive/{name}")
    name_size, extra_size = struct.unpack_from("<2H", data, info.header_offset + 26)
    begin = info.header_offset + 30 + name_size + extra_size
    return begin, begin + info.file_size


def flip_weight(site: Site) -> bytes:
    """Flip a bit of a weight; its CRC stays."""
    data = bytearray(site.good)
    data[entry_at(site.good, "data/4")[0]] ^= 1
    return bytes(data)


def duplicate(site: Site) -> bytes:
    """Add a second data.pkl, which runs a command."""
    data = rewrite(site.good, lambda entries: entries.update({"data.pkx": payload(site)}))
    return data.replace(b"archive/data.pkx", b"archive/data.pkl")


def mismatch(site: Site) -> bytes:
    """Call the first entry otherwise in its place than in the directory, which is what torch goes by."""
    return site.good.replace(b"archive/data.pkl", b"archive/data.txt", 1)


def other_size(site: Site) -> bytes:
    """Give the first entry another size in its place than in the directory."""
    descriptor = site.good.index(b"PK\7\x08")
    return site.good[: descriptor + 8] + struct.pack("<2L", 1, 1) + site.good[descriptor + 16 :]


def spread(site: Site) -> bytes:
    """Put a pickle that runs a command before the directory, where no entry is, and mend every offset."""
    hidden, (directory, tail) = payload(site), (site.good.index(b"PK\1\2"), site.good.index(b"PK\6\6"))
    end = bytearray(site.good[tail:])
    for place, kind in ((48, "<Q"), (64, "<Q"), (92, "<L")):
        struct.pack_into(kind, end, place, struct.unpack_from(kind, end, place)[0] + len(hidden))
    return site.good[:directory] + hidden + site.good[directory:tail] + bytes(end)


def compressed(site: Site) -> bytes:
    """Write the same entries compressed."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(site.good)) as old,
        zipfile.ZipFile(buffer, "w", compression=zipfile.ZIP_DEFLATED) as new,
    ):
        for info in old.infolist():
            new.writestr(info.filename, old.read(info))
    data = bytearray(buffer.getvalue())
    end = data.index(b"PK\5\6")
    count, size, start = struct.unpack_from("<HLL", data, end + 10)
    zip64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 798, 45, 0, 0, count, count, size, start)
    return bytes(data[:end]) + zip64 + struct.pack("<4sLQL", b"PK\6\7", 0, end, 1) + bytes(data[end:])


def tar(site: Site) -> bytes:
    """Write a tar as torch 0.1 did, its pickle running a command."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            content = payload(site) if name == "pickle" else pickle.dumps({"protocol_version": 1000, "little_endian": True})
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def stacked(site: Site) -> bytes:
    """Write stacked pickles as torch before 1.6 did, one of them running a command."""
    buffer = io.BytesIO()
    torch.save({"weight": torch.zeros(3), "evil": Payload(site.canary)}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def torchscript(site: Site) -> bytes:
    """Write a network as TorchScript does."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), buffer)
    return buffer.getvalue()


def seven_zip(site: Site) -> bytes:
    """Write an empty 7z archive with a pickle behind it."""
    start = struct.pack("<QQL", 0, 0, 0)
    return b"7z\xbc\xaf\x27\x1c\0\4" + struct.pack("<L", zlib.crc32(start)) + start + payload(site)


def entry(site: Site, name: str) -> bytes:
    """Return the content of an entry of the good file."""
    begin, end = entry_at(site.good, name)
    return site.good[begin:end]


def beyond_the_end(site: Site) -> bytes:
    """Let the directory give its first entry 2 GiB."""
    data = bytearray(site.good)
    struct.pack_into("<2L", data, data.index(b"PK\1\2") + 20, 1 << 31, 1 << 31)
    return bytes(data)


def encrypted(site: Site) -> bytes:
    """Flag the first entry as encrypted, in its place and in the directory."""
    data = bytearray(site.good)
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    return bytes(data)


def count_less(site: Site) -> bytes:
    """Leave the last entry out of the count, in all four places."""
    data = bytearray(site.good)
    for place, kind in ((24, "<Q"), (32, "<Q"), (84, "<H"), (86, "<H")):
        at = data.index(b"PK\6\6") + place
        struct.pack_into(kind, data, at, struct.unpack_from(kind, data, at)[0] - 1)
    return bytes(data)


def no_entry(site: Site) -> bytes:
    """Spoil the signature in front of the second entry."""
    at = site.good.index(b"PK\3\4", 4)
    return site.good[:at] + b"XXXX" + site.good[at + 4 :]


# Pickles, opcode by opcode.

ORDERED_DICT = b"ccollections\nOrderedDict\n"


def text(value: bytes) -> bytes:
    return b"X" + struct.pack("<L", len(value)) + value


def number(value: int) -> bytes:
    return b"\x8a\x08" + value.to_bytes(8, "little")


def a_tensor(*, items: int, shape: int, stride: int = 1, hooks: bytes = ORDERED_DICT + b")R") -> bytes:
    """Return what pushes a vector of float32 in storage 0."""
    storage = b"(" + text(b"storage") + b"ctorch\nFloatStorage\n" + text(b"0") + text(b"cpu") + number(items) + b"tQ"
    view = number(0) + number(shape) + b"\x85" + number(stride) + b"\x85\x89" + hooks
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + view + b"tR"


def a_pickle(*values: bytes) -> bytes:
    """Return a pickle of a list of what these push."""
    return b"\x80\x02](" + b"".join(values) + b"e."


def deep_key(depth: int) -> bytes:
    """Return a pickle of a dict whose key is a tuple in a tuple in a tuple: hashing it goes down the stack."""
    return b"\x80\x02})" + b"\x85" * depth + b"Ns."


def keys_of_one_hash(count: int) -> bytes:
    """Return a pickle of a dict whose keys are multiples of the modulus that Python takes of a number to hash it."""
    keys = [i * sys.hash_info.modulus for i in range(1, count + 1)]
    return b"\x80\x02}(" + b"".join(b"\x8a\x09" + key.to_bytes(9, "little") + b"N" for key in keys) + b"u."


def wide_key(depth: int) -> bytes:
    """Return a pickle of a dict whose key is a pair of one pair twice of one pair twice: hashing it takes 2^depth steps."""
    pairs = b"".join(b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(depth))
    return b"\x80\x02})q\0" + pairs + b"Ns."


def meeting_keys() -> bytes:
    """Return a pickle of a dict of numbers that begin at one place of its table. Such as meet all the way take long to find."""
    return b"\x80\x02}(" + b"".join(b"J" + key.to_bytes(4, "little") + b"N" for key in range(1 << 19, 1 << 31, 1 << 19)) + b"u."


def many_hooks() -> bytes:
    """Return a pickle of 20,000 tensors, of five bytes each, with one dict of 60,000 hooks."""
    storage = b"(" + text(b"storage") + b"ctorch\nFloatStorage\n" + text(b"0") + text(b"cpu") + number(4) + b"tQ"
    hooks = b"}(" + b"".join(b"M" + key.to_bytes(2, "little") + b"N" for key in range(60_000)) + b"u"
    arguments = b"(" + storage + b"K\0K\4\x85K\1\x85\x89" + hooks + b"tq\1"
    return b"\x80\x02](ctorch._utils\n_rebuild_tensor_v2\nq\0" + arguments + b"R" + b"h\0h\1R" * 20_000 + b"e."


def set_of_one_hash(count: int) -> bytes:
    """Return a pickle of a set of numbers of one hash, each of which is compared with all before it."""
    numbers = [i * sys.hash_info.modulus for i in range(1, count + 1)]
    return b"\x80\x02c__builtin__\nset\n](" + b"".join(b"\x8a\x0a" + one.to_bytes(10, "little") for one in numbers) + b"e\x85R."


def many_sets() -> bytes:
    """Return a pickle of 1000 sets, of five bytes each, of the same 20,000 texts."""
    items = b"](" + b"".join(text(b"%x" % i) for i in range(20_000)) + b"e"
    return b"\x80\x02](c__builtin__\nset\nq\0" + items + b"\x85q\1R" + b"h\0h\1R" * 1000 + b"e."


def many_states() -> bytes:
    """Return a pickle of 1000 layers, of seven bytes each, of the same 20,000 attributes."""
    state = b"}(" + b"".join(text(b"%x" % i) + b"N" for i in range(20_000)) + b"u"
    return b"\x80\x02](ctorch.nn.modules.activation\nReLU\nq\0)\x81" + state + b"q\1b" + b"h\0)\x81h\1b" * 1000 + b"e."
