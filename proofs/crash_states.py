"""The workspaces of `proofs.crashes`: an undisturbed one to compare with, and copies in which a stage must run."""

import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isoform.errors import CheckFailed
from isoform.integrity import read_bytes, sha256
from proofs.crash_watch import HOOK, Answers, answers, repro
from proofs.workspace import SAMPLE, commit, copy_sources, git, lock, set_params

TRAINING = "models.torch.simple_classifier.hyperparameters.training"
SMALL: dict[str, Any] = {
    **SAMPLE,
    f"{TRAINING}.epochs": 20,
    f"{TRAINING}.batch_size": 16,
    f"{TRAINING}.checkpoint_every_steps": 37,
}
"""A training of 2,000 steps in two seconds or three, and all else as short as it goes."""

OUTPUTS = ("dvc.lock", "data", "models", "reports")


@dataclass(frozen=True)
class Reference:
    """An undisturbed run: its workspace, its outputs, and how long and at which moments each stage can be hit."""

    folder: Path
    files: dict[str, str]
    commands: dict[str, str]
    clocks: dict[str, tuple[str, float]]
    """Stage → the words with which what the clock can hit begins, and its seconds from there."""
    moments: dict[str, list[str]]
    moments_of_dvc: dict[str, list[str]]
    startup: float
    answers: Answers


def build(folder: Path, log: Path) -> Reference:
    """Run the pipeline undisturbed on a sample; raises `CheckFailed` when it cannot."""
    copy_sources(folder)
    set_params(folder, SMALL)
    commit(folder, "Sources")
    record = folder.parent / "moments"
    began = time.monotonic()
    run = repro(folder, log, PYTHONPATH=str(HOOK), ISOFORM_MOMENTS=str(record))
    if run.wait() != 0:
        raise CheckFailed("the undisturbed run", "failed", f"see {log}")
    run.ended.wait()
    commit(folder, "Outputs")
    starts = [(line.split("'")[1], at, run.lines[i + 1][1].strip()) for i, (at, line) in enumerate(run.lines) if is_start(line)]
    ends = [at for at, line in run.lines if line.startswith("Updating lock file")]
    commands = {stage: re.sub(r"^> (exec )?python ", "", command).replace('"$DVC_STAGE"', stage) for stage, _, command in starts}
    clocks = {stage: (f"Running stage '{stage}'", end - at) for (stage, at, _), end in zip(starts, ends, strict=True)}
    epochs = [at for at, line in run.lines if line.startswith("epoch ")]  # or most blows would fall into importing torch
    clocks["train_torch@simple_classifier"] = "epoch ", epochs[-1] - epochs[0]
    own, of_dvc = split_moments(record.read_text().splitlines(), commands)
    for moments in list(of_dvc.values())[:-1]:  # any stage can be the last that runs, after which DVC tells Git
        moments += [words for words in list(of_dvc.values())[-1] if ".git/" in words]
    return Reference(
        folder, snapshot(folder), commands, clocks, own, of_dvc, startup=starts[0][1] - began, answers=answers(folder)
    )


def is_start(line: str) -> bool:
    return line.startswith("Running stage '")


def split_moments(record: list[str], commands: dict[str, str]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return stage → its own moments, and stage → those of DVC from its start to the next one's."""
    own: dict[str, list[str]] = {stage: [] for stage in commands}
    of_dvc: dict[str, list[str]] = {stage: [] for stage in commands}
    current = ""
    for line in record:
        command, words = line.split("\t")
        if words.startswith("start"):
            current = next((stage for stage, end in commands.items() if words.endswith(end)), current)
        elif current:
            (of_dvc if command.endswith("dvc repro") else own)[current].append(words)
    return own, of_dvc


def snapshot(folder: Path) -> dict[str, str]:
    """Return path → SHA-256 of all that a run may leave: every file under data, models and reports, and dvc.lock.

    With them the names in the scratch folder, the lock that a killed Git leaves, and what `git status` says.
    """
    paths = [path for name in OUTPUTS for path in (folder / name, *(folder / name).rglob("*")) if path.is_file()]
    found = {str(path.relative_to(folder)): sha256(read_bytes(path)) for path in paths}
    present = [*(folder / ".scratch").rglob("*"), folder / ".git/index.lock"]
    names = {str(path.relative_to(folder)): "present" for path in present if path.is_file()}
    status = {
        f"git status: {line[3:]}": line[:2] for line in git(folder, "status", "--porcelain", "--untracked-files=all").splitlines()
    }
    return {**found, **names, **status}


def differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """Name each file that is missing, left over or of other content."""
    lines = []
    for path in sorted(expected.keys() | found.keys()):
        if path not in found:
            lines.append(f"{path} is missing")
        elif path not in expected:
            lines.append(f"{path} is left over")
        elif expected[path] != found[path]:
            lines.append(f"{path} differs")
    return lines


def make_stale(folder: Path, stage: str) -> None:
    """Have `stage` alone to be run: dvc.lock says that its code was another, and no cache holds what it gave."""
    text = (folder / "dvc.lock").read_text()
    code = text.index("path: stages/__init__.py", text.index(f"\n  {stage}:\n"))
    at = text.index("md5: ", code) + len("md5: ")
    (folder / "dvc.lock").write_text(f"{text[:at]}{'f' * 32}{text[at + 32 :]}")
    for out in lock(folder)[stage]["outs"]:
        (folder / ".dvc/cache/files/md5" / out["md5"][:2] / out["md5"][2:]).unlink(missing_ok=True)
    shutil.rmtree(folder / ".dvc/cache/runs")
    if "train_torch" in stage:
        shutil.rmtree(folder / ".scratch")


def make_empty(folder: Path, _: str) -> None:
    """Leave the sources alone."""
    for name in git(folder, "ls-files", "-z", "--others", "data", "models").split("\0"):
        (folder / name).unlink() if name else None
    for name in ("models", "reports", ".dvc/cache", ".dvc/tmp", ".scratch"):
        shutil.rmtree(folder / name)
    for name in ("dvc.lock", "data/summary.json"):
        (folder / name).unlink()


START = {"stale": make_stale, "empty": make_empty}


def newest_step(folder: Path) -> int:
    """Return the step of the newest checkpoint of a training that has not ended, 0 when there is none."""
    return max((int(path.stem.removeprefix("step-")) for path in folder.glob(".scratch/*/step-*.checkpoint")), default=0)
