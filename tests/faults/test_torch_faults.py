"""Faults 23 to 31, and what else can be in a torch file: state_dict, checkpoint and, although it is trusted, full_model."""

import dataclasses
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch_files as files
from cases import Record, both, expect
from harness import Child, Fault, Site, problems

from isoform import metadata
from isoform.formats import state_dict
from isoform.integrity import sha256, write_atomic

TORCH = ("state_dict", "checkpoint", "full_model")
ZIP, PICKLE, WEIGHTS = "isoform.formats.torch_zip:", "isoform.formats.torch_pickle_policy:", "isoform.weights:"
ORDERED_DICT = files.ORDERED_DICT
NETWORK = b"cisoform.networks\nSimpleClassifier\n"
Made = tuple[int, str, Callable[[Site], bytes], str, str]

ANY: list[Made] = [
    (
        23,
        "an extra pkl",
        files.with_entry("extra.pkl", files.payload),
        r"holds 'archive/extra\.pkl', which",
        ZIP + "refuse_other_entries",
    ),
    (
        23,
        "an extra storage",
        files.with_entry("data/99", files.payload),
        "holds the entry 'data/99', which",
        PICKLE + "refuse_storage_lies",
    ),
    (
        23,
        "a version of its own",
        files.with_entry("byteorder", lambda site: b"big"),
        "its entry 'byteorder'",
        ZIP + "refuse_other_values",
    ),
    (23, "a command", files.with_pickle(files.payload), r"names posix\.system, which", PICKLE + "refuse_other_names"),
    (24, "duplicate names", files.duplicate, r"names the entry 'archive/data\.pkl' twice", ZIP + "refuse_duplicate_names"),
    (
        24,
        "mismatched names",
        files.mismatch,
        r"data\.pkl' in its directory and 'archive/data\.txt' in",
        ZIP + "refuse_other_header",
    ),
    (24, "mismatched sizes", files.other_size, r"describes the entry 'archive/data\.pkl' in its", ZIP + "refuse_other_header"),
    (24, "bytes of no entry", files.spread, r"\d+ bytes before 'its directory' that belong to no", ZIP + "refuse_gap"),
    (
        24,
        "bytes behind the end",
        lambda site: site.good + files.payload(site),
        "does not begin and end as",
        ZIP + "refuse_other_tail",
    ),
    (24, "bytes before the start", lambda site: b"#!" + site.good, "does not begin and end as", ZIP + "refuse_other_tail"),
    (24, "encrypted", files.encrypted, "encrypts or patches the entry 'archive/data", ZIP + "refuse_other_header"),
    (24, "compressed", files.compressed, "compresses the entry", ZIP + "refuse_compression"),
    (25, "bad CRC", files.flip_weight, "the CRC of its entry 'archive/data/4' is wrong", ZIP + "refuse_bad_crc"),
    (26, "legacy tar", files.tar, "is a tar archive", ZIP + "refuse_other_files"),
    (27, "stacked legacy", files.stacked, "is a stack of pickles, as torch.save", ZIP + "refuse_other_files"),
    (27, "a bare pickle", files.payload, "is a bare pickle", ZIP + "refuse_other_files"),
    (
        27,
        "a second pickle in data.pkl",
        files.with_entry("data.pkl", lambda site: files.entry(site, "data.pkl") + files.payload(site)),
        "goes on for .* bytes behind its end",
        PICKLE + "refuse_stacked",
    ),
    (28, "TorchScript", files.torchscript, "is TorchScript, which holds a program", ZIP + "refuse_torchscript"),
    (
        29,
        "a storage that is too small",
        files.with_entry("data/0", lambda site: b"1234"),
        "data/0', which holds 4",
        PICKLE + "refuse_storage_lies",
    ),
    (
        29,
        "a storage that is too large",
        files.with_entry("data/0", lambda site: b"1" * 99),
        "0', which holds 99",
        PICKLE + "refuse_storage_lies",
    ),
    (
        29,
        "a tensor outside of its storage",
        files.with_pickle(files.a_pickle(files.a_tensor(items=4, shape=1000))),
        "does not fit into its storage",
        PICKLE + "refuse_outside",
    ),
    (
        29,
        "a number counted 10^12 times",
        files.with_pickle(files.a_pickle(files.a_tensor(items=4, shape=10**12, stride=0))),
        "does not fit into its storage",
        PICKLE + "refuse_outside",
    ),
    (
        29,
        "a storage said to be two things",
        files.with_pickle(files.a_pickle(files.a_tensor(items=4, shape=4), files.a_tensor(items=5, shape=5))),
        "'0' in two ways",
        PICKLE + "refuse_other_claim",
    ),
    (
        30,
        "a key that overflows the stack",
        files.with_pickle(files.deep_key(10**6)),
        "a tuple as a key",
        PICKLE + "refuse_other_keys",
    ),
    (30, "keys of one hash", files.with_pickle(files.keys_of_one_hash(9)), "a number beyond", PICKLE + "refuse_other_keys"),
    (30, "a key that never ends", files.with_pickle(files.wide_key(64)), "a tuple as a key", PICKLE + "refuse_other_keys"),
    (
        30,
        "keys that meet",
        files.with_pickle(files.meeting_keys()),
        "a number beyond 65536 as a key",
        PICKLE + "refuse_other_keys",
    ),
    (
        30,
        "a memo of 2^31",
        files.with_pickle(b"\x80\x02}r\xff\xff\xff\x7f."),
        "place 2147483647 of a memo",
        PICKLE + "refuse_other_memo",
    ),
    (
        30,
        "BUILD of attributes",
        files.with_pickle(b"\x80\x02" + ORDERED_DICT + b")R}" + files.text(b"a") + b"K\1sb."),
        "BUILD",
        PICKLE + "refuse_other_state",
    ),
    (30, "an unknown opcode", files.with_pickle(b"\x80\x04}\x94."), "holds the opcode MEMOIZE", PICKLE + "refuse_other_opcodes"),
    (24, "an entry beyond the end", files.beyond_the_end, r"holds 2147483648 bytes, \d+ are left", ZIP + "refuse_beyond_end"),
    (24, "no entry in its place", files.no_entry, "has b'XXXX' in its zip where", ZIP + "refuse_other_signature"),
    (
        29,
        "a tensor with hooks",
        files.with_pickle(files.a_pickle(files.a_tensor(items=4, shape=4, hooks=b"}K\0Ns"))),
        "gives a tensor backward hooks",
        PICKLE + "refuse_hooks",
    ),
    (
        29,
        "many tensors with the same hooks",
        files.with_pickle(files.many_hooks()),
        "gives a tensor backward hooks",
        PICKLE + "refuse_hooks",
    ),
    (
        29,
        "no storage",
        files.with_pickle(b"\x80\x02" + files.text(b"0") + b"Q."),
        "asks for something",
        PICKLE + "refuse_other_storage",
    ),
    (
        30,
        "a call of its own",
        files.with_pickle(b"\x80\x02" + ORDERED_DICT + b"}\x85R."),
        "calls col",
        PICKLE + "refuse_other_call",
    ),
    (30, "items for a tuple", files.with_pickle(b"\x80\x02)Na."), "items of a list into a tuple", PICKLE + "refuse_other_target"),
    (
        24,
        "fewer entries than listed",
        files.count_less,
        r"lists \d+ entries in its directory and counts",
        ZIP + "refuse_other_count",
    ),
    (
        30,
        "many lists",
        files.with_pickle(b"\x80\x02" + b"]" * (30 << 20) + b"."),
        "31457283 bytes, the limit",
        PICKLE + "refuse_long",
    ),
    (30, "two things", files.with_pickle(b"\x80\x02}}."), "ends with 2 things", PICKLE + "refuse_rest"),
    (31, "7z", files.seven_zip, "is a 7z archive", ZIP + "refuse_other_files"),
]
"""Tried on all three."""


