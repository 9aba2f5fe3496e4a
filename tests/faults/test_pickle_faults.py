"""Faults 1 to 20, and 22: what a file of pickle or joblib may be."""

import bz2
import gzip
import io
import lzma
import pickle
import pickletools
import re
import sys
import warnings
import zlib
from collections.abc import Callable

import numpy as np
import pytest
import sklearn
from cases import Record, both
from forging import (
    START,
    WRITERS,
    Forged,
    fault,
    named,
    payload,
    song,
    text,
)
from harness import Child, Site, problems

from isoform import metadata, tables
from isoform.integrity import write_atomic
from isoform.loading import load

UNPICKLING, LEDGER, ARRAYS, POLICY = (f"isoform.formats.{name}" for name in ("unpickling", "ledger", "arrays", "policy"))


def stream(make: Callable[[Site], bytes]) -> Callable[[Site], bytes]:
    """Return a maker of a whole pickle from one of its opcodes."""
    return lambda site: START + make(site) + b"."


def around(levels: int, opcodes: bytes) -> bytes:
    """Return the opcodes of a text wrapped so often by `opcodes`."""
    return text("lol") + opcodes * levels


def laughs(site: Site) -> bytes:
    """Return a dict whose key is a pair of a pair of a pair: hashing it visits 2^60 texts."""
    pairs = b"".join(b"\x94h" + bytes([level]) + b"\x86" for level in range(60))
    return b"}" + text("lol") + pairs + b"Ns"


def wide_keys(site: Site) -> bytes:
    """Return many dicts that each have a tuple of half a million as key: hashing it again and again takes hours."""
    wide = b"(" + b"K\x01" * 1000 + b"t\x94" + b"(" + b"h\x00" * 500 + b"t\x94"
    return b"(" + wide + b"}h\x01Ns" * 10_000 + b"t"


def alike_keys(site: Site) -> bytes:
    """Return a dict of numbers of one hash, each of which is compared with all before it."""
    numbers = [(position * sys.hash_info.modulus).to_bytes(11, "little") for position in range(1, 100_000)]
    return b"}(" + b"".join(b"\x8a\x0b" + number + b"N" for number in numbers) + b"u"


def lz4(data: bytes) -> bytes:
    """Return an LZ4 frame of one stored block."""
    return b"\x04\x22\x4d\x18\x60\x70\x73" + (len(data) | 1 << 31).to_bytes(4, "little") + data + bytes(4)


def bomb(site: Site) -> bytes:
    """Return 10 MB of gzip that hold 10 GB."""
    return gzip.compress(bytes(100 << 20), mtime=0) * 100


def old_joblib(site: Site) -> bytes:
    """Return a file of joblib 0.9 that has its array in a file beside it."""
    np.save(site.folder / "pipeline.pkl_01.npy", np.zeros(3))
    return b"ZF" + b"0x10".ljust(19) + zlib.compress(bytes(16))


def inner_pickle(change: Callable[[Site], bytes]) -> Callable[[Site], bytes]:
    """Return a maker of the good joblib file with the pickle of its first object array exchanged."""

    def make(site: Site) -> bytes:
        begin = site.good.index(START, 2)
        file = io.BytesIO(site.good[begin:])
        end = next(position for opcode, _, position in pickletools.genops(file) if opcode.name == "STOP") + 1
        return site.good[:begin] + change(site) + site.good[begin + end :]

    return make


def short_object_array(site: Site) -> bytes:
    """Return a pickle of an object array of a thousand values that has one: NumPy reads the others from beyond the list."""
    array = Forged(np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), (1, (1000,), np.dtype(object), False, ["one"]))
    return pickle.dumps(array, protocol=5)


def complex_dtype(site: Site) -> bytes:
    """Return an array of complex numbers."""
    dtype = Forged(np.dtype, ("c16", False, True), (3, "<", None, None, None, -1, -1, 0))
    return pickle.dumps(Forged(np._core.numeric._frombuffer, (bytearray(16), dtype, (1,), "C")), protocol=5)


