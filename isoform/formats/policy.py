"""What a file of pickle or joblib must be besides allowed: whole, plain, alone, and the Pipeline that config.json describes.

Not in pickle.py and joblib.py, which write the files: a change of what may be loaded trains no model anew.
"""

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import sklearn
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.compose._column_transformer import _is_empty_column_selection
from sklearn.pipeline import Pipeline

from isoform import warning_filters
from isoform.errors import Refused, first_line
from isoform.formats.attributes import arguments_of, parts_of
from isoform.formats.ledger import Ledger, Reader
from isoform.formats.pickle import PROTOCOL, infer
from isoform.formats.unpickling import Unpickler
from isoform.metadata import Config
from isoform.rows import canonical

COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ": "xz",
    b"\x5d\x00\x00": "lzma",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x28\xb5\x2f\xfd": "zstd",
    **{bytes([0x78, level]): "zlib" for level in (0x01, 0x5E, 0x9C, 0xDA)},
}
"""How each begins; joblib.load would unpack them unasked, however large they become."""

ASKED = ("BaseEstimator", "Kernel", "TreePredictor", "_CalibratedClassifier")
"""The classes, or their bases, of what scikit-learn makes one of for each place."""

log = logging.getLogger(__name__)


def read(data: bytes, config: Config, allow_version_skew: bool, unpickler: type[Unpickler]) -> Pipeline:
    """Unpickle a Pipeline by `unpickler`; raises `Refused` for what policy forbids or `config` does not describe."""
    refuse_compressed(data)
    refuse_legacy(data)
    refuse_other_start(data)
    file = Reader(data)
    reader = unpickler(file, Ledger(len(data)), allow_version_skew)
    with warning_filters.ALONE:  # scikit-learn is imported, and makes a tree, as the file asks for it
        found = reader.load()
    rest = reader.rest_of_frame() + data[file.tell() :]
    refuse_second(rest)
    refuse_rest(rest)
    for version in sorted(reader.skews):
        log.warning("warning: it holds estimators of scikit-learn %s, and %s is installed", version, sklearn.__version__)
    refuse_other_model(found)
    refuse_shared(found)
    refuse_other_columns(found, config)
    refuse_other_names(found)
    refuse_mute(found, config)
    return found


def refuse_compressed(data: bytes) -> None:
    """Raise `Refused` for a compressed file, before a byte of it is unpacked."""
    for magic, name in COMPRESSED.items():
        if data.startswith(magic):
            raise Refused(f"is compressed ({name}), and ours are not")


def refuse_legacy(data: bytes) -> None:
    """Raise `Refused` for the format of joblib before 0.10, whose arrays may lie in files beside it."""
    if data.startswith(b"ZF"):
        raise Refused("is of joblib's old format ZF, with companion files")


def refuse_other_start(data: bytes) -> None:
    """Raise `Refused` for anything that does not begin as `dump` does: other protocols, text, another format."""
    if not data.startswith(bytes([0x80, PROTOCOL])):
        raise Refused(f"begins with {data[:8]!r}, not as a pickle of protocol {PROTOCOL}")


def refuse_second(rest: bytes) -> None:
    """Raise `Refused` when another pickle follows the first."""
    if rest.startswith(b"\x80"):
        raise Refused("holds a second pickle after the first")


def refuse_rest(rest: bytes) -> None:
    """Raise `Refused` when anything follows the pickle."""
    if rest:
        raise Refused(f"holds {len(rest)} bytes after its end")


def refuse_other_model(found: object) -> None:
    """Raise `Refused` for something else than a Pipeline of named steps."""
    if type(found) is not Pipeline:
        raise Refused(f"holds a {type(found).__name__}, not a Pipeline")


def refuse_shared(found: Pipeline) -> None:
    """Raise `Refused` for an estimator or a kernel that is asked in two places: two bytes of the file name it once more."""
    asked: set[int] = set()
    for part in parts_asked(found):
        if id(part) in asked:
            raise Refused(f"asks one {type(part).__name__} in two places")
        asked.add(id(part))


