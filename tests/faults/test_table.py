"""The table of faults: it does not say of a fault whose test failed that it was held."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HELD = """
import os
import pytest

@pytest.mark.parametrize("number", range(1, 80), ids="{}_params".format)
def test_it_is_held(number, record):
    record(number, "title", "params.yaml", "-", "is bad")
"""
KNOWN = """
class Fault:
    number = 65

@pytest.mark.parametrize("fault", [Fault()], ids=["65_params"])
def test_a_parameter_tells(fault):
    assert False

def test_67_68_the_name_tells():
    assert False

def test_the_record_tells(record):
    record(7, "title", "pickle", "a", "is bad")
    assert False

@pytest.fixture
def bad():
    assert False

def test_70_is_not_even_begun(bad):
    pass
"""
UNKNOWN = """
def test_of_no_known_fault():
    assert False

def test_71_ends_its_process():
    os._exit(1)
"""
CASES = {
    "none": ("", 0, "79 of 79 faults held, 0 tests failed"),
    "of known faults": (KNOWN, 4, "74 of 79 faults held, 4 tests failed; not held: 7, 65, 67, 68, 70"),
    "of unknown faults": (UNKNOWN, 2, "at most 79 of 79 faults held, 2 tests failed"),
}
"""Which tests fail → those tests, how many they are, and the last line of the table."""


@pytest.mark.parametrize(("failing", "count", "expected"), CASES.values(), ids=CASES.keys())
def test_a_test_that_failed_is_counted_against_its_fault(failing: str, count: int, expected: str, tmp_path: Path) -> None:
    folder = tmp_path / "faults"
    folder.mkdir()
    shutil.copy(Path(__file__).with_name("fault_table.py"), folder / "conftest.py")
    (folder / "test_some.py").write_text(HELD + failing)
    (tmp_path / "pytest.ini").write_text("[pytest]")
    command = [sys.executable, "-m", "pytest", "--quiet", "--faults-table", "-n", "1", "-p", "no:cacheprovider", "faults"]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert expected in lines, done.stdout + done.stderr
    assert sum(line.startswith("NOT HELD: faults/test_some.py") for line in lines) == count