def beyond_unicode(site: Site) -> bytes:
    """Return a text of a letter that is none, as the format writes it."""
    text = np.array(["a"]).view("<u4")
    text[0] = 0x7FFFFFFF
    return WRITERS[site.format](text.view("<U1"))  # type: ignore[no-any-return]


def wild_dtype(site: Site) -> bytes:
    """Return an array whose dtype has a field a megabyte beyond its end."""
    fields = {"left_child": (np.dtype("i8"), 1 << 20)}
    dtype = Forged(np.dtype, ("V64", False, True), (3, "|", None, ("left_child",), fields, 64, 1, 16))
    return pickle.dumps(Forged(np._core.numeric._frombuffer, (bytearray(64), dtype, (1,), "C")), protocol=5)


def other_inner_version(site: Site) -> bytes:
    version = sklearn.__version__.encode()
    return site.good.replace(version, version[:-1] + b"9")


def call(module: str, name: str) -> Callable[[Site], bytes]:
    return stream(lambda site: payload(site, module, name))


GLOBAL, OPCODE, COMPRESSED = f"{UNPICKLING}:refuse_global", f"{UNPICKLING}:refuse_opcode", f"{POLICY}:refuse_compressed"
STREAMS = [
    *fault(1, "REDUCE of os.system", call("posix", "system"), r"names the global posix\.system, which is not allowed", GLOBAL),
    *fault(1, "REDUCE of exec", call("builtins", "exec"), r"names the global builtins\.exec,", GLOBAL),
    *fault(
        1,
        "a module beside an allowed one",
        call("numpy.testing._private.utils", "runstring"),
        r"names the global numpy\.testing\._private",
        GLOBAL,
    ),
    *fault(
        2,
        "STACK_GLOBAL through the memo",
        stream(lambda s: text("subprocess") + b"\x94" + text("getoutput") + b"\x94\x86h\x00h\x01\x93" + text(song(s)) + b"\x85R"),
        r"names the global subprocess\.getoutput,",
        GLOBAL,
    ),
    *fault(3, "INST", stream(lambda s: b"(" + text(song(s)) + b"iposix\nsystem\n"), "the instruction INST,", OPCODE),
    *fault(
        3,
        "OBJ",
        stream(lambda s: b"(" + named("sklearn.pipeline", "Pipeline") + text(song(s)) + b"o"),
        "instruction OBJ,",
        OPCODE,
    ),
    *fault(3, "NEWOBJ_EX", stream(lambda s: named("sklearn.pipeline", "Pipeline") + b")}\x92"), "instruction NEWOBJ_EX,", OPCODE),
    *fault(
        3,
        "a class is called",
        stream(lambda s: named("sklearn.pipeline", "Pipeline") + b"]\x85R"),
        "calls the global sklearn.pipeline.Pipeline, which is not to be used so",
        f"{UNPICKLING}:refuse_use",
    ),
    *fault(
        4,
        "protocol 0",
        lambda s: b'cposix\nsystem\n(S"' + song(s).encode() + b'"\ntR.',
        r"begins with b'cposix",
        f"{POLICY}:refuse_other_start",
    ),
    *fault(
        4,
        "protocol 2",
        lambda s: b"\x80\x02cposix\nsystem\n" + text(song(s)) + b"\x85R.",
        r"begins with b'\\x80\\x02c",
        f"{POLICY}:refuse_other_start",
    ),
    *fault(
        5,
        "dotted name",
        call("joblib.numpy_pickle", "os.system"),
        r"the attribute path 'os\.system'",
        f"{UNPICKLING}:refuse_dotted",
    ),
    *fault(
        6,
        "a second stacked pickle",
        lambda s: s.good + START + payload(s) + b".",
        "holds a second pickle",
        f"{POLICY}:refuse_second",
    ),
    *fault(7, "payload, then truncation", lambda s: START + payload(s, "os", "popen"), r"names the global os\.popen,", GLOBAL),
    *fault(7, "truncation", lambda s: s.good[: len(s.good) // 2], r"is cut off, or lies about a length", f"{LEDGER}:refuse_cut"),
    *fault(
        7,
        "a length of a terabyte",
        stream(lambda s: b"\x96" + (1 << 40).to_bytes(8, "little")),
        "1099511627776 bytes should follow",
        f"{LEDGER}:refuse_cut",
    ),
    *fault(
        8,
        "a pickle nested in bytes",
        stream(lambda s: named("_pickle", "loads") + pickle.dumps(START + payload(s) + b".", 5)[2:-1] + b"\x85R"),
        r"names the global _pickle\.loads,",
        GLOBAL,
    ),
    *fault(9, "EXT1", stream(lambda s: b"\x82\x01"), "the instruction EXT1,", OPCODE),
    *fault(9, "EXT2", stream(lambda s: b"\x83\x01\x00"), "the instruction EXT2,", OPCODE),
    *fault(9, "EXT4", stream(lambda s: b"\x84\x01\x00\x00\x00"), "the instruction EXT4,", OPCODE),
    *fault(
        10,
        "memo expansion",
        stream(laughs),
        r"expands to more than \d+ bytes through its memo",
        f"{LEDGER}:refuse_expansion",
        timeout_s=5.0,
    ),
    *fault(
        10,
        "wide keys",
        stream(wide_keys),
        "holds a dict with a tuple as key",
        f"{UNPICKLING}:refuse_key",
        "pickle",
        timeout_s=5.0,
    ),
    *fault(
        10,
        "keys of one hash",
        stream(alike_keys),
        "holds more than 1000 numbers beyond 64 bits",
        f"{UNPICKLING}:refuse_many_large_numbers {UNPICKLING}:refuse_key",
        "pickle",
        timeout_s=5.0,
    ),
    *fault(10, "DUP", stream(lambda s: b"]" + b"2a" * 50), "the instruction DUP,", OPCODE),
    *fault(
        10,
        "deep nesting",
        stream(lambda s: around(200_000, b"\x85")),
        "nests objects more than 100 deep",
        f"{LEDGER}:refuse_depth",
    ),
    *fault(
        10, "a list in itself", stream(lambda s: b"]\x94h\x00a"), "fills a list that is in use already", f"{LEDGER}:refuse_late"
    ),
    *fault(
        11,
        "an object array's inner pickle",
        inner_pickle(lambda s: START + payload(s, "os", "system") + b"."),
        r"names the global os\.system,",
        GLOBAL,
        "joblib",
    ),
    *fault(
        11,
        "an object array's inner pickle of protocol 4",
        inner_pickle(lambda s: b"\x80\x04" + payload(s) + b"."),
        "holds a pickle of protocol 4",
        f"{UNPICKLING}:refuse_other_protocol",
        "joblib",
    ),
    *fault(
        11,
        "an object array shorter than its shape",
        short_object_array,
        r"array of shape \(1000,\) with 1 values",
        f"{ARRAYS}:refuse_shape",
    ),
    *fault(11, "a dtype of complex numbers", complex_dtype, "array of dtype 'c16', which", f"{ARRAYS}:refuse_dtype"),
    *fault(11, "a text beyond Unicode", beyond_unicode, "of letters beyond Unicode", f"{ARRAYS}:refuse_beyond_unicode"),
    *fault(
        11,
        "a dtype that points beyond its array",
        wild_dtype,
        "holds a dtype V64 with other fields",
        f"{ARRAYS}:refuse_dtype_state",
    ),
    *fault(12, "gz wrapper", lambda s: gzip.compress(s.good, mtime=0), r"is compressed \(gzip\)", COMPRESSED),
    *fault(12, "zlib wrapper", lambda s: zlib.compress(s.good), r"is compressed \(zlib\)", COMPRESSED),
    *fault(13, "bz2 wrapper", lambda s: bz2.compress(s.good), r"is compressed \(bz2\)", COMPRESSED),
    *fault(14, "xz wrapper", lambda s: lzma.compress(s.good), r"is compressed \(xz\)", COMPRESSED),
    *fault(14, "lzma wrapper", lambda s: lzma.compress(s.good, format=lzma.FORMAT_ALONE), r"is compressed \(lzma\)", COMPRESSED),
    *fault(15, "lz4 wrapper", lambda s: lz4(s.good), r"is compressed \(lz4\)", COMPRESSED),
    *fault(
        16, "gz in gz", lambda s: gzip.compress(gzip.compress(s.good, mtime=0), mtime=0), r"is compressed \(gzip\)", COMPRESSED
    ),
    *fault(17, "decompression bomb", bomb, r"is compressed \(gzip\)", COMPRESSED, "joblib"),
    *fault(18, "joblib's legacy ZF", old_joblib, "joblib's old format ZF", f"{POLICY}:refuse_legacy", "joblib"),
    *fault(
        18,
        "joblib's companion files",
        stream(lambda s: named("joblib.numpy_pickle_compat", "NDArrayWrapper") + b")\x81"),
        r"names the global joblib\.numpy_pickle_compat\.NDArrayWrapper,",
        GLOBAL,
        "joblib",
    ),
    *fault(19, "a pickle renamed", stream(payload), "is a pickle, not onnx", "isoform.loading:refuse_pickle", "onnx"),
    *fault(
        19, "a pickle renamed", stream(payload), "is a pickle, not safetensors", "isoform.loading:refuse_pickle", "safetensors"
    ),
    *fault(20, "trailing bytes", lambda s: s.good + bytes(16), "holds 16 bytes after its end", f"{POLICY}:refuse_rest"),
    *fault(
        22,
        "another scikit-learn inside",
        other_inner_version,
        r"holds an estimator of scikit-learn \d+\.\d+\.9,",
        f"{UNPICKLING}:refuse_other_version",
    ),
]


test_it_is_held, test_it_is_not_held_without_its_guard = both(STREAMS)


@pytest.mark.parametrize("name", ["joblib", "pickle"])
def test_22_a_model_recorded_with_another_scikit_learn_is_an_error(
    name: str, child: Child, make_site: Callable[[str], Site], record: Record
) -> None:
    site = make_site(name)
    document = metadata.read(site.folder)
    document.environment["scikit-learn"] = "1.2.3"
    write_atomic(site.folder / "metadata.json", metadata.to_json(document))
    reason = r"metadata\.json records scikit-learn 1\.2\.3, \S+ is installed"
    outcome = child.attempt(site.root, site.command)
    assert not list(problems(outcome, reason, site.path.name))
    assert list(problems(child.attempt(site.root, site.command, without="isoform.loading:refuse_version_skew"), reason))
    record(22, "another scikit-learn recorded", name, "b", outcome)


@pytest.mark.parametrize("name", ["joblib", "pickle"])
def test_22_another_scikit_learn_inside_is_a_warning_where_that_is_allowed(
    name: str, make_site: Callable[[str], Site], caplog: pytest.LogCaptureFixture
) -> None:
    site = make_site(name)
    site.replace(other_inner_version(site))
    site.vouch()
    filters = list(warnings.filters)
    found = load(site.folder, format=name, trust_pickle=True, allow_version_skew=True)
    assert np.isfinite(found.predict_proba(tables.read(site.rows, found.config.numeric, found.config.categorical))).all()
    assert re.fullmatch(r"warning: it holds estimators of scikit-learn \S+9, and \S+ is installed", caplog.messages[0])
    assert len(caplog.messages) == 1
    assert warnings.filters == filters


def test_the_canary_sings_for_the_plain_unpickler(make_site: Callable[[str], Site]) -> None:
    site = make_site("pickle")
    pickle.loads(stream(payload)(site))
    assert site.canary.read_text() == "sung\n"
