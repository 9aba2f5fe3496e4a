"""YAML as DVC reads it (YAML 1.2: `1e-3` is a number, `no` is text), and no more of it than parameters need.

What a reader would expand, run or overwrite is refused before anything is built: an alias, a tag, a key that stands twice,
deep nesting. Each guard names the key.
"""

import re
from pathlib import Path
from typing import Any, ClassVar

import yaml

from isoform.errors import Refused, first_line
from isoform.integrity import read_bytes

MAX_BYTES = 1 << 20
MAX_DEPTH = 20
MAX_LETTERS = 10_000
"""Of one key or value."""
MAX_DIGITS = 300
"""Of an integer."""
INTEGER, TEXT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:str"


def read(path: Path) -> Any:
    """Return the content of a file. Raises `BadInput` as `read_bytes` does, and `Refused` as `parse`."""
    return parse(read_bytes(path, max_bytes=MAX_BYTES))


def parse(data: bytes) -> Any:
    """Return the content of one YAML document. Raises `Refused` naming the key or the line at fault."""
    refuse_other_encoding(data)
    try:
        return yaml.load(data.decode(), Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise Refused(f"{line}is not the YAML expected ({error.problem or error.context})") from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # PyYAML lets through what Python makes no letter or version of
        raise Refused(f"is not the YAML expected ({first_line(error)})") from None


def refuse_other_encoding(data: bytes) -> None:
    """Raise `Refused` for bytes that are not UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Refused(f"line {line} is not UTF-8") from None


def refuse_alias(event: yaml.Event, at: str) -> None:
    """Raise `Refused` for an alias: a few, of each other, expand to gigabytes."""
    if isinstance(event, yaml.AliasEvent):
        raise Refused(f"{at}: is the alias *{str(event.anchor)[:40]}, which stands for something else: write that out")


def refuse_tag(event: yaml.Event, at: str) -> None:
    """Raise `Refused` for a tag, which can name a class to build or a function to call."""
    tag = getattr(event, "tag", None)
    if tag not in (None, "!"):
        raise Refused(f"{at}: has the tag {tag[:80]}, and a parameter is plain")


def refuse_deep(depth: int, at: str) -> None:
    """Raise `Refused` for nesting that would exhaust whoever walks through it."""
    if depth > MAX_DEPTH:
        raise Refused(f"{at[:80]}: is nested deeper than {MAX_DEPTH} levels")


def refuse_long(node: yaml.Node | None, at: str) -> None:
    """Raise `Refused` for a key or value that is too long to be one; Python reads no integer of 5,000 digits."""
    if not isinstance(node, yaml.ScalarNode):
        return
    limit = MAX_DIGITS if node.tag == INTEGER else MAX_LETTERS
    if len(node.value) > limit:
        raise Refused(f"{at[:80]}: has {len(node.value)} letters, the limit is {limit}")


def refuse_other_key(node: yaml.Node, at: str) -> None:
    """Raise `Refused` for a key that is read as something else than text: `1` and `01` would be one."""
    if isinstance(node, yaml.ScalarNode) and node.tag != TEXT:
        raise Refused(f"{at}: the key '{node.value[:80]}' is no text; write it in quotes")


def refuse_duplicate_key(keys: list[str], at: str) -> None:
    """Raise `Refused` when a key stands twice: the last would silently win."""
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise Refused(f"{at}: duplicate key '{twice}'")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2's core schema instead of 1.1's, and with the guards above."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.path: list[str] = []

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose what `index`, the key's node or a position, leads to."""
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        self.path.append(str(index.value if isinstance(index, yaml.ScalarNode) else "" if index is None else index))
        at = ".".join(filter(None, self.path)) or "the file"
        refuse_alias(event, at)
        refuse_tag(event, at)
        refuse_deep(len(self.path), at)
        node = super().compose_node(parent, index)
        refuse_long(node, at)
        if isinstance(node, yaml.MappingNode):
            for key, _ in node.value:
                refuse_other_key(key, at)
            refuse_duplicate_key([key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)], at)
        self.path.pop()
        return node


def _add_core_schema() -> None:
    for tag, pattern, first in (
        ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
        ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
        ("int", r"^[-+]?[0-9]+$", list("-+0123456789")),
        ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", list("-+.0123456789")),
        ("float", r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$", list("-+.")),
    ):
        _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(pattern), first)
    # YAML 1.1 would read 010 as eight.
    _Loader.add_constructor(INTEGER, lambda _, node: int(node.value))


_add_core_schema()