def first(state: dict[str, torch.Tensor]) -> str:
    return next(iter(state))


def rename(state: dict[str, torch.Tensor]) -> None:
    state["renamed"] = state.pop(first(state))


TENSORS: list[Made] = [
    (
        30,
        "NEWOBJ without BUILD",
        files.with_pickle(b"\x80\x02" + ORDERED_DICT + b")\x81."),
        r"makes an object \(NEWOBJ\), and tensors need none",
        PICKLE + "refuse_other_opcodes",
    ),
    (
        36,
        "another dtype",
        files.with_state(lambda state: state.update({first(state): state[first(state)].double()})),
        r"is float64 \[4\], the network's is float32 \[4\]",
        WEIGHTS + "refuse_other_shapes",
    ),
    (
        36,
        "another shape",
        files.with_state(lambda state: state.update({first(state): torch.zeros(5)})),
        r"is float32 \[5\], the network's is float32 \[4\]",
        WEIGHTS + "refuse_other_shapes",
    ),
    (
        42,
        "a missing tensor",
        files.with_state(lambda state: state.pop(first(state))),
        "lacks the tensor 'f",
        WEIGHTS + "refuse_other_names",
    ),
    (
        42,
        "an extra tensor",
        files.with_state(lambda state: state.update(x=torch.ones(1))),
        "a tensor 'x' that",
        WEIGHTS + "refuse_other_names",
    ),
    (42, "a renamed tensor", files.with_state(rename), "lacks .* and has a tensor 'renamed'", WEIGHTS + "refuse_other_names"),
]
"""Tried on state_dict and checkpoint."""


