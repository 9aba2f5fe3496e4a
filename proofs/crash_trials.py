"""One trial of `proofs.crashes`: bring a workspace into a state in which a stage must run, strike, run again, compare."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proofs.crash_states import START, Reference, differences, is_start, newest_step, snapshot
from proofs.crash_watch import HOOK, Run, fill_disk, orphans, processes, reader, repro, send

ORPHAN_S = 2.0
"""So soon after the end of `dvc` a stage must have ended too: the next run may start at once."""

OF_DVC = {
    "dvc.lock": r"^open dvc\.lock$",
    "cache": r" \.dvc/cache/files/",
    "run-cache": r" \.dvc/cache/runs/",
    "outputs": r" (data|models|reports)/",
    "index": r" \.git/",
    "rwlock": r"^open \.dvc/tmp/rwlock$",
}
"""What DVC writes after a stage, by kind: each is as likely to be struck, however often it is written."""

RESUMED = re.compile(r"resumed at step (\d+) of \d+")
PROGRESS = re.compile(r"^(?:resumed at )?((?:step|epoch) \d+ of \d+)", re.MULTILINE)


@dataclass(frozen=True)
class Trial:
    number: int
    phase: str
    """A stage of dvc.yaml, or dvc."""
    stage: str
    """The stage that must run, as DVC calls it: one of the phase; for dvc, any."""
    start: str
    """stale: all is built, and a source file of the stage has changed since. empty: nothing is built."""
    blow: str
    """SIGKILL, SIGTERM or SIGINT dvc, SIGKILL or SIGTERM stage, Ctrl-C, full disk."""
    moment: str
    """time, event (a file is opened, closed off, renamed or removed) or write (half-way through a file)."""
    kind: str
    """The kind of file that DVC is struck at; empty for a stage."""
    share: float
    """Of the phase's duration or of its events, [0, 1)."""
    bytes: int
    """Where in the file, for write."""
    times: int
    """Blows in a row, before the run that is let through."""
    shell: str
    """What DVC starts stages with: bash becomes the stage, another shell may stand between the two."""


@dataclass
class Outcome:
    trial: Trial
    hit: str = ""
    """The last that was seen before the blow; empty when it missed."""
    due: int = 0
    """The step of the newest checkpoint that the blow left."""
    resumed: int = 0
    reads: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    refused: bool = False
    """Plain `dvc repro` refused to go on: `make run`, which mends first, was needed."""
    mended: list[str] = field(default_factory=list)
    """What of DVC's own files was damaged or left over."""
    seconds: float = 0.0


def perform(trial: Trial, reference: Reference, folder: Path, log: Path) -> Outcome:
    """Strike a copy of the reference's workspace, run it again, and return what differed."""
    began = time.monotonic()
    outcome = Outcome(trial)
    shutil.copytree(reference.folder, folder, symlinks=True)
    START[trial.start](folder, trial.stage)
    with reader(folder, reference.answers) as reads:
        for _ in range(trial.times):
            disturb(trial, reference, folder, log, outcome)
        outcome.due = newest_step(folder)
        last, status = through(folder, log)
        if status:  # DVC cannot go on from what it left half-written itself
            outcome.refused, outcome.mended = True, mend(folder)
            again, status = through(folder, log)
            last += again
        outcome.mended += mend(folder)  # what it left beside the outputs stops nobody
        outcome.reads = reads
    resumed = RESUMED.search(last)
    outcome.resumed = int(resumed[1]) if resumed else 0
    if status == 0:
        outcome.failures += differences(reference.files, snapshot(folder))
    else:
        outcome.failures.append(f"the run after the blow exits with {status}: {first_error(last)}")
    if outcome.due != outcome.resumed:
        outcome.failures.append(f"resumed at step {outcome.resumed}, the newest checkpoint was of step {outcome.due}")
    outcome.failures += [f"a reader of {read}" for read in reads if read not in {"whole", "refused"}]
    outcome.seconds = time.monotonic() - began
    return outcome


def through(folder: Path, log: Path) -> tuple[str, int | None]:
    """Run undisturbed; return what it said and its exit status, None when it hangs."""
    run = repro(folder, log)
    status = run.wait()
    run.ended.wait()
    return run.text(), status


