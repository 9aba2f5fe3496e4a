"""Verify a published version: every hash, then the golden rows in every format that can be opened here."""

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from operator import ne
from pathlib import Path

import numpy as np

from isoform import metadata as documents
from isoform.errors import BadInput, CheckFailed, IsoformError
from isoform.formats import FORMATS, open_format
from isoform.integrity import read_bytes
from isoform.labels import labels
from isoform.loading import answer, parse_model, read_config, read_file, read_golden, refuse_version_skew
from isoform.metadata import Config, Golden, Metadata
from isoform.rows import Columns, canonical


@dataclass(frozen=True)
class Finding:
    """What was found of one file: with an `error`, the version must not be used."""

    name: str
    text: str
    error: IsoformError | None = None
    note: bool = False
    """Neither good nor bad: something to know."""

    @property
    def ok(self) -> bool:
        """Tell whether nothing is wrong with the file."""
        return self.error is None


def verify(
    folder: Path,
    *,
    trust_pickle: bool = False,
    present_only: bool = False,
    allow_version_skew: bool = False,
    revision: str | None = None,
) -> Iterator[Finding]:
    """Yield a finding for each file of the version in `folder`, in the order of metadata.json.

    The hashes are those of metadata.json in the folder, which a note says when Git's HEAD has another; or, with `revision`,
    those of that revision of its Git repository: then another metadata.json in the folder is a failure.
    A missing file is a failure unless `present_only`. Formats that unpickle are only hashed unless
    `trust_pickle`; a format whose library is missing is named and counts as neither good nor bad.
    Raises `BadInput` when there is no metadata.json to verify against; whatever else is wrong is a finding.
    """
    if revision is None:
        metadata = documents.read(folder)
        yield from _compare_with_head(folder)
    else:
        metadata, document = _metadata_of(folder, revision)
        yield _compare_with(document, folder, revision)
    try:
        config, golden = read_config(folder, metadata), read_golden(folder, metadata)
    except IsoformError as error:
        yield Finding("config", str(error), error)
        return
    for name, entry in metadata.files.items():
        if present_only and not (folder / entry.path).exists():
            yield Finding(name, "absent")
            continue
        try:
            yield Finding(name, _replay(folder, metadata, name, config, golden, trust_pickle, allow_version_skew))
        except IsoformError as error:
            yield Finding(name, str(error), error)


def absent(models: Path, revision: str | None = None) -> Iterator[Finding]:
    """Yield a note for each version that Git's HEAD has under `models`, and that is not published there.

    With `revision`, a failure for each that this has. Raises `BadInput` when there is no such revision.
    """
    from isoform import revisions

    try:
        if revision is None and not revisions.in_repository(models.parent):
            return
        folders = revisions.versions_at(models, revision or "HEAD")
    except BadInput:
        if revision is None:
            return  # as below
        raise
    for path in (folder / "metadata.json" for folder in folders):
        if os.path.exists(path):  # noqa: PTH110 - of a name that is too long, too, it only says no
            continue
        if revision is None:
            yield Finding("metadata", f"{path} is in Git's HEAD and not here, so that version was not looked at", note=True)
        else:
            error = CheckFailed(path, f"is in revision '{revision}' and not here", _restore(revision, path))
            yield Finding("metadata", str(error), error)


def _compare_with_head(folder: Path) -> Iterator[Finding]:
    """Yield a note when the folder's metadata.json is not the one that Git's HEAD has."""
    from isoform import revisions

    try:
        if not revisions.in_repository(folder):
            return
        committed = revisions.metadata_at(folder, "HEAD")
    except BadInput:
        return  # a repository without a commit, or a Git that does not answer
    if committed is None:
        yield Finding("metadata", "Git's HEAD has no metadata.json here", note=True)
    elif committed != _document(folder):
        yield Finding("metadata", "metadata.json differs from Git's HEAD ('git diff' shows how)", note=True)


def _metadata_of(folder: Path, revision: str) -> tuple[Metadata, bytes]:
    from isoform import revisions

    path = folder / "metadata.json"
    if not folder.is_dir():
        raise BadInput(folder, "no such folder", "name a version folder such as models/NAME/v1.0.0")
    documents.refuse_linked_folder(folder)
    document = revisions.metadata_at(folder, revision)
    if document is None:
        raise BadInput(path, f"is not in revision '{revision}'", "name a revision in which this version was published")
    return documents.parse_metadata(document, path), document


