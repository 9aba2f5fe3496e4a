"""Every guard of the product is taken out by a test of a fault: none is there that no test would miss."""

import ast
from pathlib import Path

import pytest
from builders import REPOSITORY

ROOMS = ("isoform", "pipeline", "stages")


def guards() -> list[str]:
    """Return `module:function` of every function called refuse_…."""
    found = []
    for path in sorted(path for room in ROOMS for path in (REPOSITORY / room).rglob("*.py")):
        module = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")
        nodes = ast.walk(ast.parse(path.read_text()))
        found += [
            f"{module}:{node.name}" for node in nodes if isinstance(node, ast.FunctionDef) and node.name.startswith("refuse_")
        ]
    return found


TESTS = "".join(path.read_text() for path in [*Path(__file__).parent.glob("test_*.py"), REPOSITORY / "tests/test_revisions.py"])


@pytest.mark.parametrize("guard", guards())
def test_a_fault_takes_it_out(guard: str) -> None:
    assert guard in TESTS or guard.partition(":")[2] in TESTS


def test_there_are_guards() -> None:
    assert len(guards()) > 10
