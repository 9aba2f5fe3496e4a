"""pipeline.determinism: the same bytes in another process, on another number of cores, under any environment."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from builders import REPOSITORY, Workspace, python

from pipeline import determinism
from pipeline.determinism import seed_torch

PINS = determinism.pins("portable")

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


TELLS = "import json, os; print(json.dumps(dict(os.environ)))"


def environment_after(code: str, cwd: Path, **variables: str) -> dict[str, str]:
    """Return the environment of a fresh process after `code`, which finds `determinism` imported."""
    done = python("-c", f"from pipeline import determinism; {code}; {TELLS}", cwd=cwd, **variables)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_machine_gives_the_same_bytes_in_every_process_of_one_machine(tmp_path: Path) -> None:
    found = []
    for name, variables in (("plain", {}), ("hostile", HOSTILE)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "params.yaml").write_text("reproducibility: machine\n")
        done = python("-c", BUILD, str(REPOSITORY / "tests"), cwd=folder, **variables)
        assert done.returncode == 0, done.stderr
        found.append(hashes(folder / "elsewhere"))
    assert found[0] == found[1]


@pytest.mark.skipif(not shutil.which("qemu-x86_64"), reason="needs qemu-user")
@pytest.mark.parametrize(("cpu", "inside"), [("Haswell-v4", "True"), ("EPYC-v3", "True"), ("SandyBridge", "False")])
def test_the_cpu_itself_says_whether_it_has_avx2(cpu: str, inside: str) -> None:
    code = "from pipeline import determinism; print(determinism.in_guarantee())"
    command = ["qemu-x86_64", "-cpu", cpu, sys.executable, "-c", code]
    assert subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout == f"{inside}\n"


def test_pins_override_what_the_user_has_set(tmp_path: Path) -> None:
    found = environment_after("determinism.pin_environment()", tmp_path, **dict.fromkeys(PINS, "something else"))
    assert found.items() >= PINS.items()


USERS = {
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "OMP_DYNAMIC": "true",
    "OMP_THREAD_LIMIT": "1",
    "OMP_WAIT_POLICY": "ACTIVE",
    "KMP_AFFINITY": "compact",
    "GOTO_NUM_THREADS": "3",
    "NPY_ENABLE_CPU_FEATURES": "X86_V4",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
}


def test_every_other_variable_that_chooses_kernels_is_dropped(tmp_path: Path) -> None:
    found = environment_after("determinism.pin_environment()", tmp_path, **USERS, OMPI_COMM="kept")
    assert not USERS.keys() & found.keys()
    assert found["OMPI_COMM"] == "kept"


def test_machine_leaves_the_choice_of_kernels_to_the_cpu_and_pins_the_rest(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("reproducibility: machine\n")
    found = environment_after("determinism.pin_environment()", tmp_path, **USERS, **PINS)
    assert found.items() >= determinism.pins("machine").items()
    assert not (PINS.keys() - determinism.pins("machine").keys()) & found.keys()
    assert determinism.pins("machine").items() >= {"OMP_NUM_THREADS": "1", "MKL_CBWR": "AUTO"}.items()


@pytest.mark.parametrize("text", ["", "reproducibility: fast\n", "- a list\n", "\tno yaml: [\n", "reproducibility: portable\n"])
def test_whatever_else_params_yaml_says_the_pins_are_the_portable_ones(text: str, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(text)
    assert determinism.declared(tmp_path / "params.yaml") == "portable"
    assert determinism.declared(tmp_path / "absent.yaml") == "portable"


def test_outside_the_guarantee_nothing_is_asked_of_the_cpu_that_it_may_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(determinism, "_has_avx2", lambda: False)
    assert determinism.pins("portable") == determinism.pins("machine")
    assert "ATEN_CPU_CAPABILITY" not in determinism.pins("portable")


def test_pins_that_come_too_late_are_refused(tmp_path: Path) -> None:
    done = python("-c", "import numpy, stages", cwd=tmp_path, OMP_NUM_THREADS="7")
    assert done.returncode == 1
    assert "numpy was imported before the pins were set" in done.stderr


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


def test_a_stage_reads_and_prints_utf8_under_an_ascii_locale(tmp_path: Path) -> None:
    folder = tmp_path / "Žluťoučký kůň"
    folder.mkdir()
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = python("-m", "stages.fetch", "flights✓", "data/raw/x", cwd=folder, **ascii_only)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: requirements.lock: no such file")
    for name in ("requirements.lock", ".python-version"):
        (folder / name).write_text((REPOSITORY / name).read_text())
    done = python("-m", "stages.fetch", "flights✓", "data/raw/x", cwd=folder, **ascii_only)
    assert done.stderr.startswith("error: source 'flights✓': is not known")


def test_a_variable_of_glibc_does_not_reach_a_stage(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, os\natexit.register(lambda: print('GLIBC_TUNABLES' in os.environ))\n"
    )
    path = f"{tmp_path}{os.pathsep}{REPOSITORY}"
    tunables = "glibc.cpu.hwcaps=-FMA,-AVX2"
    done = python("-m", "stages.fetch", "--help", cwd=tmp_path, PYTHONPATH=path, GLIBC_TUNABLES=tunables)
    assert done.returncode == 0
    assert done.stdout.endswith("\nFalse\n")


def test_a_variable_of_glibc_hides_no_avx2(tmp_path: Path) -> None:
    code = "from pipeline import determinism; print(determinism.in_guarantee())"
    found = [python("-c", code, cwd=tmp_path, GLIBC_TUNABLES=value).stdout for value in ("", "glibc.cpu.hwcaps=-FMA,-AVX2")]
    assert found[0] == found[1] != ""
