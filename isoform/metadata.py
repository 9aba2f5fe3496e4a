"""The typed content of metadata.json, config.json and golden.json, and how a consumer reads them.

The dataclasses are the one definition. `metadata.schema.json` beside this file is derived from them, and
`parse` checks a document against them with the standard library alone. They are not frozen: what dataclasses generates for
that takes a fortieth of the time to a consumer's first answer.
"""

import dataclasses
import json
import re
import sys
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from isoform.errors import BadInput
from isoform.integrity import read_bytes

Label = bool | int | str
Task = Literal["classification", "regression"]
Cell = float | str | None
T = TypeVar("T")

MAX_METADATA_BYTES = 64 << 20

REDO = "restore it with 'git checkout', or rebuild it with 'dvc repro'"
MODEL_NAME = r"[a-z][a-z0-9_]{0,63}"
VERSION = r"(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){2}"
FILE_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
"""What names may be: never a path, an option of a command, or longer than a file system takes."""


@dataclass(kw_only=True)
class Tensor:
    """One input or output of the model; `null` in `shape` is the number of rows."""

    name: str
    shape: list[int | None]
    dtype: Literal["float32", "string", "int64", "bool"]


@dataclass(kw_only=True)
class Parity:
    """How far a format's answers lay from the reference's, over every comparison that `validate` made."""

    reference: str
    """The format whose reloaded model gave the expected answers."""
    tolerance: float
    """Largest difference that was allowed: in probability, or in units of a prediction's scale (`Golden.scale`).

    0 means equal to the last bit.
    """
    max_difference: float
    """Largest difference that was measured, in the same units."""
    worst_row: int
    """Position in the test table of the row where it was measured."""
    label_flips: int
    rows: int
    """Number of test rows compared at once."""
    batches: list[int]
    """Further batch sizes compared."""
    hostile_rows: int
    """Number of rows compared that were made to break exporters; `worst_row` is then the test row it was made from."""


@dataclass(kw_only=True)
class File:
    """One file of the version, relative to metadata.json."""

    path: str
    bytes: int
    sha256: str
    parity: Parity | None
    """None for the reference itself and for files that hold no model."""


@dataclass(kw_only=True)
class Estimate:
    """A metric on the test rows, with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


@dataclass(kw_only=True)
class Data:
    """What the model was trained and tested on."""

    source: str
    target: str
    train_rows: int
    test_rows: int
    train_sha256: str
    test_sha256: str


@dataclass(kw_only=True)
class Metadata:
    """metadata.json: written last; a folder without it is no version."""

    model_name: str
    version: str
    framework: str
    created_at: str
    metrics: dict[str, Estimate]
    training_config: dict[str, Any]
    input_schema: list[Tensor]
    output_schema: list[Tensor]
    data: Data
    environment: dict[str, str]
    files: dict[str, File]


@dataclass(kw_only=True)
class Network:
    """What rebuilds a network around a state_dict: a class of `isoform.networks` and its arguments."""

    class_name: str
    arguments: dict[str, Any]


@dataclass(kw_only=True)
class Config:
    """config.json: what the formats that hold no preprocessing of their own need, beside their tensors."""

    model_name: str
    task: Task
    builder: str
    hyperparameters: dict[str, Any]
    numeric: list[str]
    categorical: list[str]
    categories: dict[str, list[str]]
    """The values of each text column in the training rows, sorted; a network's index 0 is "unknown", value i is i + 1."""
    classes: list[Label]
    """The answers of a classification, sorted; a regression has none."""
    network: Network | None

    @property
    def width(self) -> int:
        """K, the columns of an answer: a probability for each class, or one prediction."""
        return len(self.classes) if self.task == "classification" else 1


@dataclass(kw_only=True)
class Golden:
    """golden.json: raw rows and the reference's answers to them, for replay in any language.

    The answers carry the names of model.onnx's outputs; those that the task does not have are null. A number agrees
    when |found - expected| <= tolerance * max(scale, |expected|), a label when it is equal.
    """

    tolerance: float
    scale: float
    """1 for probabilities; for predictions the standard deviation of the target in the training rows."""
    columns: list[str]
    rows: list[list[Cell]]
    """[N][F]; numbers or null (missing) for float32 columns, text ("" is missing) for string columns."""
    label: list[Label] | None
    probabilities: list[list[float]] | None
    prediction: list[float] | None


