"""What a fault is, how it is tried, and when it was held.

A fault is tried in a process of its own (child.py), with a limit of time and memory, an audit hook and a canary, beside good
files that must stay as they are. It was held when the command ended by itself with a status other than 0 and one line
`error: PATH: REASON; ACTION` that gives this fault's reason, the hook saw nothing and every file is what it was.
"""

import json
import math
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from builders import REPOSITORY, Workspace
from guards import BROKEN

from isoform.formats import FORMATS
from isoform.integrity import sha256

TIMEOUT_S = 20.0
LARGE_BYTES = 64 << 20
"""A larger file is compared by size and time: those that faults need are sparse, of gigabytes."""
MORE_MEMORY_BYTES = 1 << 30
PROGRAMS = "/usr/bin:/bin"
"""PATH of the process in which faults are tried."""

MODEL_OF = {"joblib": "forest", "pickle": "forest", "golden": "forest"}
"""Format or document → the model of the workspace whose file is replaced; `network` for all others."""
DOCUMENTS = ("metadata", "config", "golden")
"""What else of a version is read: nothing vouches for metadata.json, which has no way (b)."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault of a file: what stands in its place, and what must be said to it.

    Tried (a) with the recorded SHA-256 left as it was, and (b) with one that vouches for the new bytes.
    """

    number: int
    title: str
    format: str
    make: Callable[["Site"], bytes]
    """Returns the bad file from the good ones; may write beside it (the canary's path is `site.canary`)."""
    reason: str
    """Regular expression that the reason given in way (b) must match."""
    guard: str
    """`module:function` that gives this reason: without it the test must turn red. Or `module:CONSTANT=literal`."""
    timeout_s: float = TIMEOUT_S

    def __str__(self) -> str:
        return f"{self.number}-{self.format}-{re.sub('[^a-z0-9]+', '_', self.title.lower())}"


@dataclass(frozen=True, kw_only=True)
class Series:
    """A fault that is many bad files, each tried in a fork of its own; one row of the table for each way."""

    number: int
    title: str
    format: str
    make: Callable[["Site"], Iterable[bytes]]
    """Yields the bad files from the good ones."""
    reason: str
    """Regular expression that each reason given in way (b) must match."""
    path: str = ""
    """Regular expression that what is named in way (b) must match; when empty, it is the file itself."""
    may_answer: bool = False
    """Valid content, only different: finite answers will do in way (b)."""

    def __str__(self) -> str:
        return f"{self.number}-{self.format}"


DOOR = r"(sha256 is \w{12}…|holds \d+ bytes), metadata\.json says "
DOOR_GUARDS = ("isoform.integrity:refuse_other_content", "isoform.integrity:refuse_other_size")


@dataclass(frozen=True)
class Site:
    """A copy of one published version, and the files beside it that a fault must not touch."""

    root: Path
    format: str
    model_name: str = ""

    @property
    def model(self) -> str:
        return self.model_name or MODEL_OF.get(self.format, "network")

    @property
    def folder(self) -> Path:
        return self.root / "models" / self.model / "v1.0.0"

    @property
    def path(self) -> Path:
        """The file that the fault is about."""
        return self.folder / (f"{self.format}.json" if self.format in DOCUMENTS else FORMATS[self.format].filename)

    @property
    def good(self) -> bytes:
        """The content of the good file."""
        return self.path.read_bytes()

    @property
    def canary(self) -> Path:
        return self.root / "canary"

    @property
    def rows(self) -> Path:
        return self.root / "rows.csv"

    @property
    def command(self) -> list[str]:
        """Load the file and have it answer."""
        if self.format == "golden":
            return ["verify", str(self.folder)]
        if self.format in DOCUMENTS:
            return ["predict", str(self.folder), str(self.rows), "--format", "safetensors"]
        return ["predict", str(self.folder), str(self.rows), "--format", self.format, "--trust-pickle"]

    def replace(self, data: bytes) -> None:
        self.path.write_bytes(data)

    def vouch(self) -> None:
        """Let metadata.json record the file as it is now."""
        if self.format == "metadata":
            return
        data, path = self.path.read_bytes(), self.folder / "metadata.json"
        document = json.loads(path.read_bytes())
        document["files"][self.format] |= {"bytes": len(data), "sha256": sha256(data)}
        path.write_text(json.dumps(document))


@dataclass(frozen=True)
class Outcome:
    """What came of a command."""

    status: int
    """Exit status; negative: the signal that ended it."""
    stdout: str
    stderr: str
    events: list[str]
    """What the audit hook saw."""
    changed: list[str]
    """Files that are not what they were."""
    timed_out: bool
    peak_bytes: int
    seconds: float

    def __post_init__(self) -> None:
        """Raise when a guard was not there to be taken out: whatever else is said, nothing was tried."""
        if self.status == BROKEN:
            raise RuntimeError(f"a guard could not be taken out:\n{self.stderr}")

    @property
    def reason(self) -> str:
        """REASON of the line `error: PATH: REASON; ACTION`, the whole of stderr when there is no such line."""
        return self._part("reason")

    @property
    def path(self) -> str:
        """PATH of that line."""
        return self._part("path")

    def _part(self, name: str) -> str:
        found = re.fullmatch(r"error: (?P<path>.+?): (?P<reason>.+); (?P<action>.+)\n", self.stderr)
        return found[name] if found else self.stderr


