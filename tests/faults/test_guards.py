"""Every guard of the product is taken out by a test of a fault: none is there that no test would miss."""
# ruff: noqa: E501 - a guard a line

import ast
import functools
import importlib
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


EXTRA = {
    "isoform.integrity:refuse_failed_write": "faults/test_durability_faults.py::test_67_is_not_held_without_its_guard",
    "isoform.loading:refuse_untrusted": "faults/test_door.py::test_what_unpickles_is_opened_on_trust_only",
    "isoform.loading:refuse_version_skew": "faults/test_pickle_faults.py::test_22_a_model_recorded_with_another_scikit_learn_is_an_error",
    "isoform.remotes:refuse_absent_remote": "faults/test_remote_faults.py::test_78_an_unreachable_remote_is_told_soon",
    "isoform.remotes:refuse_no_list": "faults/test_remotes.py::test_what_is_no_list_of_files_is_refused",
    "isoform.remotes:refuse_unrecorded": "faults/test_remotes.py::test_a_dvc_lock_that_ends_early_does_not_pass_for_a_shorter_one",
    "isoform.revisions:refuse_large_blob": "test_revisions.py::test_a_document_beyond_the_limit_is_not_fetched_from_git",
    "isoform.staleness:refuse_cut_lock": "faults/test_dvc_faults.py::test_73_is_not_held_without_its_guard",
    "isoform.staleness:refuse_irregular_files": "faults/test_path_faults.py::test_64_stale_does_not_wait_at_a_pipe",
    "isoform.weights:refuse_large_network": "faults/test_torch_faults.py::test_29_a_network_that_its_file_cannot_fill_takes_no_memory",
    "stages:refuse_second_run": "faults/test_durability_faults.py::test_70_is_not_held_without_its_guard",
}
"""Guard that stands in no table → the test that takes it out."""


def named(value: Any) -> Iterator[str]:
    """Yield what is taken out by a table: the field `guard` of what is in it, and texts that tests are parametrized with."""
    if hasattr(value, "guard"):
        yield from value.guard.split()
    elif isinstance(value, list | tuple):
        for one in value:
            yield from named(one)
    elif hasattr(value, "pytestmark"):
        for mark in value.pytestmark:
            yield from marked(mark.args)


def marked(value: Any) -> Iterator[str]:
    """Yield the guards among the parameters of a mark, the whole of a text each."""
    if isinstance(value, str):
        yield from value.split() if len(value) < 200 else ()
    elif isinstance(value, list | tuple):
        for one in value:
            yield from marked(one)
    else:
        yield from named(value)


@pytest.fixture(scope="module")
def taken_out() -> set[str]:
    """Give every `module:function` that the tables of faults take out."""
    modules = [importlib.import_module(path.stem) for path in Path(__file__).parent.glob("test_*_faults.py")]
    return {guard for module in modules for value in vars(module).values() for guard in named(value)}


@pytest.mark.parametrize("guard", guards())
def test_a_fault_takes_it_out(guard: str, taken_out: set[str]) -> None:
    assert (guard in taken_out) != (guard in EXTRA)


@pytest.mark.parametrize("guard", EXTRA)
def test_what_takes_it_out_is_there(guard: str) -> None:
    assert guard in guards()
    path, _, name = EXTRA[guard].partition("::")
    source = (REPOSITORY / "tests" / path).read_text()
    assert f"def {name}(" in source
    assert guard.partition(":")[2] in source