def mend(folder: Path) -> list[str]:
    """Do what `make run` does first, and return a line for each thing that was mended."""
    done = subprocess.run([sys.executable, "-m", "pipeline.mend"], cwd=folder, check=True, capture_output=True, text=True)
    return [line for line in done.stderr.splitlines() if line.startswith("note: ")]


def disturb(trial: Trial, reference: Reference, folder: Path, log: Path, outcome: Outcome) -> None:
    """Run and strike once, wait for the end, and note where it hit and what went on running."""
    plan = from_inside(trial, reference)
    run = repro(folder, log, SHELL=trial.shell, **({"PYTHONPATH": str(HOOK), "ISOFORM_BLOW": json.dumps(plan)} if plan else {}))
    at = None if plan else from_outside(trial, reference, folder, run)
    if run.wait() is None:
        outcome.failures.append("the run that was struck hangs")
    if left := orphans(folder, ORPHAN_S):
        outcome.failures += [f"after the blow there goes on: {command}" for command in left.values()]
    run.ended.wait()
    if plan:
        at = next((i + 1 for i, (_, line) in enumerate(run.lines) if line.startswith("blow: ")), None)
    if at is not None and not outcome.hit:
        outcome.hit = place(run.text(at))


def from_inside(trial: Trial, reference: Reference) -> dict[str, Any] | None:
    """Return what the hook is told, or None when the clock says the moment."""
    if trial.moment == "time":
        return None
    command = reference.commands[trial.stage]
    moments = reference.moments_of_dvc[trial.stage] if trial.phase == "dvc" else reference.moments[trial.stage]
    pattern = OF_DVC.get(trial.kind, "^open" if trial.moment == "write" else "")
    if not any(re.search(pattern, words) for words in moments):
        pattern = OF_DVC["dvc.lock"]  # an output that Git tracks goes to no cache
    candidates = [
        words for words in moments if re.search(pattern, words) and (trial.moment == "event" or words.startswith("open"))
    ]
    name, _, whom = trial.blow.partition(" ")
    return {
        "victim": "dvc repro" if trial.phase == "dvc" else command,
        "after": command if trial.phase == "dvc" else "",
        "pattern": pattern,
        "at": 1 + int(trial.share * len(candidates)),
        "signal": {"Ctrl-C": signal.SIGINT, "full": 0}.get(name) if name in {"Ctrl-C", "full"} else signal.Signals[name],
        "whom": {"": "group", "stage": "self"}.get(whom, "leader"),
        "bytes": trial.bytes if trial.moment == "write" else None,
    }


def from_outside(trial: Trial, reference: Reference, folder: Path, run: Run) -> int | None:
    """Strike when the clock says so; returns how many lines had been printed, None when the run was over."""
    begins, seconds = reference.clocks[trial.stage]
    if trial.phase == "dvc":
        time.sleep(trial.share * reference.startup)
    elif run.wait_for(begins):
        time.sleep(trial.share * seconds)
    if run.process.poll() is not None:
        return None
    name, _, whom = trial.blow.partition(" ")
    if name == "full":
        fill_disk(folder)
    elif name == "Ctrl-C":
        os.killpg(run.process.pid, signal.SIGINT)
    else:
        stages = [process for process, command in processes(folder).items() if re.match(r"\S*python\S* -m stages\.", command)]
        for process in [run.process.pid] if whom == "dvc" else stages:
            send(process, signal.Signals[name])
    return len(run.lines)


def place(text: str) -> str:
    """Return the stage, its progress and the file that a log ends with."""
    stages = [line.split("'")[1] for line in text.splitlines() if is_start(line)]
    progress = PROGRESS.findall(text.rpartition("Running stage")[2])
    blow = re.search(r"^blow: (.*)", text, re.MULTILINE)
    return ", ".join(filter(None, [stages[-1] if stages else "before any stage", *progress[-1:], blow and blow[1]]))


def first_error(text: str) -> str:
    """Return what DVC says is wrong."""
    lines = [line for line in text.splitlines() if line.strip()]
    return next(
        (line for line in lines if re.search(r"ERROR|error|failed|corrupt", line)), lines[-1] if lines else "nothing said"
    )
