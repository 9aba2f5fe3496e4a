"""Watch a run of `dvc repro`: what it says, which of its processes live, and what readers of its versions get."""

import os
import resource
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import isoform
from isoform import metadata as documents
from isoform.errors import IsoformError
from isoform.loading import answer, read_golden
from isoform.metadata import Golden
from isoform.verification import answers_of, difference, rows_of
from proofs.workspace import environment

HOOK = Path(__file__).parent / "blows"
BUILD_TIMEOUT_S = 300
READ_EVERY_S = 0.05


@dataclass
class Run:
    """A running `dvc repro`, leader of its own process group as on a terminal."""

    process: subprocess.Popen[str]
    lines: list[tuple[float, str]] = field(default_factory=list)
    """What it and its stages printed, each line with its time."""
    ended: threading.Event = field(default_factory=threading.Event)

    def text(self, until: int | None = None) -> str:
        return "".join(line for _, line in self.lines[:until])

    def wait_for(self, words: str) -> bool:
        """Wait till `words` are printed; False when the run ended without."""
        seen = 0
        while True:
            over = self.ended.is_set()
            if any(words in line for _, line in self.lines[seen:]):
                return True
            if over:
                return False
            seen = max(0, len(self.lines) - 1)
            time.sleep(0.002)

    def wait(self) -> int | None:
        """Return the exit status, None when the run hangs."""
        try:
            return self.process.wait(BUILD_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return None


def repro(folder: Path, log: Path, **extra: str) -> Run:
    """Start `dvc repro` in `folder`; `log` gets all that it prints."""
    # DVC's own records of a repository lie beside it instead of in /var/tmp, so that a copy of the folder is independent.
    settings = environment(DVC_SITE_CACHE_DIR=str(folder / ".dvc/tmp/site"), **extra)
    process = subprocess.Popen(
        ["dvc", "repro"],
        cwd=folder,
        env=settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    run = Run(process)
    threading.Thread(target=_pump, args=(run, log), daemon=True).start()
    return run


def _pump(run: Run, log: Path) -> None:
    assert run.process.stdout
    with log.open("a") as file:
        for line in run.process.stdout:
            run.lines.append((time.monotonic(), line))
            file.write(line)
            file.flush()
    run.ended.set()


def processes(folder: Path) -> dict[int, str]:
    """Return process id → command of every process that works in `folder`."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink().is_relative_to(folder) and (command := (entry / "cmdline").read_bytes()):
                found[int(entry.name)] = command.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has just ended, or is another user's
    return found


def orphans(folder: Path, within_s: float) -> dict[int, str]:
    """Return the processes of `folder` that have not ended `within_s` seconds from now, and end them."""
    deadline = time.monotonic() + within_s
    while (left := processes(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in left:
        send(process, signal.SIGKILL)
    while left and processes(folder):
        time.sleep(0.01)
    return left


def send(process: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, number)


def fill_disk(folder: Path) -> None:
    """Let no process of `folder` write another byte to a file: EFBIG, which needs no root and no second disk."""
    for process in processes(folder):
        try:
            resource.prlimit(process, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        except ProcessLookupError:
            continue


Answers = dict[str, Golden]
"""Version folder → its golden rows and their right answers."""


def answers(folder: Path) -> Answers:
    """Return the golden rows of each version in `folder`."""
    versions = [path.parent for path in sorted(folder.glob("models/*/*/metadata.json"))]
    return {str(path.relative_to(folder)): read_golden(path, documents.read(path)) for path in versions}


def read_once(version: Path, golden: Golden) -> str:
    """Load `version` and ask it: 'whole', 'refused' in one line, or what is wrong."""
    try:
        model = isoform.load(version)
        found = answer(model.module, model.native, rows_of(golden, model.config), model.config)
        whole = difference(found, answers_of(golden, model.config), golden.scale) <= golden.tolerance
    except IsoformError as error:
        return "refused" if "\n" not in str(error) else f"{version.parent.name}: refused in several lines: {error}"
    except Exception as error:  # whatever a reader must not see
        return f"{version.parent.name}: {type(error).__name__}: {error}"
    return "whole" if whole else f"{version.parent.name}: a wrong answer"


@contextmanager
def reader(folder: Path, expected: Answers) -> Iterator[Counter[str]]:
    """Read every version of `folder` again and again in a thread; yields the count of each outcome."""
    outcomes: Counter[str] = Counter()
    stop = threading.Event()

    def read() -> None:
        while not stop.wait(READ_EVERY_S):
            for version, golden in expected.items():
                outcomes[read_once(folder / version, golden)] += 1

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        yield outcomes
    finally:
        stop.set()
        thread.join()
