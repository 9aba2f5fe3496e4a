"""Where a stage can be struck, and what a reader then sees of the version that it writes."""

import re
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builders import MODELS, Workspace
from harness import PROGRAMS, TIMEOUT_S, Child, Outcome

import isoform
from isoform.errors import BadInput, IsoformError
from isoform.metadata import to_json
from isoform.rows import Columns
from pipeline import datasets
from pipeline.publishing import FORMATS_OF


@dataclass(frozen=True)
class Point:
    """A call of the system by which an undisturbed run changed a file."""

    call: str
    path: str
    """The first one that was passed, or that of the open file, relative to the root."""
    nth: int
    """The how manieth such call with this path."""
    absolute: bool

    def __str__(self) -> str:
        return f"{self.call} {self.path} ({self.nth})"

    @property
    def target(self) -> str:
        """The file that the call is about: not its temporary one."""
        path = Path(self.path)
        name = re.fullmatch(r"\.(.+)\.[0-9]{8}\.tmp", path.name)
        return str(path.with_name(name[1]) if name else path)

    def inject(self, what: str, root: Path) -> list[str]:
        """Return the options of strace that have `what` befall this call, counted among those with its path alone."""
        return ["-P", f"{root}/{self.path}" if self.absolute else self.path, "-e", f"inject={self.call}:{what}:when={self.nth}"]


class Stages(Child):
    """A process that has the stages loaded and forks for each run of one."""

    program = "stage_child.py"

    def __init__(self) -> None:
        if not shutil.which("strace", path=PROGRAMS):
            raise BadInput("strace", "is not installed", "apt-get install strace, or run .ci/programs")
        super().__init__([])

    def warm(self, root: Path, stage: Sequence[str]) -> None:
        """Run a stage undisturbed in that process itself."""
        assert self._ask({"do": "warm", "root": str(root), "stage": stage}) == {"status": 0}

    def strike(self, root: Path, stage: Sequence[str], *, without: Sequence[str] = (), **strike: Any) -> Outcome:
        """Run a stage in `root`, without some guards; `strike` is what befalls it, see stage_child.py."""
        return self._outcome(self.scratch(root), self._start(root, stage, without, strike))

    def stop(self, root: Path, stage: Sequence[str], point: "Point") -> int:
        """Run a stage up to a point, and return the process that is stopped there."""
        strike = {"inject": point.inject("signal=STOP", root), "stops": True, "scratch": f"{root}-stopped"}
        process: int = self._start(root, stage, (), strike)["process"]
        return process

    def resume(self, root: Path, process: int) -> Outcome:
        """Have a run that was stopped in `root` go on to its end."""
        answer = self._ask({"do": "resume", "process": process, "timeout_s": TIMEOUT_S})
        return self._outcome(Path(f"{root}-stopped"), answer)

    def _start(self, root: Path, stage: Sequence[str], without: Sequence[str], strike: dict[str, Any]) -> dict[str, Any]:
        nothing = {"inject": None, "file_bytes": None, "kill": False, "powerless": False, "stops": False}
        where = {"root": str(root), "scratch": str(self.scratch(root)), "timeout_s": TIMEOUT_S}
        request = {"do": "strike", "stage": stage, "without": without, **where, **nothing, **strike}
        Path(request["scratch"]).mkdir(exist_ok=True)
        return self._ask(request)

    def _outcome(self, scratch: Path, answer: dict[str, Any]) -> Outcome:
        stdout, stderr = ((scratch / name).read_text(errors="replace") for name in ("stdout", "stderr"))
        return Outcome(stdout=stdout, stderr=stderr, events=[], changed=[], **answer)

    def scratch(self, root: Path) -> Path:
        return root.parent / f"{root.name}-scratch"

    def log(self, root: Path) -> list[str]:
        """Return the calls that strace saw in the last run."""
        return (self.scratch(root) / "log").read_text().splitlines()

    def points(self, root: Path, stage: Sequence[str], *without: str) -> list[Point]:
        """Run a stage undisturbed and return where it changed files."""
        outcome = self.strike(root, stage, inject=[], without=without)
        assert outcome.status == 0, outcome.stderr
        return list(points(self.log(root), root))


def points(log: list[str], root: Path) -> Iterator[Point]:
    """Yield the calls of a log of strace that changed, or put on the disk, a file under `root`."""
    counts: Counter[tuple[str, str]] = Counter()
    processes = set()
    for line in log:
        found = re.match(r"(\d+) +(\w+)\((.*)\) += (-?\d+)", line)
        path = re.search(r'"([^"]+)"', found[3]) or re.match(r"\d+<(/[^>]*)>", found[3]) if found else None
        if not found or not path or (path[1].startswith("/") and not path[1].startswith(f"{root}/")):
            continue
        process, call, arguments, returned = found.groups()
        counts[call, path[1]] += 1
        if returned.startswith("-") or (call == "openat" and "O_CREAT" not in arguments):
            continue
        processes.add(process)
        yield Point(call, path[1].removeprefix(f"{root}/"), counts[call, path[1]], path[1].startswith("/"))
    assert len(processes) == 1, "files are written by more than one thread, and strace counts for each"


@dataclass(frozen=True)
class Version:
    """What a reader may see of a version: metadata.json, and the answers of every format."""

    metadata: str
    answers: dict[str, bytes]


def version(workspace: Workspace, model: str, rows: Columns) -> Version:
    """Return what a published version gives."""
    answers = {}
    for name in FORMATS_OF[MODELS[model]]:  # type: ignore[index]
        loaded = isoform.load(workspace.folder(model), name, trust_pickle=True)
        answers[name] = loaded.predict_proba(rows).tobytes()
    return Version(to_json(loaded.metadata), answers)


def seen(folder: Path, name: str, rows: Columns, versions: dict[str, Version]) -> str:
    """Return which of `versions` a reader of format `name` gets, the reason why none, or 'a mixture'."""
    try:
        loaded = isoform.load(folder, name, trust_pickle=True)
        answers = loaded.predict_proba(rows)
    except IsoformError as error:
        return f"refused: {error.reason}"
    found = to_json(loaded.metadata), answers.tobytes()
    return next((which for which, whole in versions.items() if found == (whole.metadata, whole.answers[name])), "a mixture")


def tables_seen(workspace: Workspace, versions: dict[str, str]) -> str:
    """Return which of `versions` a reader of data/prepared gets, the reason why none, or 'a mixture'."""
    try:
        found = tables(workspace)
    except IsoformError as error:
        return f"refused: {error.reason}"
    return next((which for which, whole in versions.items() if found == whole), "a mixture")


def tables(workspace: Workspace) -> str:
    """Return what a stage reads of data/prepared, as text."""
    with workspace.inside():
        schema = datasets.read_schema()
        return repr((schema, [str(part) for part in (*datasets.read_train(schema), *datasets.read_test(schema))]))


def copy(workspace: Workspace, root: Path) -> Workspace:
    """Return a copy at `root`, in the place of what stands there."""
    shutil.rmtree(root, ignore_errors=True)
    return Workspace(Path(shutil.copytree(workspace.root, root)))
