"""pipeline.environment: libraries other than the locked ones are named before any work, and runs say where they were."""

import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from builders import REPOSITORY, Workspace, python

from isoform.errors import BadInput
from pipeline import determinism, environment


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with this repository's lock, made the current one."""
    for name in ("requirements.lock", ".python-version"):
        shutil.copy(REPOSITORY / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pin(folder: Path, name: str, version: str) -> None:
    lock = folder / "requirements.lock"
    lines = [f"{name}=={version}" if line.startswith(f"{name}==") else line for line in lock.read_text().splitlines()]
    lock.write_text("\n".join(lines) + "\n")


def test_what_make_env_installs_passes(locked: Path, caplog: pytest.LogCaptureFixture) -> None:
    environment.check()
    assert caplog.text == ""


def test_every_library_that_differs_is_named_in_one_line(locked: Path) -> None:
    pin(locked, "torch", "2.12.0")
    pin(locked, "numpy", "1.0")
    with (locked / "requirements.lock").open("a") as lock:
        lock.write("no-such-library==3.1\n")
    with pytest.raises(BadInput) as error:
        environment.check()
    line = str(error.value)
    assert line.startswith("requirements.lock: ")
    assert f"numpy {environment.version('numpy')} instead of 1.0" in line
    assert f"torch {environment.version('torch')} instead of 2.12.0" in line
    assert "no-such-library missing instead of 3.1" in line
    assert "run 'pip install -r requirements.lock'" in line


def test_another_python_is_said_and_does_not_stop(locked: Path, caplog: pytest.LogCaptureFixture) -> None:
    (locked / ".python-version").write_text("3.99\n")
    environment.check()
    assert f"note: this is Python {environment.python_minor()}; the same bytes are promised for 3.99 only" in caplog.text


def test_a_stage_refuses_before_it_reads_or_removes_anything(locked: Path, workspace: Workspace) -> None:
    pin(locked, "torch", "2.12.0")
    for name in ("requirements.lock", ".python-version"):
        shutil.copy(locked / name, workspace.root / name)
    before = {path: path.stat().st_mtime_ns for path in workspace.root.rglob("*")}
    done = python("-m", "stages.train_torch", "network", cwd=workspace.root)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "instead of 2.12.0" in done.stderr
    assert {path: path.stat().st_mtime_ns for path in workspace.root.rglob("*")} == before


def test_inside_the_guarantee_the_platform_is_one_text_for_all_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(determinism, "in_guarantee", lambda: True)
    assert environment.description("portable") == f"{platform.system()} {platform.machine()} with AVX2"


@pytest.mark.parametrize(("inside", "reproducibility"), [(False, "portable"), (True, "machine")])
def test_elsewhere_the_platform_names_the_cpu(
    inside: bool, reproducibility: determinism.Reproducibility, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(determinism, "in_guarantee", lambda: inside)
    monkeypatch.setattr(environment, "_cpu", lambda: "Grey Box 9")
    assert environment.description(reproducibility) == f"{platform.system()} {platform.machine()} Grey Box 9"


def test_a_gpu_is_part_of_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Grey Card 7")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert environment.description("portable", "cuda").endswith("Grey Card 7, CUDA 13.0")


def test_a_device_that_is_not_there_is_refused_in_one_line(workspace: Workspace) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    path = workspace.root / "params.yaml"
    path.write_text(path.read_text().replace("device: cpu", "device: cuda"))
    before = (workspace.folder("network") / "model.pt").read_bytes()
    with pytest.raises(BadInput, match=r"params.yaml: device is cuda, and torch \S+ finds no GPU; set device: cpu"):
        workspace.train("network")
    assert (workspace.folder("network") / "model.pt").read_bytes() == before


@pytest.mark.skipif(sys.platform != "linux", reason="Linux only, as the promise")
def test_a_stage_that_dvc_started_ends_with_it(tmp_path: Path) -> None:
    """A parent that is killed takes the process that imports `stages` along."""
    code = "import stages, sys, time; print('up', flush=True); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {code!r}])"
    variables = {**os.environ, "PYTHONPATH": str(REPOSITORY), "DVC_STAGE": "some@stage"}
    with subprocess.Popen(
        [sys.executable, "-c", parent], cwd=tmp_path, env=variables, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGKILL)
        begin = time.monotonic()
        assert process.stdout.read() == ""  # the end of the pipe: the last process that held it is gone
        assert time.monotonic() - begin < 10
