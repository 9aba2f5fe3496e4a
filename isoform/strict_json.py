"""JSON that every reader takes for the same: UTF-8, no key twice, no NaN, each value of the type that a dataclass gives it.

With the standard library alone; `parse` is the only way a document of a version is read.
"""

import dataclasses
import json
import math
import re
import sys
import types
import typing
from pathlib import Path
from typing import Any, Literal, TypeVar

from isoform.errors import BadInput

T = TypeVar("T")

REDO = "restore it with 'git checkout', or rebuild it with 'dvc repro'"
NOT_JSON, TOO_DEEP = (ValueError,), (RecursionError,)
"""What Python's reader raises."""


def to_json(document: object) -> str:
    """Return a dataclass, or a dict of them, as JSON for a diff: declared order, one list of scalars per line."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    # A line break is structure, never content: inside a JSON string it is escaped.
    flat = re.sub(r"\[\n\s+([^\[\]{}]*?)\n\s+\]", lambda m: "[" + re.sub(r",\n\s+", ", ", m[1]) + "]", text)
    return flat + "\n"


def parse(kind: type[T], data: bytes, path: Path) -> T:
    """Check the JSON document `data` against the dataclass `kind` and return it.

    `path` only names the file in errors. Raises `BadInput` naming the first field that is missing,
    unknown or of another type, and for JSON that another reader could take for something else.
    """
    refuse_other_encoding(data, path)
    try:
        document = json.loads(data, parse_float=_float, parse_constant=refuse_constant, object_pairs_hook=_object)
        refuse_unfit_text(data, document, path)
        return typing.cast(T, _check(kind, document, "$"))
    except _Mismatch as mismatch:
        raise BadInput(path, str(mismatch)[:300], REDO) from None
    except TOO_DEEP:
        raise BadInput(path, "is nested too deeply", REDO) from None
    except NOT_JSON as error:
        raise BadInput(path, f"is not JSON ({error})", REDO) from None


def refuse_other_encoding(data: bytes, path: Path) -> None:
    """Raise `BadInput` unless `data` is plain UTF-8: Python would guess UTF-16 and UTF-32 and skip a mark, others would not."""
    reason = "starts with a byte order mark" if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")) else ""
    if not reason and b"\0" in data:
        reason = "holds NUL"
    if not reason:
        try:
            data.decode()
        except UnicodeDecodeError as error:
            reason = f"is not UTF-8 from byte {error.start} on"
    if reason:
        raise BadInput(path, f"is not JSON (it {reason})", REDO)


def refuse_constant(name: str) -> None:
    """Raise `ValueError` for NaN and Infinity, which Python reads and JSON does not know."""
    raise ValueError(f"{name} is no number in JSON")


def refuse_infinite(value: float, text: str) -> None:
    """Raise `ValueError` for a number beyond float64, which Python reads as infinite and others read otherwise."""
    if math.isinf(value):
        raise ValueError(f"{text[:40]} is beyond the range of numbers")


def repeated(pairs: list[tuple[str, Any]]) -> str | None:
    """Return the first key that stands twice in an object, None when none does."""
    seen = set()
    for key, _ in pairs:
        if key in seen:
            return key
        seen.add(key)
    return None


def refuse_duplicate_keys(pairs: list[tuple[str, Any]]) -> None:
    """Raise `_Mismatch` for an object that gives one key twice: some readers take the first, some the last."""
    if (key := repeated(pairs)) is not None:
        raise _Mismatch(f"gives the key {json.dumps(key)[:60]} twice in one object")


def refuse_unfit_text(data: bytes, document: Any, path: Path) -> None:
    """Raise `BadInput` for NUL and lone surrogates, which JSON can only escape: no row may hold them, no terminal shows them."""
    if b"\\u" not in data:
        return
    text = json.dumps(document, ensure_ascii=False).replace(r"\\", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        text = r"\u0000"
    if r"\u0000" in text:
        raise BadInput(path, "holds NUL or a lone surrogate", REDO)


def _float(text: str) -> float:
    value = float(text)
    refuse_infinite(value, text)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    refuse_duplicate_keys(pairs)
    return dict(pairs)


def _plain(document: Any) -> Any:
    if dataclasses.is_dataclass(document) and not isinstance(document, type):
        return dataclasses.asdict(document)
    raise TypeError(f"{type(document).__name__} has no JSON form")


class _Mismatch(Exception):
    pass


def refuse_other_type(kind: Any, value: Any, at: str) -> None:
    """Raise `_Mismatch`: `value`, which stands at `at`, is of no type that `kind` allows."""
    expected = getattr(kind, "__name__", None) if isinstance(kind, type) else None
    raise _Mismatch(f"{at} is {json.dumps(value)[:60]}, expected {expected or str(kind).replace('isoform.metadata.', '')}")


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
    refuse_other_type(kind, value, at)
    return value


def _check_fields(kind: Any, value: Any, at: str) -> Any:
    refuse_other_kind(value, at)
    hints = {field.name: field.type for field in dataclasses.fields(kind)}
    for name in hints:
        refuse_absent_field(value, name, at)
    for name in value:
        refuse_unknown_field(hints, name, at)
    return kind(**{name: _check(hint, value[name], f"{at}.{name}") for name, hint in hints.items()})


def refuse_other_kind(value: Any, at: str) -> None:
    """Raise `_Mismatch` for what is no object."""
    if not isinstance(value, dict):
        raise _Mismatch(f"{at} is {json.dumps(value)[:60]}, expected an object")


def refuse_absent_field(value: dict[str, Any], name: str, at: str) -> None:
    """Raise `_Mismatch` for an object without the field `name`."""
    if name not in value:
        raise _Mismatch(f"{at}.{name} is missing")


def refuse_unknown_field(fields: dict[str, Any], name: str, at: str) -> None:
    """Raise `_Mismatch` for a field that nobody reads."""
    if name not in fields:
        raise _Mismatch(f"{at}.{name} is not a known field")
