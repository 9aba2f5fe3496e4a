"""How each consumer is asked, as a user would ask it: in a process of its own, in which nothing of the pipeline is."""

import csv
import fcntl
import io
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isoform.errors import BadInput, CheckFailed
from proofs import chromium
from proofs.workspace import ROOT

EXAMPLES = ROOT / "examples"
TIMEOUT_S = 300
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DIFFERENCE = re.compile(r"largest difference (\d\.\de[+-]\d+)")


@dataclass(frozen=True)
class Answer:
    """What a consumer made of a version: its largest difference, in golden.json's units, or how it failed; neither: no use."""

    difference: float | None = None
    failure: str = ""


Replay = Callable[[Path], Answer]
"""Version folder → answer."""


@contextmanager
def verify(_: Sequence[Path], environment: Path) -> Iterator[Replay]:
    """`isoform verify`: every hash, and the golden rows in every format that opens with the base dependencies."""
    yield lambda folder: _said(_run(environment / "bin/isoform", "verify", "--present-only", folder, cwd=environment))


@contextmanager
def predict(_: Sequence[Path], environment: Path) -> Iterator[Replay]:
    """`isoform predict` on the golden rows as a CSV file."""

    def ask(folder: Path) -> Answer:
        golden, rows = json.loads((folder / "golden.json").read_bytes()), environment / "rows.csv"
        with rows.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([golden["columns"], *golden["rows"]])
        done = _run(environment / "bin/isoform", "predict", folder, rows, cwd=environment)
        return _compare(golden, list(csv.reader(io.StringIO(done.stdout)))) if done.returncode == 0 else _said(done)

    yield ask


@contextmanager
def plain(_: Sequence[Path], environment: Path) -> Iterator[Replay]:
    """Onnxruntime without isoform: examples/plain."""
    yield lambda folder: _said(_run(environment / "bin/python", EXAMPLES / "plain/replay.py", folder, cwd=environment))


@contextmanager
def tensors(_: Sequence[Path], environment: Path) -> Iterator[Replay]:
    """`safetensors.numpy`, without torch, against model.pt: the same tensors to the last bit; tied ones it holds once."""
    python = make_environment(environment.parent / "safetensors", "safetensors", "numpy") / "bin/python"

    def ask(folder: Path) -> Answer:
        if not all((folder / name).exists() for name in ("model.safetensors", "model.pt")):
            return Answer()
        describe = ("-P", ROOT / "proofs/tensors.py")
        here = _run(python, *describe, folder / "model.safetensors", cwd=environment)
        there = _run(sys.executable, *describe, folder / "model.pt", cwd=environment)
        for done in (here, there):
            if done.returncode:
                return _said(done)
        found, expected = json.loads(here.stdout), json.loads(there.stdout)
        differ = [name for name in found if found[name] != expected.get(name)]
        differ += [name for name in expected if expected[name] not in found.values()]
        return Answer(failure=f"not as in model.pt: {', '.join(sorted(set(differ)))}") if differ else Answer(0.0)

    yield ask


@contextmanager
def node(_: Sequence[Path], __: Path) -> Iterator[Replay]:
    """Node.js with onnxruntime-node: examples/node."""
    npm_install(EXAMPLES / "node")
    yield lambda folder: _said(_run("node", EXAMPLES / "node/main.mjs", "replay", folder, cwd=EXAMPLES))


@contextmanager
def browser(folders: Sequence[Path], _: Path) -> Iterator[Replay]:
    """Chromium with onnxruntime-web: examples/browser."""
    npm_install(EXAMPLES / "browser")
    with chromium.serving(folders) as urls, chromium.opened(program(*BROWSERS)) as page:
        places = dict(zip(folders, urls, strict=True))

        def ask(folder: Path) -> Answer:
            same, text = chromium.replayed(page, places[folder])
            return _read(text) if same else Answer(failure=text)

        yield ask


