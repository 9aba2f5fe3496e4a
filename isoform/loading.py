"""Load a version: verify first, then parse what was verified, in the safest format that is there."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from isoform import metadata as documents
from isoform.errors import BadInput, CheckFailed, IsoformError, Refused, first_line
from isoform.formats import FORMATS, FormatModule, open_format
from isoform.integrity import open_verified
from isoform.labels import labels
from isoform.metadata import Config, Golden, Metadata
from isoform.rows import Columns, Rows, canonical, count

UNSAFE = "rebuild it with 'dvc repro', and do not load this one"


@dataclass(frozen=True, kw_only=True)
class Model:
    """A loaded model; every format gives the same answers through the same two methods."""

    metadata: Metadata = field(repr=False)
    config: Config = field(repr=False)
    format: str
    native: Any = field(repr=False)
    """The format's own object: an onnxruntime session, a `torch.nn.Module` in `eval()`, a scikit-learn Pipeline."""
    module: FormatModule = field(repr=False)
    path: Path = field(repr=False)
    """The file that it was loaded from."""

    def predict_proba(self, rows: Rows) -> np.ndarray:
        """Return the probability of each class, float32 [N, K] in [0, 1], classes as in `config.classes`.

        `rows` is a dict of columns, a list of dicts or a DataFrame with the columns of
        `metadata.input_schema`; `isoform.rows` says what a cell may be. Raises `BadInput`, also for a regression, and
        `CheckFailed` when the model cannot answer or answers with something else.
        """
        if self.config.task != "classification":
            raise BadInput(f"model '{self.config.model_name}'", "is a regression and has no probabilities", "call predict")
        return self._answer(rows)

    def predict(self, rows: Rows) -> np.ndarray:
        """Return the most probable class of each row, [N], of tied ones the first; for a regression, float32 [N]."""
        found = self._answer(rows)
        return labels(found, self.config) if self.config.task == "classification" else found[:, 0]

    def _answer(self, rows: Rows) -> np.ndarray:
        prepare = getattr(self.module, "prepare", canonical)
        columns = prepare(rows, self.config.numeric, self.config.categorical)
        try:
            found = answer(self.module, self.native, columns, self.config)
        except Refused as refusal:
            raise CheckFailed(self.path, str(refusal), "ask for fewer rows at once, or " + UNSAFE) from refusal
        except Exception as error:  # each runtime has its own; the rows were checked, so it is the model
            refuse_failure(self.path, error)
            raise
        refuse_bad_answer(self.path, found, count(columns), self.config)
        return found


def load(folder: str | Path, format: str | None = None, trust_pickle: bool = False, allow_version_skew: bool = False) -> Model:
    """Load the version in `folder`.

    Without `format`, the safest one present is taken. Each file's SHA-256 is compared with metadata.json
    before anything parses it, and its format's policy says what may be in it. A format that unpickles (joblib, pickle,
    full_model) is loaded only with its name and `trust_pickle=True`, and only with the library versions that wrote it;
    with `allow_version_skew=True` others are logged as a warning.

    Raises `CheckFailed` when a hash or a version differs or the policy refuses the file, and `BadInput` when the folder, the
    format or a library is missing.
    """
    folder = Path(folder)
    metadata = documents.read(folder)
    name = format or _safest(folder, metadata)
    refuse_unknown_format(folder, name, metadata)
    path = folder / metadata.files[name].path
    refuse_untrusted(path, name, trust_pickle)
    refuse_version_skew(path, name, metadata, allow_version_skew)
    config = read_config(folder, metadata)
    data = read_file(folder, metadata, name)
    native = parse_model(path, name, data, config, allow_version_skew)
    return Model(metadata=metadata, config=config, path=path, format=name, native=native, module=open_format(name))


def refuse_unknown_format(folder: Path, name: str, metadata: Metadata) -> None:
    """Raise `BadInput` when the version has no such format."""
    if name not in FORMATS or name not in metadata.files:
        have = ", ".join(known for known in metadata.files if known in FORMATS)
        raise BadInput(folder, f"has no format '{name[:80]}'", f"give one of {have}")


def refuse_untrusted(path: Path, name: str, trust_pickle: bool) -> None:
    """Raise `BadInput` for a format that unpickles, unless the caller has said that he trusts it."""
    if not FORMATS[name].safe and not trust_pickle:
        raise BadInput(
            path,
            f"format '{name}' unpickles, which is only as safe as its author",
            "pass trust_pickle=True (--trust-pickle) if you trust him, or load another format",
        )


def refuse_version_skew(path: Path, name: str, metadata: Metadata, allow: bool) -> None:
    """Raise `CheckFailed` when a library that the format is bound to is not the one that metadata.json names; or log it."""
    if name not in FORMATS or not FORMATS[name].bound_to:
        return
    from importlib.metadata import PackageNotFoundError, version

    for library in FORMATS[name].bound_to:
        try:
            here = version(library).partition("+")[0]
        except PackageNotFoundError:
            continue  # `open_format` says what to install
        recorded = metadata.environment.get(library, "no version")
        if here != recorded:
            reason = f"metadata.json records {library} {recorded}, {here} is installed"
            failure = CheckFailed(
                path, reason, f"install {library}=={recorded}, or pass allow_version_skew (--allow-version-skew)"
            )
            if not allow:
                raise failure
            import logging  # here: a consumer of model.onnx never needs it

            logging.getLogger(__name__).warning("warning: %s: %s", path, reason)


