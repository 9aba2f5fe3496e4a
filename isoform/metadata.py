"""The typed content of metadata.json, config.json and golden.json, and how a consumer reads them.

The dataclasses are the one definition. `metadata.schema.json` beside this file is derived from them, and
`parse` checks a document against them. They are not frozen: what dataclasses generates for
that takes a fortieth of the time to a consumer's first answer.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from isoform.errors import BadInput
from isoform.integrity import read_bytes, refuse_bad_path
from isoform.strict_json import REDO as REDO  # noqa: PLC0414 - told on
from isoform.strict_json import parse as parse  # noqa: PLC0414 - told on
from isoform.strict_json import to_json as to_json  # noqa: PLC0414 - told on

Label = bool | int | str
Task = Literal["classification", "regression"]
Cell = float | str | None

PUBLISHED = "*/v*/metadata.json"
"""Where those of models/ are: no metadata.json, no version."""
MAX_METADATA_BYTES = 8 << 20
"""Parsed, JSON may take some 25 times its size: these two limits keep that within reason."""
MAX_DOCUMENT_BYTES = 32 << 20
"""Of config.json, which holds every category, and of golden.json."""

DOCUMENTS = ("config", "golden")
"""Files of a version that hold no model."""
MAX_TOLERANCE = 1e-3
"""Of golden.json: a hundred times the one that is published."""
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


def read(folder: Path) -> Metadata:
    """Return the metadata of the version in `folder`, or raise `BadInput` when it holds none."""
    path = folder / "metadata.json"
    refuse_bad_path(folder)
    if not folder.is_dir():
        reason = "is a file" if folder.exists() else "no such folder"
        raise BadInput(folder, reason, "name a version folder such as models/NAME/v1.0.0")
    refuse_linked_folder(folder)
    refuse_unpublished(folder)
    return parse_metadata(read_bytes(path, max_bytes=MAX_METADATA_BYTES), path)


def refuse_linked_folder(folder: Path) -> None:
    """Raise `BadInput` when the version folder is a symbolic link: it could point elsewhere at the next file."""
    if folder.is_symlink():
        raise BadInput(folder, "is a symbolic link", f"name the folder itself, {folder.resolve()}")


def refuse_unpublished(folder: Path) -> None:
    """Raise `BadInput` for a folder without metadata.json: it was not published, or is being published."""
    if not (folder / "metadata.json").exists():
        inside = sorted(folder.glob("v*/metadata.json")) or sorted(folder.glob(PUBLISHED))
        action = f"name a version folder such as {inside[0].parent}" if inside else "run 'dvc repro' to publish it"
        raise BadInput(folder, "has no metadata.json, so it is no published version", action)


def parse_metadata(data: bytes, path: Path) -> Metadata:
    """Check the content of a metadata.json, which `path` names in errors, and return it. Raises `BadInput`."""
    metadata = parse(Metadata, data, path)
    refuse_bad_names(metadata, path)
    refuse_bad_sha256(metadata, path)
    refuse_bad_size(metadata, path)
    refuse_unknown_entries(metadata, path)
    return metadata


def refuse_bad_sha256(metadata: Metadata, path: Path) -> None:
    """Raise `BadInput` for a hash that SHA-256 does not give."""
    for entry in metadata.files.values():
        if not re.fullmatch("[0-9a-f]{64}", entry.sha256):
            raise BadInput(path, f"gives {entry.path} the sha256 {entry.sha256[:80]!r}", REDO)


def refuse_bad_size(metadata: Metadata, path: Path) -> None:
    """Raise `BadInput` for a size that no file has."""
    for entry in metadata.files.values():
        if not 0 <= entry.bytes < 2**63:
            raise BadInput(path, f"gives {entry.path} a size of {str(entry.bytes)[:20]} bytes", REDO)


def refuse_unknown_entries(metadata: Metadata, path: Path) -> None:
    """Raise `BadInput` for a file of a format that is not known here: nobody would look what is in it."""
    from isoform.formats import FORMATS  # here: it needs this module

    for name in metadata.files:
        if name not in FORMATS and name not in DOCUMENTS:
            raise BadInput(path, f"has the unknown entry {name[:80]!r}", f"its files are {', '.join([*FORMATS, *DOCUMENTS])}")


def refuse_bad_names(metadata: Metadata, path: Path) -> None:
    """Raise `BadInput` unless the model, its version and its files have names that can be nothing else."""
    if not re.fullmatch(MODEL_NAME, metadata.model_name):
        raise BadInput(path, f"names the model {metadata.model_name[:80]!r}", "name it in a-z, 0-9 and _, at most 64 letters")
    if not re.fullmatch(VERSION, metadata.version):
        raise BadInput(path, f"names the version {metadata.version[:80]!r}", "number it as 1.0.0")
    for entry in metadata.files.values():
        if not re.fullmatch(FILE_NAME, entry.path):
            raise BadInput(path, f"names the file {entry.path[:80]!r}", "a version's files lie in its own folder")


def refuse_bad_columns(config: Config, path: Path) -> None:
    """Raise `BadInput` unless there are columns, none twice, and the text columns are those that categories are given for."""
    names = [*config.numeric, *config.categorical]
    if not names or len(set(names)) < len(names):
        raise BadInput(path, "gives no columns, or one twice", REDO)
    if sorted(config.categories) != sorted(config.categorical):
        raise BadInput(path, "does not give categories for each text column, and for no other", REDO)


def refuse_bad_classes(config: Config, path: Path) -> None:
    """Raise `BadInput` unless a classification has two classes or more, of one type and none twice, and a regression none."""
    classes, least = config.classes, 2 if config.task == "classification" else 0
    if len(classes) < least or (not least and classes) or len(set(map(type, classes))) > 1 or len(set(classes)) < len(classes):
        raise BadInput(path, f"gives {str(classes)[:60]} as the classes of a {config.task}", REDO)


def refuse_large_classes(config: Config, path: Path) -> None:
    """Raise `BadInput` for a class beyond int64, in which labels are told."""
    if large := [label for label in config.classes if isinstance(label, int) and not -(2**63) <= label < 2**63]:
        raise BadInput(path, f"gives the class {str(large[0])[:60]}, which is no int64", REDO)


def refuse_other_network(config: Config, path: Path) -> None:
    """Raise `BadInput` when the network is not made for these columns, categories and classes."""
    if config.network is None:
        return
    wanted: dict[str, Any] = {
        "numeric": len(config.numeric),
        "cardinalities": [len(config.categories[name]) for name in config.categorical],
    }
    wanted |= {"classes": len(config.classes)} if config.task == "classification" else {}
    for argument, value in wanted.items():
        if config.network.arguments.get(argument) != value:
            raise BadInput(path, f"gives its network other '{argument}' than it has itself, {str(value)[:60]}", REDO)


def refuse_bad_tolerance(golden: Golden, path: Path) -> None:
    """Raise `BadInput` for limits that no difference, or every one, would keep; those of probabilities have the scale 1."""
    is_scale = golden.scale > 0 if golden.probabilities is None else golden.scale == 1
    if not 0 <= golden.tolerance <= MAX_TOLERANCE or not is_scale:
        raise BadInput(path, f"gives the tolerance {golden.tolerance:g} and the scale {golden.scale:g}", REDO)


def refuse_no_rows(golden: Golden, path: Path) -> None:
    """Raise `BadInput` when there is nothing to replay: any model would agree."""
    if not golden.rows:
        raise BadInput(path, "holds no rows", REDO)