def to_json(document: object) -> str:
    """Return a dataclass, or a dict of them, as JSON for a diff: declared order, one list of scalars per line."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    # A line break is structure, never content: inside a JSON string it is escaped.
    flat = re.sub(r"\[\n\s+([^\[\]{}]*?)\n\s+\]", lambda m: "[" + re.sub(r",\n\s+", ", ", m[1]) + "]", text)
    return flat + "\n"


def parse(kind: type[T], data: bytes, path: Path) -> T:
    """Check the JSON document `data` against the dataclass `kind` and return it.

    `path` only names the file in errors. Raises `BadInput` naming the first field that is missing,
    unknown or of another type.
    """
    try:
        document = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadInput(path, f"is not JSON ({error})", REDO) from None
    try:
        return typing.cast(T, _check(kind, document, "$"))
    except _Mismatch as mismatch:
        raise BadInput(path, str(mismatch), REDO) from None


def read(folder: Path) -> Metadata:
    """Return the metadata of the version in `folder`, or raise `BadInput` when it holds none."""
    path = folder / "metadata.json"
    if not folder.is_dir():
        reason = "is a file" if folder.exists() else "no such folder"
        raise BadInput(folder, reason, "name a version folder such as models/NAME/v1.0.0")
    refuse_linked_folder(folder)
    refuse_unpublished(folder, path)
    return parse_metadata(read_bytes(path, max_bytes=MAX_METADATA_BYTES), path)


def refuse_unpublished(folder: Path, path: Path) -> None:
    """Raise `BadInput` when there is no metadata.json, which is written last."""
    if not path.exists():
        raise BadInput(folder, "has no metadata.json, so it is no published version", "run 'dvc repro' to publish it")


def refuse_linked_folder(folder: Path) -> None:
    """Raise `BadInput` when the version folder is a symbolic link: it could point elsewhere at the next file."""
    if folder.is_symlink():
        raise BadInput(folder, "is a symbolic link", f"name the folder itself, {folder.resolve()}")


def parse_metadata(data: bytes, path: Path) -> Metadata:
    """Check the content of a metadata.json, which `path` names in errors, and return it. Raises `BadInput`."""
    metadata = parse(Metadata, data, path)
    refuse_bad_names(metadata, path)
    for entry in metadata.files.values():
        if not re.fullmatch("[0-9a-f]{64}", entry.sha256):
            raise BadInput(path, f"gives {entry.path} the sha256 {entry.sha256[:80]!r}", REDO)
        if not 0 <= entry.bytes < 2**63:
            raise BadInput(path, f"gives {entry.path} a size of {str(entry.bytes)[:20]} bytes", REDO)
    return metadata


def refuse_bad_names(metadata: Metadata, path: Path) -> None:
    """Raise `BadInput` unless the model, its version and its files have names that can be nothing else."""
    if not re.fullmatch(MODEL_NAME, metadata.model_name):
        raise BadInput(path, f"names the model {metadata.model_name[:80]!r}", "name it in a-z, 0-9 and _, at most 64 letters")
    if not re.fullmatch(VERSION, metadata.version):
        raise BadInput(path, f"names the version {metadata.version[:80]!r}", "number it as 1.0.0")
    for entry in metadata.files.values():
        if not re.fullmatch(FILE_NAME, entry.path):
            raise BadInput(path, f"names the file {entry.path[:80]!r}", "a version's files lie in its own folder")


def _plain(document: Any) -> Any:
    if dataclasses.is_dataclass(document) and not isinstance(document, type):
        return dataclasses.asdict(document)
    raise TypeError(f"{type(document).__name__} has no JSON form")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number in JSON")


class _Mismatch(Exception):
    pass


def _check(kind: Any, value: Any, at: str) -> Any:
    """Return `value` as `kind`; a dataclass is built from its dict, anything else is returned as it is."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _check_fields(kind, value, at)
    if origin is types.UnionType:
        for choice in arguments:
            try:
                return _check(choice, value, at)
            except _Mismatch:
                continue
    elif origin is Literal and value in arguments:
        return value
    elif origin is list and isinstance(value, list):
        return [_check(arguments[0], item, f"{at}[{i}]") for i, item in enumerate(value)]
    elif origin is dict and isinstance(value, dict):
        return {key: _check(arguments[1], item, f"{at}.{key}") for key, item in value.items()}
    elif kind is float and type(value) in (int, float) and abs(value) <= sys.float_info.max:
        return float(value)
    elif isinstance(kind, type) and kind is not float and type(value) is kind:
        return value
    expected = getattr(kind, "__name__", None) if isinstance(kind, type) else None
    raise _Mismatch(f"{at} is {json.dumps(value)[:60]}, expected {expected or str(kind).replace('isoform.metadata.', '')}")


def _check_fields(kind: Any, value: Any, at: str) -> Any:
    if not isinstance(value, dict):
        raise _Mismatch(f"{at} is {json.dumps(value)[:60]}, expected an object")
    hints = {field.name: field.type for field in dataclasses.fields(kind)}
    for name in hints:
        if name not in value:
            raise _Mismatch(f"{at}.{name} is missing")
    for name in value:
        if name not in hints:
            raise _Mismatch(f"{at}.{name} is not a known field")
    return kind(**{name: _check(hint, value[name], f"{at}.{name}") for name, hint in hints.items()})
