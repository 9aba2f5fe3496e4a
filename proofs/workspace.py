"""A copy of this repository in which the pipeline can be run for real, on a sample."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
SAMPLE: dict[str, Any] = {
    "data.rows": 2000,
    "evaluation.bootstrap": 100,
    "evaluation.parity_rows": 16,
    "models.sklearn.pipeline_rf.hyperparameters.n_estimators": 10,
    "models.torch.simple_classifier.hyperparameters.training.epochs": 2,
}


def set_params(folder: Path, values: dict[str, Any]) -> None:
    """Set keys of params.yaml, whatever a fork has written there."""
    content = yaml.safe_load((folder / "params.yaml").read_text())
    for key, value in values.items():
        *sections, last = key.split(".")
        section = content
        for name in sections:
            section = section[name]
        section[last] = value
    # As UTF-8, as people write it: an escaped name is the same to YAML, and to nobody else.
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def get_param(folder: Path, key: str) -> Any:
    """Return the value of a key of params.yaml."""
    value = yaml.safe_load((folder / "params.yaml").read_text())
    for name in key.split("."):
        value = value[name]
    return value


def edit(path: Path, changes: dict[str, str]) -> None:
    """Replace each key, which must be there, by its value."""
    text = path.read_text()
    for old, new in changes.items():
        assert old in text, f"{path.name} has no '{old}'"
        text = text.replace(old, new)
    path.write_text(text)


def copy_sources(folder: Path) -> Path:
    """Copy what Git would commit, outputs of the pipeline apart, into a new repository at `folder`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if name.startswith(("models/", "reports/", "data/summary")) or name == "dvc.lock" or not (ROOT / name).is_file():
            continue
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "--quiet", "--initial-branch=main")
    return folder


def environment(**extra: str) -> dict[str, str]:
    """Return an environment in which `python` and `dvc` are those that run the tests."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1", **extra}


def run(folder: Path, *command: str, status: int = 0, **extra: str) -> str:
    """Run `command` in `folder`, expect its exit status, and return what it printed on both streams."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(**extra),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=300,
        check=False,
    )
    assert done.returncode == status, f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}"
    return done.stdout


def git(folder: Path, *arguments: str) -> str:
    return run(folder, "git", "-c", "user.name=Test", "-c", "user.email=test@localhost", *arguments)


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)


def lock(folder: Path) -> dict[str, Any]:
    stages: dict[str, Any] = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
    return stages


def ran(output: str) -> set[str]:
    """Return the stages that `dvc repro` said it ran, not those it restored or skipped."""
    return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage '")}