def _compare_with(document: bytes, folder: Path, revision: str) -> Finding:
    path = folder / "metadata.json"
    try:
        if _document(folder) == document:
            return Finding("metadata", f"as in revision '{revision}'")
        raise CheckFailed(path, f"differs from revision '{revision}'", _restore(revision, path))
    except IsoformError as error:
        return Finding("metadata", str(error), error)


def _restore(revision: str, path: Path) -> str:
    return f"run 'git checkout {shlex.quote(revision)} -- {shlex.quote(str(path))}'"


def _document(folder: Path) -> bytes:
    return read_bytes(folder / "metadata.json", max_bytes=documents.MAX_METADATA_BYTES)


def rows_of(golden: Golden, config: Config) -> Columns:
    """Return the golden rows as canonical columns; `BadInput` when they are not as long as the columns."""
    if any(len(row) != len(golden.columns) for row in golden.rows):
        raise BadInput("golden.json", f"has rows of another length than {len(golden.columns)}", documents.REDO)
    cells = {name: [row[i] for row in golden.rows] for i, name in enumerate(golden.columns)}
    return canonical(cells, config.numeric, config.categorical)


def answers_of(golden: Golden, config: Config) -> np.ndarray:
    """Return the expected answers, float32 [N, K]; `BadInput` when there are more or fewer than rows and columns."""
    rows, width = len(golden.rows), config.width
    answers = golden.probabilities if config.task == "classification" else [[value] for value in golden.prediction or []]
    if answers is None or len(answers) != rows or any(len(row) != width for row in answers):
        raise BadInput("golden.json", f"has not {width} {config.task} answers for each of {rows} rows", documents.REDO)
    with np.errstate(over="ignore"):  # beyond float32's range is inf, with which no answer agrees
        return np.array(answers, dtype=np.float32).reshape(rows, width)


def difference(found: np.ndarray, expected: np.ndarray, scale: float) -> float:
    """Return the largest difference of two answers of one shape, in the units of `Golden.tolerance`; NaN for a NaN."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(found.astype(np.float64) - expected) / np.maximum(scale, np.abs(expected.astype(np.float64)))
    return float(apart.max(initial=0.0))


def count_flips(given: np.ndarray, golden: Golden) -> int:
    """Return how many of the labels [N] are other than the golden ones."""
    wanted = golden.label or []
    return sum(map(ne, given.tolist(), wanted)) if len(given) == len(wanted) else len(given)


def refuse_other_shape(path: Path, own: np.ndarray, rows: int) -> None:
    """Raise `CheckFailed` unless the labels that a model gives itself are one for each row."""
    if own.shape != (rows,):
        raise CheckFailed(path, f"gives labels of shape {own.shape} to {rows} rows", documents.REDO)


def _replay(
    folder: Path,
    metadata: Metadata,
    name: str,
    config: Config,
    golden: Golden,
    trust_pickle: bool,
    allow_version_skew: bool,
) -> str:
    data = read_file(folder, metadata, name)
    if name not in FORMATS:
        return "hash ok"
    if not FORMATS[name].safe and not trust_pickle:
        return "hash ok, not replayed: it unpickles (add --trust-pickle)"
    try:
        module = open_format(name)
    except IsoformError as error:
        return f"hash ok, not replayed: {error.reason} ({error.action})"
    path = folder / metadata.files[name].path
    refuse_version_skew(path, name, metadata, allow_version_skew)
    native = parse_model(path, name, data, config, allow_version_skew)
    expected = answers_of(golden, config)
    own = None
    try:
        rows = rows_of(golden, config)
        found = answer(module, native, rows, config)
        if name == "onnx" and config.task == "classification":
            from isoform.formats import onnx as onnx_format

            # model.onnx has labels of its own, which other languages read; `Model.predict` derives them everywhere.
            own = onnx_format.predict(native, rows)
    except Exception as error:  # each runtime has its own; the cause is kept for --debug
        raise CheckFailed(path, f"cannot answer the golden rows ({str(error)[:200]})", documents.REDO) from error
    if found.shape != expected.shape:
        raise CheckFailed(path, f"answers with shape {found.shape}, golden.json has {expected.shape}", documents.REDO)
    apart, flips = difference(found, expected, golden.scale), 0
    if config.task == "classification":
        flips = count_flips(labels(found, config), golden)
    if own is not None:
        refuse_other_shape(path, own, len(expected))
        flips = max(flips, count_flips(own, golden))
    # `not <=`, so that NaN fails too.
    if not apart <= golden.tolerance or flips:
        raise CheckFailed(path, f"golden rows differ by {apart:.2g}, {flips} labels differ", documents.REDO)
    return f"hash ok, {len(expected)} golden rows replayed, largest difference {apart:.1e}"