def fill(value: float) -> Callable[[Site], bytes]:
    return files.with_state(lambda state: state["net.3.bias"].fill_(value))


FINITE: list[Made] = [
    (41, f"a weight of {value}", fill(value), r"'net\.3\.bias' holds NaN or infinity", WEIGHTS + "refuse_non_finite")
    for value in (math.nan, -math.inf)
]
"""Tried on all three."""

CHECKPOINT: list[Made] = [
    (
        42,
        "a missing key",
        files.with_content(lambda content: content.pop("epoch")),
        "is no checkpoint: .*: epoch",
        "refuse_other_content",
    ),
    (
        42,
        "an extra key",
        files.with_content(lambda content: content.update(x=1)),
        "is no checkpoint: .*: x",
        "refuse_other_content",
    ),
    (
        42,
        "another type",
        files.with_content(lambda content: content.update(step="1")),
        "its step is a str",
        "refuse_other_content",
    ),
    (
        42,
        "another network",
        files.with_content(lambda content: content["model_config"].update(hidden=9)),
        r"of another network .*model_config\.hidden is 9, not 8",
        "refuse_other_network",
    ),
]
STATE_DICT: list[Made] = [
    (
        42,
        "no tensor",
        lambda site: state_dict.dump_torch({"x": 1}),
        "is no state_dict: it holds a int under 'x'",
        WEIGHTS + "refuse_no_tensors",
    ),
    (42, "no dict", lambda site: state_dict.dump_torch([]), "holds a list, not a state_dict", WEIGHTS + "refuse_no_tensors"),
]


