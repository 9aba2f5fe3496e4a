"""Fault 61: metadata.json missing, not JSON, or wrong in what it says; the same of config.json and golden.json, and 57."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from cases import Record, expect, try_both_ways, try_without_guard
from harness import Child, Fault, Site, problems

from isoform.metadata import MAX_METADATA_BYTES

JSON, METADATA, LOADING = "isoform.strict_json", "isoform.metadata", "isoform.loading"


@dataclass(frozen=True)
class Damage:
    """What stands in the place of metadata.json, what must be said to it, and what says it."""

    title: str
    make: Callable[[Site], bytes | None]
    """Returns the bad content from the good; None removes the file."""
    reason: str
    guard: str
    path: str = "metadata.json"
    """What the line must name."""

    def __str__(self) -> str:
        return self.title.replace(" ", "_")


def edited(*keys: Any, value: Any) -> Callable[[Site], bytes]:
    """Return a maker of the document with `value` at `keys`; a function is called with what stood there."""

    def make(site: Site) -> bytes:
        document = json.loads(site.good)
        place = document
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value(place[keys[-1]]) if callable(value) else value
        return json.dumps(document).encode()

    return make


def without(*keys: str) -> Callable[[Site], bytes]:
    """Return a maker of the document without what stands at `keys`."""

    def make(site: Site) -> bytes:
        document = json.loads(site.good)
        place = document
        for key in keys[:-1]:
            place = place[key]
        del place[keys[-1]]
        return json.dumps(document).encode()

    return make


def instead(old: bytes, new: bytes) -> Callable[[Site], bytes]:
    """Return a maker of the document's text with the first `old` replaced."""

    def make(site: Site) -> bytes:
        assert old in site.good
        return site.good.replace(old, new, 1)

    return make


def encoded(name: str) -> Callable[[Site], bytes]:
    """Return a maker of the document in another encoding."""
    return lambda site: site.good.decode().encode(name)


def padded(site: Site) -> bytes:
    """Return the document behind 100 MB of white space."""
    return b" " * 100_000_000 + site.good


FILE = ("files", "safetensors")
GOOD_ONLY_LATER = "0" * 64
NOT_JSON = f"{JSON}:NOT_JSON=()"
TOO_DEEP = f"{JSON}:TOO_DEEP=()"
OTHER_TYPE, DUPLICATE = f"{JSON}:refuse_other_type", f"{JSON}:refuse_duplicate_keys"
ENCODING, UNFIT, CONSTANT = f"{JSON}:refuse_other_encoding", f"{JSON}:refuse_unfit_text", f"{JSON}:refuse_constant"
INFINITE = f"{JSON}:refuse_infinite"
DEEP = b'"training_config": ' + b"[" * 100_000 + b"]" * 100_000 + b","