def parts_asked(whole: Any) -> Iterator[Any]:
    """Yield all that is asked when `whole` answers, as often as that is; its arguments are not, which `fit` copies."""
    left = [whole]
    while left:
        part = left.pop()
        if isinstance(part, list | tuple | dict):
            left += parts_of(part)
        elif isinstance(part, np.ndarray):
            left += part.ravel().tolist() if part.dtype == object else []
        elif any(kind.__name__ in ASKED for kind in type(part).__mro__):
            yield part
            given = arguments_of(type(part)) - {"steps"} | {"named_estimators_"}
            if isinstance(part, BaseEstimator):
                given |= {"estimator"}  # which is no argument of a forest's class
            if "estimators_" in vars(part):
                given |= {"estimator_"}  # of which they are copies
            left += [value for name, value in vars(part).items() if name not in given]


def refuse_other_columns(found: Any, config: Config) -> None:
    """Raise `Refused` for a Pipeline of other columns or classes than config.json records."""
    try:
        columns = list(found.feature_names_in_)
        classes = found.classes_.tolist() if config.task == "classification" else config.classes
    except Exception as error:  # a Pipeline asks its steps, which may be anything
        raise Refused(f"does not say which columns and classes it was fitted on ({first_line(error)[:80]})") from error
    if columns != [*config.numeric, *config.categorical]:
        raise Refused(f"was fitted on the columns {str(columns)[:200]}, which are not those of config.json")
    if classes != config.classes:
        raise Refused(f"was fitted on the classes {str(classes)[:200]}, which are not those of config.json")


def refuse_other_names(found: Pipeline) -> None:
    """Raise `Refused` for a step asked with names of columns and fitted without, or the other way: scikit-learn would warn.

    The answers would be right; but what a program prints is its own, and warnings are caught for all threads or for none.
    """
    try:
        asked = list(asked_with_names(found, True, set()))
    except Exception as error:  # steps may be anything
        raise Refused(f"holds steps that cannot be followed ({type(error).__name__}: {first_line(error)[:80]})") from error
    for step, named in asked:
        if hasattr(step, "feature_names_in_") != named:
            fitted, given = ("without", "with") if named else ("on", "without")
            raise Refused(f"holds a {type(step).__name__} that was fitted {fitted} names of columns, to be asked {given} them")


def asked_with_names(part: Any, named: bool, seen: set[tuple[int, bool]]) -> Iterator[tuple[BaseEstimator, bool]]:
    """Yield each estimator in `part` with whether what it is asked with is a table, which has names, or an array.

    A table goes through a ColumnTransformer to all its transformers, and to the steps of a Pipeline up to the first that makes
    an array of it. What others pass on to the estimators inside them is theirs to say, unless they are given an array: then
    nothing has names. What they were given as arguments is fitted in copies, and never asked.
    """
    if isinstance(part, BaseEstimator):
        if (id(part), named) in seen:
            return
        seen.add((id(part), named))
    if isinstance(part, Pipeline):
        for _, step in part.steps:
            yield from asked_with_names(step, named, seen)
            named = named and not isinstance(step, BaseEstimator)  # "passthrough" hands on the table
    elif isinstance(part, ColumnTransformer):
        yield part, named
        for _, step, columns in getattr(part, "transformers_", ()):
            if not _is_empty_column_selection(columns):  # for none a transformer is neither fitted nor asked
                yield from asked_with_names(step, named, seen)
    elif isinstance(part, BaseEstimator):
        yield part, named
        for name in () if named else vars(part).keys() - arguments_of(type(part)):
            yield from asked_with_names(vars(part)[name], False, seen)
    elif isinstance(part, list | tuple | dict):
        for one in parts_of(part):
            yield from asked_with_names(one, named, seen)
    elif isinstance(part, np.ndarray) and part.dtype == object:
        yield from asked_with_names(part.ravel().tolist(), named, seen)


def refuse_mute(found: Pipeline, config: Config) -> None:
    """Raise `Refused` for a Pipeline that has no answer to a row in which everything is missing."""
    cells: dict[str, Any] = {name: [None] for name in config.numeric} | {name: [""] for name in config.categorical}
    row = canonical(cells, config.numeric, config.categorical)
    try:
        answer = infer(found, row, config)
    except Exception as error:  # whatever its arithmetic raises
        raise Refused(f"cannot answer a row ({type(error).__name__}: {first_line(error)[:120]})") from error
    if answer.shape != (1, config.width) or not np.isfinite(answer).all():
        raise Refused(f"answers a row with {answer.ravel()[:8].tolist()}, of shape {answer.shape}")