FULL_MODEL: list[Made] = [
    (
        30,
        "NEWOBJ without BUILD",
        files.with_pickle(b"\x80\x02" + NETWORK + b")\x81.", storages=False),
        r"makes a isoform\.networks\.SimpleClassifier \(NEWOBJ\) and gives it no state",
        PICKLE + "refuse_unbuilt",
    ),
    (
        30,
        "an instance of another class",
        files.with_pickle(b"\x80\x02" + ORDERED_DICT + b")\x81."),
        r"makes an instance of collections\.OrderedDict",
        PICKLE + "refuse_other_class",
    ),
    (
        30,
        "a set of one hash",
        files.with_pickle(files.set_of_one_hash(100_000), storages=False),
        "calls __builtin__.set as torch.save does not",
        PICKLE + "refuse_other_items",
    ),
    (
        30,
        "many sets of the same texts",
        files.with_pickle(files.many_sets(), storages=False),
        r"copies more than \d+ things",
        PICKLE + "refuse_copies",
    ),
    (
        30,
        "many layers of the same state",
        files.with_pickle(files.many_states(), storages=False),
        r"copies more than \d+ things",
        PICKLE + "refuse_copies",
    ),
    (
        23,
        "a command as a hook",
        files.with_content(lambda module: module._forward_hooks.update({0: files.os.system})),
        r"names posix\.system, which",
        PICKLE + "refuse_other_names",
    ),
    *(
        (
            30,
            title,
            files.with_content(change),
            f"is another object than config.json describes: .*{reason}",
            "refuse_other_module",
        )
        for title, change, reason in (
            ("a hook", lambda module: module._forward_hooks.update({0: torch.nn.ReLU}), "_forward_hooks has 0 in only"),
            ("a forward of its own", lambda module: vars(module).update(forward=torch.nn.ReLU), "has 'forward' in only"),
            ("another layer", lambda module: module.net.__setitem__(1, torch.nn.Dropout(0.3)), "is a Dropout, not a ReLU"),
            ("another attribute", lambda module: vars(module.net[2]).update(p=0.5), r"\.p is 0\.5, not 0\.3"),
            ("another order", lambda module: module.net._modules.update({"1": module.net._modules.pop("1")}), "another order"),
            ("another shape", lambda module: vars(module.net[3]).update(bias=torch.zeros(3)), "has 'bias' in only"),
        )
    ),
]


def faults() -> Iterator[Fault]:
    """Yield every fault of a torch file."""
    for formats, made in ((TORCH, ANY + FINITE), (TORCH[:2], TENSORS), (TORCH[1:2], CHECKPOINT), (TORCH[:1], STATE_DICT)):
        for name in formats:
            yield from (fault(name, *entry) for entry in made)
    yield from (fault("full_model", *entry) for entry in FULL_MODEL)


LONG = (
    "a key that never ends",
    "many lists",
    "many tensors with the same hooks",
    "a set of one hash",
    "many sets of the same texts",
    "many layers of the same state",
)
"""Without their guards these last longer than anyone waits."""


def fault(name: str, number: int, title: str, make: Callable[[Site], bytes], reason: str, guard: str) -> Fault:
    """Return a fault; a guard without a module is one of its format's module."""
    full = guard if ":" in guard else f"isoform.formats.{name}:{guard}"
    timeout_s = 5.0 if title in LONG else 20.0
    return Fault(number=number, title=title, format=name, make=make, reason=reason, guard=full, timeout_s=timeout_s)


FAULTS = list(faults())


test_it_is_held, test_it_is_not_held_without_its_guard = both(FAULTS)


AGREES = "isoform.metadata:refuse_other_network"
LARGE = {"one layer": {"hidden": 10**9}, "many embeddings": {"cardinalities": [3] * 17_000}, "beyond 64 bits": {"hidden": 2**70}}


@pytest.mark.parametrize("arguments", LARGE.values(), ids=LARGE.keys())
@pytest.mark.parametrize("name", ["state_dict", "full_model", "safetensors"])
def test_29_a_network_that_its_file_cannot_fill_takes_no_memory(
    name: str,
    arguments: dict[str, Any],
    child: Child,
    make_site: Callable[[str], Site],
    record: Record,
) -> None:
    site = make_site(name)
    config = json.loads((site.folder / "config.json").read_bytes())
    config["network"]["arguments"].update(arguments)
    data = json.dumps(config).encode()
    (site.folder / "config.json").write_bytes(data)
    document = metadata.read(site.folder)
    document.files["config"] = dataclasses.replace(document.files["config"], bytes=len(data), sha256=sha256(data))
    write_atomic(site.folder / "metadata.json", metadata.to_json(document))
    reason = "is too small for the network that config.json describes"
    # Only arguments that agree with the columns come so far: the others are refused with config.json.
    outcome = child.attempt(site.root, site.command, without=AGREES)
    expect("b", problems(outcome, reason, site.path.name))
    record(29, "a network too large for its file", name, "b", outcome)
    without = child.attempt(site.root, site.command, without=f"{AGREES} isoform.weights:refuse_large_network")
    assert list(problems(without, reason, site.path.name))
