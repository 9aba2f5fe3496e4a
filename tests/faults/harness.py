"""What a fault is, how it is tried, and when it was held.

A fault is tried in a process of its own (child.py), with a limit of time and memory, an audit hook and a canary, beside good
files that must stay as they are. It was held when the command ended by itself with a status other than 0 and one line
`error: PATH: REASON; ACTION` that gives this fault's reason, the hook saw nothing and every file is what it was.
"""

import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from builders import REPOSITORY, Workspace

from isoform import metadata
from isoform.formats import FORMATS
from isoform.integrity import sha256, write_atomic

TIMEOUT_S = 20.0
MORE_MEMORY_BYTES = 1 << 30

MODEL_OF = {"joblib": "forest", "pickle": "forest"}
"""Format → the model of the workspace whose file is replaced; `network` for all others."""

Way = Literal["a", "b", "-"]


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
    may_answer: bool = False
    """Valid content, only different: finite answers will do in way (b)."""
    timeout_s: float = TIMEOUT_S

    def __str__(self) -> str:
        return f"{self.number}-{self.format}-{re.sub('[^a-z0-9]+', '_', self.title.lower())}"


DOOR = r"(sha256 is \w{12}…|holds \d+ bytes), metadata\.json says "
DOOR_GUARDS = ("isoform.integrity:refuse_other_content", "isoform.integrity:refuse_other_size")


@dataclass(frozen=True)
class Site:
    """A copy of one published version, and the files beside it that a fault must not touch."""

    root: Path
    format: str

    @property
    def model(self) -> str:
        return MODEL_OF.get(self.format, "network")

    @property
    def folder(self) -> Path:
        return self.root / "models" / self.model / "v1.0.0"

    @property
    def path(self) -> Path:
        """The file that the fault is about."""
        return self.folder / FORMATS[self.format].filename

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
        return ["predict", str(self.folder), str(self.rows), "--format", self.format, "--trust-pickle"]

    def replace(self, data: bytes) -> None:
        self.path.write_bytes(data)

    def vouch(self) -> None:
        """Let metadata.json record the file as it is now."""
        data = self.path.read_bytes()
        document = metadata.read(self.folder)
        entry = document.files[self.format]
        entry.bytes, entry.sha256 = len(data), sha256(data)
        write_atomic(self.folder / "metadata.json", metadata.to_json(document))


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

    @property
    def reason(self) -> str:
        """REASON of the line `error: PATH: REASON; ACTION`, the whole of stderr when there is no such line."""
        found = re.fullmatch(r"error: (?P<path>.+?): (?P<reason>.+); (?P<action>.+)\n", self.stderr)
        return found["reason"] if found else self.stderr


class Child:
    """A process that has everything loaded and forks for each command."""

    def __init__(self, warm: list[list[str]]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("child.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
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
        without: str = "",
        timeout_s: float = TIMEOUT_S,
        more_memory_bytes: int = MORE_MEMORY_BYTES,
    ) -> Outcome:
        """Run `isoform COMMAND`; no file under `root` may change. `without` is a guard to take out."""
        scratch = root.parent / f"{root.name}-scratch"
        scratch.mkdir(exist_ok=True)
        for name in ("stdout", "stderr", "events"):
            (scratch / name).unlink(missing_ok=True)
        before = snapshot(root)
        answer = self._ask(
            {
                "command": command,
                "scratch": str(scratch),
                "without": without,
                "timeout_s": timeout_s,
                "more_memory_bytes": more_memory_bytes,
            }
        )
        after = snapshot(root)
        events = scratch / "events"
        return Outcome(
            stdout=(scratch / "stdout").read_text(errors="replace"),
            stderr=(scratch / "stderr").read_text(errors="replace"),
            events=json.loads(events.read_text() or "[]") if events.exists() else [],
            changed=sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name)),
            **answer,
        )

    def close(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait(timeout=30)
        self.process.stdout.close()


def snapshot(root: Path) -> dict[str, str]:
    """Return what every file under `root` is: a link's target, a file's hash, else its kind."""

    def state(path: Path) -> str:
        if path.is_symlink():
            return f"-> {path.readlink()}"
        return sha256(path.read_bytes()) if path.is_file() else oct(path.lstat().st_mode)

    return {path.relative_to(root).as_posix(): state(path) for path in sorted(root.rglob("*"))}


def problems(outcome: Outcome, reason: str, path: str = "") -> Iterator[str]:
    """Yield why a fault was not held; nothing when it was. `path` is the file that the line must name."""
    yield from damage(outcome)
    if outcome.status == 0:
        yield "it was not refused"
    line = re.fullmatch(r"error: (?P<path>.+?): (?P<reason>.+); (?P<action>[^;]+)\n", outcome.stderr)
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
    """Tell whether a command answered with finite numbers only."""
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