CONSUMERS: dict[str, Callable[[Sequence[Path], Path], AbstractContextManager[Replay]]] = {
    "isoform verify": verify,
    "isoform predict": predict,
    "onnxruntime": plain,
    "Node": node,
    "Chromium": browser,
    "safetensors": tensors,
}
PROGRAMS: dict[str, list[tuple[str, ...]]] = {"Node": [("node",), ("npm",)], "Chromium": [("node",), ("npm",), BROWSERS]}
"""Consumer → the programs it needs, each by the names it may have."""


def program(*names: str) -> str:
    """Return the path of the first program of `names` that is here; `BadInput` says how to get it."""
    found = next(filter(None, map(shutil.which, names)), None)
    if not found:
        raise BadInput(names[0], "not found", ".ci/programs installs it, or: apt-get install nodejs npm chromium")
    return found


def check_node() -> None:
    """Refuse a Node.js whose `crypto` and strings are older than the examples."""
    version = subprocess.run([program("node"), "--version"], check=True, capture_output=True, text=True).stdout.strip()
    if int(version.lstrip("v").split(".")[0]) < 20:
        raise BadInput("node", f"is {version}", "install Node.js 20 or newer")


def npm_install(folder: Path) -> None:
    """Install an example's npm packages as package-lock.json pins them, unless they are there; runs none of their scripts."""
    lock, mark = folder / "package-lock.json", folder / "node_modules/.package-lock.json"  # npm writes the mark last
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # tests run side by side
        if mark.exists() and mark.stat().st_mtime >= lock.stat().st_mtime:
            return
        command = (program("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
        if subprocess.run(command, cwd=folder, check=False, stdout=subprocess.DEVNULL).returncode:
            raise CheckFailed(folder, "npm ci failed", "see its output above")


def make_environment(environment: Path, *what: str | Path) -> Path:
    """Make a virtual environment that holds these in the versions of requirements.lock, and no bytecode; return it."""
    if environment.exists():
        return environment
    venv.create(environment, symlinks=True)
    pip = (sys.executable, "-m", "pip", "--python", environment / "bin/python")
    options = ("--quiet", "--no-compile", "--constraint", ROOT / "requirements.lock")
    done = _run(*pip, "install", *options, *what, cwd=environment)
    if done.returncode:
        raise CheckFailed(environment, f"pip install {' '.join(map(str, what))} failed ({_last(done)})", "is there a network?")
    return environment


def _run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program where it finds nothing of this checkout but what it is given."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    words = list(map(str, command))
    try:
        return subprocess.run(
            words, cwd=cwd, env=variables, capture_output=True, text=True, encoding="utf-8", timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 1, "", f"took more than {TIMEOUT_S} s")


def _said(done: subprocess.CompletedProcess[str]) -> Answer:
    return Answer(failure=_last(done)) if done.returncode else _read(done.stdout)


def _read(text: str) -> Answer:
    found = [float(number) for number in DIFFERENCE.findall(text)]
    return Answer(max(found)) if found else Answer(failure=f"replayed no golden row: {text[-200:]!r}")


def _last(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return lines[-1] if lines else f"exited with {done.returncode}"


def _compare(golden: dict[str, Any], table: list[list[str]]) -> Answer:
    """Compare what `isoform predict` printed with golden.json."""
    names, *rows = table
    wanted = [[value] for value in golden["prediction"]] if golden["prediction"] else golden["probabilities"]
    if names[0] == "label":
        flips = [i for i, row in enumerate(rows) if row.pop(0) != str(golden["label"][i])]
        if flips:
            return Answer(failure=f"rows {flips} have other labels")
    found, expected = np.array(rows, dtype=np.float32), np.array(wanted, dtype=np.float32)
    if found.shape != expected.shape:
        return Answer(failure=f"answers with shape {found.shape}, golden.json has {expected.shape}")
    return Answer(float(np.max(np.abs(found - expected) / np.maximum(golden["scale"], np.abs(expected)))))
