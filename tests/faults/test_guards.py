"""Every guard of the product is taken out by a test of a fault: none is there that no test would miss."""

import ast
import dataclasses
import functools
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from builders import REPOSITORY

ROOMS = ("isoform", "pipeline", "stages")


@functools.cache
def guards() -> list[str]:
    """Return `module:function` of every function called refuse_…."""
    found = []
    for path in sorted(path for room in ROOMS for path in (REPOSITORY / room).rglob("*.py")):
        module = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")
        functions = [node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
        found += [f"{module}:{name}" for name in functions if name.startswith("refuse_")]
    return found


def texts(value: Any, seen: set[int]) -> Iterator[str]:
    """Yield the texts in what a test is made of: faults, tables, the parameters and the constants of functions."""
    if isinstance(value, str):
        yield value[:1000]  # some are the content of a bad file, of 100 MB
    elif id(value) not in seen:
        seen.add(id(value))
        inner: list[Any] = []
        if isinstance(value, list | tuple | set | frozenset):
            inner = list(value)
        elif isinstance(value, dict):
            inner = [*value, *value.values()]
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            inner = list(vars(value).values())
        elif hasattr(value, "__code__"):
            inner = [mark.args for mark in getattr(value, "pytestmark", [])] + list(value.__code__.co_consts)
        for one in inner:
            yield from texts(one, seen)


@pytest.fixture(scope="module")
def taken_out() -> set[str]:
    """Give every `module:function` and `function` that the tests of faults name."""
    found: set[str] = set()
    for path in [*Path(__file__).parent.glob("test_*.py"), REPOSITORY / "tests/test_revisions.py"]:
        if path.name != Path(__file__).name:
            namespace = vars(importlib.import_module(path.stem))
            own = [value for name, value in namespace.items() if not name.startswith("__")]
            found |= {match for text in texts(own, set()) for match in re.findall(r"(?:[\w.]+:)?refuse_\w+", text)}
    return found


@pytest.mark.parametrize("guard", guards())
def test_a_fault_takes_it_out(guard: str, taken_out: set[str]) -> None:
    name = guard.partition(":")[2]
    alone = [other for other in guards() if other.endswith(f":{name}")] == [guard]
    # In the body of a test the module may stand in a constant of its own, which is enough where one guard has the name.
    assert guard in taken_out or (alone and name in taken_out)