class Child:
    """A process that has everything loaded and forks for each command."""

    program = "child.py"

    def __init__(self, warm: list[list[str]]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name(self.program))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env={"PATH": PROGRAMS, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        )
        self._ask(warm)

    def _ask(self, request: Any) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        print(json.dumps(request), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the child that tries faults has died")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def attempt(
        self,
        root: Path,
        command: list[str],
        *,
        without: str | Sequence[str] = (),
        timeout_s: float = TIMEOUT_S,
        more_memory_bytes: int = MORE_MEMORY_BYTES,
    ) -> Outcome:
        """Run `isoform COMMAND`, or Python with `-m MODULE …` or `-c CODE …`, in `root`.

        No file under `root` may change. `without` are guards to take out.
        """
        scratch = root.parent / f"{root.name}-scratch"
        scratch.mkdir(exist_ok=True)
        before = snapshot(root)
        answer = self._ask(
            {
                "command": command,
                "root": str(root),
                "scratch": str(scratch),
                "without": _guards(without),
                "timeout_s": timeout_s,
                "more_memory_bytes": more_memory_bytes,
            }
        )
        after = snapshot(root)
        differing = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
        return Outcome(
            stdout=(scratch / "stdout").read_text(errors="replace"),
            stderr=(scratch / "stderr").read_text(errors="replace"),
            events=[json.loads(line) for line in (scratch / "events").read_text().splitlines()],
            changed=sorted(name for name in differing if name != ".scratch"),  # where a stage's lock was
            **answer,
        )

    def close(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=30)


def _guards(without: str | Sequence[str]) -> list[str]:
    if not isinstance(without, str):
        return list(without)
    return [without] if without.startswith("-c ") else without.split()


def snapshot(root: Path) -> dict[str, str]:
    """Return what every file under `root` is: a link's target, a file's hash, else its kind."""
    found = {}
    for entry in os.scandir(root):  # a fifth of the time that pathlib takes, twice for each of thousands of files
        status = entry.stat(follow_symlinks=False)
        if entry.is_symlink():
            found[entry.name] = f"-> {Path(entry.path).readlink()}"
        elif stat.S_ISREG(status.st_mode) and status.st_size <= LARGE_BYTES:
            found[entry.name] = sha256(Path(entry.path).read_bytes())
        elif entry.is_dir():
            found[entry.name] = oct(status.st_mode)
            found |= {f"{entry.name}/{name}": state for name, state in snapshot(Path(entry.path)).items()}
        else:
            found[entry.name] = f"{status.st_mode:o} {status.st_size} {status.st_mtime_ns}"
    return found


def problems(outcome: Outcome, reason: str, path: str = "") -> Iterator[str]:
    """Yield why a fault was not held; nothing when it was. `path` is the file that the line must name."""
    yield from damage(outcome)
    if outcome.status == 0:
        yield "it was not refused"
    line = re.fullmatch(r"error: (?P<path>.+?): (?P<reason>.+); (?P<action>[^;\n]+)\n", outcome.stderr)
    if not line:
        yield f"it did not say one line 'error: PATH: REASON; ACTION', but {outcome.stderr[-2000:]!r}"
    elif not re.search(reason, line["reason"]):
        yield f"it gave the reason {line['reason']!r}, not {reason!r}"
    elif path and path not in line["path"]:
        yield f"it named {line['path']!r}, not {path!r}"


def damage(outcome: Outcome) -> Iterator[str]:
    """Yield what no file may bring about, valid or not."""
    if outcome.timed_out:
        yield f"it was not ended within {outcome.seconds:.0f} s"
    elif outcome.status < 0:
        yield f"it was ended by signal {-outcome.status}"
    if outcome.status not in (0, 1, 2) and not outcome.timed_out:
        yield f"its exit status is {outcome.status}"
    if "Traceback" in outcome.stderr:
        yield f"it gave a traceback: {outcome.stderr[-2000:]}"
    yield from (f"the audit hook saw: {event}" for event in outcome.events)
    yield from (f"{name} was changed" for name in outcome.changed)


def finite(outcome: Outcome) -> bool:
    """Tell whether a command answered with finite numbers only; `verify` compares them itself."""
    if "no bad files" in outcome.stdout:
        return True
    lines = outcome.stdout.splitlines()[1:]
    return bool(lines) and all(math.isfinite(float(number)) for line in lines for number in line.split(",")[1:])


def workspace_site(workspace: Workspace, root: Path, format: str) -> Site:
    """Copy what a fault needs of a published workspace into `root`."""
    site = Site(root, format)
    shutil.copytree(workspace.folder(site.model), site.folder)
    site.canary.write_text("untouched")
    columns, _ = workspace.test_rows()
    pd.DataFrame(columns).head(5).to_csv(site.rows, index=False)
    return site
