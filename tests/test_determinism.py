"""pipeline.determinism: the same bytes in another process, on another number of cores, under any environment."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from builders import REPOSITORY, Workspace, python

from pipeline.determinism import PINS, pin_environment, seed_torch

HOSTILE = {
    "PYTHONHASHSEED": "123",
    "OMP_NUM_THREADS": "3",
    "MKL_NUM_THREADS": "3",
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_CBWR": "AUTO",
    "OPENBLAS_CORETYPE": "Sandybridge",
    "LC_ALL": "C",
    "TZ": "Asia/Kathmandu",
    "HOME": "/nonexistent",
}
BUILD = """
import os, sys
from pathlib import Path
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import stages
sys.path.insert(0, sys.argv[1])
import builders
builders.publish_all(Path.cwd() / "elsewhere", "mixed")
"""


def hashes(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in root.rglob("*") if path.is_file()
    }


def test_another_process_in_another_folder_on_one_core_builds_the_same_bytes(
    published: Callable[[str], Workspace], tmp_path: Path
) -> None:
    done = python("-c", BUILD, str(REPOSITORY / "tests"), cwd=tmp_path, **HOSTILE)
    assert done.returncode == 0, done.stderr
    found, expected = hashes(tmp_path / "elsewhere"), hashes(published("mixed").root)
    assert found == expected
    assert sum(name.startswith("models/") for name in found) > 20


def test_pins_override_what_the_user_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PINS:
        monkeypatch.setenv(name, "something else")
    pin_environment()
    assert {name: os.environ[name] for name in PINS} == PINS


def test_stages_pin_before_numpy_and_torch_are_imported(tmp_path: Path) -> None:
    code = """
import os, sys
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("numpy", "torch"):
            import json
            print(json.dumps({"module": name, "environment": dict(os.environ)}))
            sys.exit()
sys.meta_path.insert(0, Watch())
import stages.train_torch
"""
    done = python("-c", code, cwd=tmp_path, OMP_NUM_THREADS="7")
    seen = json.loads(done.stdout)
    assert seen["module"] in ("numpy", "torch")
    assert seen["environment"].items() >= PINS.items()


def test_the_tests_themselves_run_pinned() -> None:
    assert os.environ.items() >= PINS.items()


def test_seeding_fixes_numbers_threads_and_kernels() -> None:
    seed_torch(5, 2)
    first = torch.rand(4)
    seed_torch(5, 2)
    assert torch.rand(4).equal(first)
    assert torch.get_num_threads() == 2
    assert torch.are_deterministic_algorithms_enabled()
    seed_torch(6, 2)
    assert not torch.rand(4).equal(first)