def refuse_failure(path: Path, error: Exception) -> None:
    """Raise `CheckFailed` for a model that was loaded and cannot answer rows that were checked."""
    raise CheckFailed(path, f"cannot answer ({type(error).__name__}: {first_line(error)[:200]})", UNSAFE) from error


def refuse_bad_answer(path: Path, found: np.ndarray, rows: int, config: Config) -> None:
    """Raise `CheckFailed` unless `found` is finite numbers, [N, K]."""
    if found.shape != (rows, config.width):
        raise CheckFailed(path, f"answers with shape {found.shape}, not {(rows, config.width)}", UNSAFE)
    if found.dtype.kind != "f" or not np.isfinite(found).all():
        raise CheckFailed(path, "answers with what is no finite number", UNSAFE)


def refuse_empty(path: Path, data: bytes) -> None:
    """Raise `CheckFailed` for a file of no bytes, which some readers take for a model of nothing."""
    if not data:
        raise CheckFailed(path, "is empty", "rebuild it with 'dvc repro'")


def refuse_pickle(path: Path, name: str, data: bytes) -> None:
    """Raise `CheckFailed` for a pickle in the place of a format that holds none; its own reader would not say so."""
    # The length of a header of safetensors may begin with the same two bytes; its ninth byte tells them apart.
    if name in ("onnx", "safetensors") and data[:1] == b"\x80" and data[1:2] <= b"\x05" and data[8:9] != b"{":
        raise CheckFailed(path, f"is a pickle, not {name}", UNSAFE)


def parse_model(path: Path, name: str, data: bytes, config: Config, allow_version_skew: bool = False) -> Any:
    """Parse the verified content of `path` with the reader of format `name`; whatever that raises becomes one line."""
    module = open_format(name)
    refuse_empty(path, data)
    refuse_pickle(path, name, data)
    options = {"allow_version_skew": allow_version_skew} if FORMATS[name].bound_to else {}
    try:
        return module.load(data, config, **options)
    except BadInput as error:  # of the network that config.json describes
        raise BadInput(path.parent / "config.json", f"{error.where} {error.reason}", error.action) from error
    except IsoformError:
        raise
    except Refused as refusal:
        raise CheckFailed(path, str(refusal), refusal.action or UNSAFE) from refusal
    except Exception as error:  # the readers share no base class; the cause is kept for --debug
        reason = f"{name} cannot read it ({type(error).__name__}: {str(error)[:200]})"
        raise BadInput(path, reason, "rebuild it with 'dvc repro'") from error


def read_file(folder: Path, metadata: Metadata, name: str) -> bytes:
    """Return the verified bytes of entry `name` of metadata.json."""
    entry = metadata.files[name]
    refuse_other_filename(folder, name, entry.path)
    return open_verified(folder / entry.path, entry.sha256, expected_bytes=entry.bytes)


def refuse_other_filename(folder: Path, name: str, filename: str) -> None:
    """Raise `BadInput` when metadata.json gives entry `name` to a file of another format."""
    expected = FORMATS[name].filename if name in FORMATS else f"{name}.json"
    if filename != expected:
        raise BadInput(folder / "metadata.json", f"says that '{name}' is {filename}, and it is {expected}", documents.REDO)


def read_config(folder: Path, metadata: Metadata) -> Config:
    """Return the verified config.json."""
    path = folder / "config.json"
    config = documents.parse(Config, _entry(folder, metadata, "config"), path)
    documents.refuse_bad_columns(config, path)
    documents.refuse_bad_classes(config, path)
    documents.refuse_large_classes(config, path)
    documents.refuse_other_network(config, path)
    return config


def read_golden(folder: Path, metadata: Metadata) -> Golden:
    """Return the verified golden.json."""
    path = folder / "golden.json"
    golden = documents.parse(Golden, _entry(folder, metadata, "golden"), path)
    documents.refuse_bad_tolerance(golden, path)
    documents.refuse_no_rows(golden, path)
    return golden


def answer(module: FormatModule, native: Any, columns: Columns, config: Config) -> np.ndarray:
    """Return a format's answer to canonical rows, float32 [N, K]; no rows give no answers in every format."""
    if not count(columns):
        return np.empty((0, config.width), dtype=np.float32)
    return module.infer(native, columns, config)


def _entry(folder: Path, metadata: Metadata, name: str) -> bytes:
    refuse_absent_document(folder, metadata, name)
    refuse_large_document(folder, metadata, name)
    return read_file(folder, metadata, name)


def refuse_absent_document(folder: Path, metadata: Metadata, name: str) -> None:
    """Raise `BadInput` when metadata.json has no entry for config.json or golden.json."""
    if name not in metadata.files:
        raise BadInput(folder / "metadata.json", f"has no entry '{name}'", documents.REDO)


def refuse_large_document(folder: Path, metadata: Metadata, name: str) -> None:
    """Raise `BadInput` for more JSON than can be parsed in reasonable memory."""
    size, limit = metadata.files[name].bytes, documents.MAX_DOCUMENT_BYTES
    if size > limit:
        raise BadInput(folder / f"{name}.json", f"holds {size} bytes, the limit is {limit}", documents.REDO)


def _safest(folder: Path, metadata: Metadata) -> str:
    for name, entry in FORMATS.items():
        if entry.safe and name in metadata.files and (folder / metadata.files[name].path).exists():
            return name
    raise CheckFailed(folder, "none of its safe formats is here", "run 'dvc pull', or name a format")