DAMAGES = [
    Damage("missing", lambda site: None, "^has no metadata.json", f"{METADATA}:refuse_unpublished", path="v1.0.0"),
    Damage("empty", lambda site: b"", r"^is not JSON \(Expecting value", NOT_JSON),
    Damage("not JSON", lambda site: b"\x80\x05]q\x00.", r"^is not JSON \(it ", ENCODING),
    Damage("text", lambda site: b"model: network\n", r"^is not JSON \(Expecting value", NOT_JSON),
    Damage("cut", lambda site: site.good[: len(site.good) // 2], r"^is not JSON \(", NOT_JSON),
    Damage("a second document", lambda site: site.good * 2, r"^is not JSON \(Extra data", NOT_JSON),
    Damage("a list", lambda site: b"[" + site.good + b"]", r"^\$ is \[.*expected an object", f"{JSON}:refuse_other_kind"),
    Damage("a field is missing", without("data"), r"^\$\.data is missing", f"{JSON}:refuse_absent_field"),
    Damage(
        "an unknown field",
        instead(b'"framework"', b'"run": 1, "framework"'),
        r"^\$\.run is not a known field",
        f"{JSON}:refuse_unknown_field",
    ),
    Damage("sha256 that is none", edited(*FILE, "sha256", value="0" * 63), "the sha256 '0+'", f"{METADATA}:refuse_bad_sha256"),
    Damage(
        "sha256 in capitals", edited(*FILE, "sha256", value=str.upper), "the sha256 '[0-9A-F]+'", f"{METADATA}:refuse_bad_sha256"
    ),
    Damage(
        "sha256 with a line break",
        edited(*FILE, "sha256", value=lambda it: it + "\n"),
        "the sha256 ",
        f"{METADATA}:refuse_bad_sha256",
    ),
    Damage(
        "sha256 of another file",
        edited(*FILE, "sha256", value=GOOD_ONLY_LATER),
        "^sha256 is .* says 000000000000",
        "isoform.integrity:refuse_other_content",
        path="model.safetensors",
    ),
    Damage("sha256 null", edited(*FILE, "sha256", value=None), r"sha256 is null, expected str", OTHER_TYPE),
    Damage("size negative", edited(*FILE, "bytes", value=-1), "a size of -1 bytes", f"{METADATA}:refuse_bad_size"),
    Damage("size 2^63", edited(*FILE, "bytes", value=2**63), "a size of 9223372036854775808", f"{METADATA}:refuse_bad_size"),
    Damage("size of 5000 digits", instead(b'"bytes": ', b'"bytes": ' + b"9" * 5000), r"^is not JSON \(Exceeds", NOT_JSON),
    Damage("size a float", edited(*FILE, "bytes", value=float), r"bytes is \d+\.0, expected int", OTHER_TYPE),
    Damage("size a text", edited(*FILE, "bytes", value=str), r'bytes is "\d+", expected int', OTHER_TYPE),
    Damage("size a boolean", edited(*FILE, "bytes", value=True), "bytes is true, expected int", OTHER_TYPE),
    Damage(
        "size off by one",
        edited(*FILE, "bytes", value=lambda it: it + 1),
        r"^holds \d+ bytes, metadata.json says",
        "isoform.integrity:refuse_other_size",
        path="model.safetensors",
    ),
    Damage(
        "entry names another format's file",
        edited(*FILE, "path", value="pipeline.pkl"),
        "^says that 'safetensors' is pipeline.pkl",
        f"{LOADING}:refuse_other_filename",
    ),
    Damage(
        "entry names another file of its format",
        edited(*FILE, "path", value="other.safetensors"),
        "^says that 'safetensors' is other",
        f"{LOADING}:refuse_other_filename",
    ),
    Damage(
        "entry names a path",
        edited(*FILE, "path", value="../v1.0.0/model.safetensors"),
        "^names the file ",
        f"{METADATA}:refuse_bad_names",
    ),
    Damage(
        "unknown entry",
        instead(
            b'"files": {', b'"files": {"pickle2": {"path": "x", "bytes": 1, "sha256": "' + b"0" * 64 + b'", "parity": null}, '
        ),
        "^has the unknown entry 'pickle2'",
        f"{METADATA}:refuse_unknown_entries",
    ),
    Damage("missing entry", without(*FILE), "^has no format 'safetensors'", f"{LOADING}:refuse_unknown_format", path="v1.0.0"),
    Damage(
        "missing entry of config.json", without("files", "config"), "^has no entry 'config'", f"{LOADING}:refuse_absent_document"
    ),
    Damage("no files", edited("files", value={}), "^has no format", f"{LOADING}:refuse_unknown_format", path="v1.0.0"),
    Damage("a key twice", instead(b'"bytes"', b'"bytes": 1, "bytes"'), 'the key "bytes" twice', DUPLICATE),
    Damage(
        "an entry twice",
        instead(b'"config": {', b'"golden": {"path": "golden.json"}, "config": {'),
        'the key "golden" twice',
        DUPLICATE,
    ),
    Damage("deep nesting", lambda site: b"[" * 100_000, "^is nested too deeply", TOO_DEEP),
    Damage(
        "deep nesting where anything may stand", instead(b'"training_config":', DEEP + b'"x":'), "^is nested too deeply", TOO_DEEP
    ),
    Damage("NaN", instead(b'"value": ', b'"value": NaN, "x": '), r"^is not JSON \(NaN is no number", CONSTANT),
    Damage("Infinity", instead(b'"value": ', b'"value": -Infinity, "x": '), r"^is not JSON \(-Infinity is no", CONSTANT),
    Damage("1e999", instead(b'"value": ', b'"value": 1e999, "x": '), r"^is not JSON \(1e999 is beyond", INFINITE),
    Damage(
        "1e999 where anything may stand",
        instead(b'"training_config": {', b'"training_config": {"x": 1e999, '),
        r"^is not JSON \(1e999 is beyond",
        INFINITE,
    ),
    Damage("100 MB", padded, rf"^holds \d+ bytes, the limit is {MAX_METADATA_BYTES}", "isoform.integrity:refuse_large"),
    Damage("byte order mark", encoded("utf-8-sig"), "starts with a byte order mark", ENCODING),
    Damage("UTF-16", encoded("utf-16"), "starts with a byte order mark", ENCODING),
    Damage("UTF-16 without a mark", encoded("utf-16-le"), "holds NUL", ENCODING),
    Damage("UTF-32 without a mark", encoded("utf-32-be"), "holds NUL", ENCODING),
    Damage("Latin-1", instead(b'"framework": "', b'"framework": "\xe9'), r"is not UTF-8 from byte \d+ on", ENCODING),
    Damage("NUL", instead(b'"framework": "', b'"framework": "\0'), "holds NUL", ENCODING),
    Damage("NUL escaped", instead(b'"framework": "', rb'"framework": "\u0000'), "holds NUL or a lone surrogate", UNFIT),
    Damage("a lone surrogate", instead(b'"framework": "', rb'"framework": "\ud800'), "holds NUL or a lone surrogate", UNFIT),
    Damage(
        "model_name a path", edited("model_name", value="../network"), r"^names the model '\.\./", f"{METADATA}:refuse_bad_names"
    ),
    Damage("model_name an option", edited("model_name", value="-network"), "^names the model '-", f"{METADATA}:refuse_bad_names"),
    Damage("model_name empty", edited("model_name", value=""), "^names the model ''", f"{METADATA}:refuse_bad_names"),
    Damage("model_name a number", edited("model_name", value=5), r"^\$\.model_name is 5, expected str", OTHER_TYPE),
    Damage(
        "version a path", edited("version", value="1.0.0/.."), r"^names the version '1\.0\.0/", f"{METADATA}:refuse_bad_names"
    ),
    Damage("version of two parts", edited("version", value="1.0"), r"^names the version '1\.0'", f"{METADATA}:refuse_bad_names"),
    Damage("version of Arabic digits", edited("version", value="١.0.0"), "^names the version '", f"{METADATA}:refuse_bad_names"),
    Damage(
        "version with a line break", edited("version", value="1.0.0\n"), "^names the version '", f"{METADATA}:refuse_bad_names"
    ),
]


def put(damage: Damage, site: Site) -> None:
    """Put the damage in the place of metadata.json."""
    bad = damage.make(site)
    if bad is None:
        site.path.unlink()
    else:
        site.replace(bad)


@pytest.mark.parametrize("damage", DAMAGES, ids=str)
def test_a_bad_metadata_json_is_refused_by_predict_and_verify(
    damage: Damage, child: Child, make_site: Callable[[str], Site], record: Record
) -> None:
    site = make_site("metadata")
    put(damage, site)
    outcome = child.attempt(site.root, site.command)
    expect("-", problems(outcome, damage.reason, damage.path))
    record(61, f"metadata.json: {damage.title}", "metadata", "-", outcome)
    outcome = child.attempt(site.root, ["verify", str(site.folder)])
    if "refuse_unknown_format" not in damage.guard:  # a version need not have every format
        expect("verify", problems(outcome, damage.reason, damage.path))


@pytest.mark.parametrize("damage", DAMAGES, ids=str)
def test_a_bad_metadata_json_is_not_refused_for_that_without_its_guard(
    damage: Damage, child: Child, make_site: Callable[[str], Site]
) -> None:
    site = make_site("metadata")
    put(damage, site)
    outcome = child.attempt(site.root, site.command, without=damage.guard)
    assert list(problems(outcome, damage.reason, damage.path)), f"it is held without {damage.guard}"


def document(title: str, format: str, make: Callable[[Site], bytes], reason: str, guard: str, number: int = 61) -> Fault:
    """Return a fault of config.json or golden.json."""
    return Fault(number=number, title=title, format=format, make=make, reason=reason, guard=guard)


NETWORK = f"{METADATA}:refuse_other_network"
COLUMNS, CLASSES, TOLERANCE = (
    f"{METADATA}:refuse_bad_columns",
    f"{METADATA}:refuse_bad_classes",
    f"{METADATA}:refuse_bad_tolerance",
)
DOCUMENT_FAULTS = [
    fault
    for name, key in (("config", b'"model_name"'), ("golden", b'"tolerance"'))
    for fault in (
        document("empty", name, lambda site: b"", r"^is not JSON \(Expecting value", NOT_JSON, number=57),
        document("not JSON", name, lambda site: b"pickle", r"^is not JSON \(Expecting", NOT_JSON),
        document("a key twice", name, instead(key, key + b": 1, " + key), "twice in one object", DUPLICATE),
        document("deep nesting", name, lambda site: b"[" * 100_000, "^is nested too deeply", TOO_DEEP),
        document("NaN", name, instead(key, b'"x": NaN, ' + key), "NaN is no number", CONSTANT),
        document("100 MB", name, padded, r"^holds \d+ bytes, the limit is", f"{LOADING}:refuse_large_document"),
        document("byte order mark", name, encoded("utf-8-sig"), "starts with a byte order mark", ENCODING),
        document("UTF-16", name, encoded("utf-16-be"), "holds NUL", ENCODING),
        document("an unknown field", name, instead(key, b'"x": 1, ' + key), r"^\$\.x is not a", f"{JSON}:refuse_unknown_field"),
        document("a field of another type", name, instead(b'"columns": [' if name == "golden" else b'"numeric": [',
                 b'"columns": [5, ' if name == "golden" else b'"numeric": [5, '), r"\[0\] is 5, expected", OTHER_TYPE),
    )
] + [
    document("a class with a lone surrogate", "config", edited("classes", value=["a", "\ud800"]), "a lone surrogate", UNFIT),
    document("no classes", "config", edited("classes", value=[]), r"gives \[\] as the classes", CLASSES),
    document("one class twice", "config", edited("classes", value=[1, 1]), r"gives \[1, 1\] as the classes", CLASSES),
    document("classes of two types", "config", edited("classes", value=[0, "1"]), "as the classes", CLASSES),
    document("a class beyond int64", "config", edited("classes", value=[-1, 2**63]), "gives the class 9223372036854775808, which",
             f"{METADATA}:refuse_large_classes"),
    document("a third class", "config", edited("classes", value=[0, 1, 2]), "other 'classes' than", NETWORK),
    document("no columns", "config", lambda site: edited("numeric", value=[])(site).replace(b'["c0", "c1"]', b"[]"),
             "gives no columns", COLUMNS),
    document("a column twice", "config", edited("numeric", value=["n0", "n1", "n2", "n2"]), "or one twice", COLUMNS),
    document("a text column without categories", "config", edited("categories", value={"c0": []}), "does not give cat", COLUMNS),
    document("more categories than the network knows", "config",
             edited("categories", "c0", value=[str(i) for i in range(50)]), "other 'cardinalities' than", NETWORK),
    document("a regression's task", "config", edited("task", value="regression"), "as the classes of a regression", CLASSES),
    document("a task that is none", "config", edited("task", value="clustering"), r"^\$\.task is", OTHER_TYPE),
    document("a negative tolerance", "golden", edited("tolerance", value=-1.0), "gives the tolerance -1", TOLERANCE),
    document("a tolerance that all keep", "golden", edited("tolerance", value=1e308), r"tolerance 1e\+308", TOLERANCE),
    document("a scale that all keep", "golden", edited("scale", value=1e308), r"and the scale 1e\+308", TOLERANCE),
    document("no rows", "golden", lambda site: json.dumps(
        json.loads(site.good) | {"rows": [], "label": [], "probabilities": []}).encode(), "holds no rows",
             f"{METADATA}:refuse_no_rows"),
    document("no hidden units", "config", edited("network", "arguments", "hidden", value=0),
             r"^network '\w+' does not take these arguments \(a layer would have 0 units", "isoform.networks:refuse_empty_layer"),
    document("an argument that is not known", "config", edited("network", "arguments", "hiddem", value=8),
             r"^network '\w+' does not take these arguments \(.* 'hiddem'", "isoform.networks:UNFIT=()"),
    document("no scale", "golden", edited("scale", value=0.0), "and the scale 0", TOLERANCE),
]  # fmt: skip


@pytest.mark.parametrize("fault", DOCUMENT_FAULTS, ids=str)
def test_a_bad_document_is_held(fault: Fault, child: Child, make_site: Callable[[str], Site], record: Record) -> None:
    try_both_ways(fault, child, make_site(fault.format), record)


@pytest.mark.parametrize("fault", DOCUMENT_FAULTS, ids=str)
def test_a_bad_document_is_not_held_without_its_guard(fault: Fault, child: Child, make_site: Callable[[str], Site]) -> None:
    try_without_guard(fault, child, make_site(fault.format))


POLICY = {
    "pickle": ["isoform.formats.policy:refuse_other_columns", "isoform.formats.policy:refuse_mute"],
    "onnx": ["isoform.formats.onnx:refuse_other_signature"],
}
"""What refuses such a model when it is opened: taken out here, for what is behind it."""


@pytest.mark.parametrize("without", ["", f"{LOADING}:refuse_bad_answer", f"{LOADING}:refuse_failure"])
@pytest.mark.parametrize(
    ("name", "change", "reason", "guard"),
    [
        ("pickle", edited("classes", value=[0, 1, 2]), r"^answers with shape \(5, 2\), not \(5, 3\)", "refuse_bad_answer"),
        ("onnx", edited("numeric", value=["n0", "n1", "n2"]), r"^cannot answer \(", "refuse_failure"),
    ],
)
def test_a_model_that_config_json_does_not_fit_is_refused_when_it_answers(
    name: str,
    change: Callable[[Site], bytes],
    reason: str,
    guard: str,
    without: str,
    child: Child,
    make_site: Callable[[str], Site],
    record: Record,
) -> None:
    site = make_site(name)
    config = Site(site.root, "config", site.model)
    document = json.loads(config.good)
    config.replace(json.dumps(document | {"network": None}).encode())
    config.replace(change(config))
    config.vouch()
    outcome = child.attempt(site.root, site.command, without=" ".join([*POLICY[name], without]))
    if without.endswith(guard):
        assert list(problems(outcome, reason, site.path.name)), f"it is held without {guard}"
    else:
        expect("b", problems(outcome, reason, site.path.name))
        record(61, "config.json of another model", name, "b", outcome)
