"""Kill the pipeline at seeded moments and run it again: the proof that it ends with the bytes of an undisturbed run.

Each trial starts from a workspace in which one stage, or all, must run, strikes `dvc repro` there once or twice, and lets
the next one through. That must exit with 0 (after `pipeline.mend`, as in `make run`, where DVC was struck in a write of its
own file and refuses) and leave the files of the undisturbed run and nothing else; a training must go on from its newest
checkpoint; and a reader of the published versions must get, all the while, a whole one or a refusal.

Run     python -m proofs.crashes 50 --seed 1            all trials; with --trial 7, that one alone
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from isoform import errors
from isoform.errors import BadInput, CheckFailed
from proofs.crash_states import build
from proofs.crash_trials import OF_DVC, Outcome, Trial, perform
from proofs.workspace import ROOT

BLOWS = {
    "SIGKILL dvc": ["time", "event"],
    "SIGTERM dvc": ["time", "event"],
    "SIGINT dvc": ["time", "event"],
    "SIGKILL stage": ["time", "event", "write"],
    "SIGTERM stage": ["time", "event"],
    "Ctrl-C": ["time", "event"],
    "full disk": ["time", "write"],
}
"""What strikes, and at which moments it can."""
DECKS = {
    "dvc": {
        **{blow: moments for blow, moments in BLOWS.items() if "stage" not in blow},
        "SIGKILL dvc": ["time", "event", "write"],
    },
    "train_torch": {blow: moments for blow, moments in BLOWS.items() if blow != "SIGINT dvc"},
}
"""Phases with blows of their own, instead of `BLOWS`. dvc: while no stage runs; `time` is then DVC's start. train_torch:
without SIGINT to `dvc` alone, which DVC ignores while a stage runs, so that each blow ends a training."""
AGAIN = ["train_torch", "train_torch", "dvc"]
"""Phases that each round has once more: a training, which is long and can be resumed, twice."""
EMPTY_EVERY = 12
"""One trial of so many builds all; in the others the phase's stage alone must run."""


def phases(dvc_yaml: Path) -> dict[str, list[str]]:
    """Return stage of dvc.yaml → its instances as DVC calls them, and dvc → all of them."""
    document = yaml.safe_load(dvc_yaml.read_text())
    params = yaml.safe_load((dvc_yaml.parent / "params.yaml").read_text())
    found = {}
    for name, stage in document["stages"].items():
        keys = stage.get("foreach")
        for section in keys[2:-1].split(".") if isinstance(keys, str) else []:
            keys = (params if isinstance(keys, str) else keys)[section]
        found[name] = [f"{name}@{key}" for key in keys] if keys else [name]
    return {**found, "dvc": [stage for stages in found.values() for stage in stages]}


def plan(stages: dict[str, list[str]], count: int, seed: int) -> list[Trial]:
    """Draw `count` trials: the same for the same seed, each phase in its turn, each blow of a phase too."""
    draw, shuffle = random.Random(f"{seed}: trials"), random.Random(f"{seed}: phases")
    order: list[str] = []
    while len(order) < count:
        order += [*shuffle.sample(sorted(stages), len(stages)), *shuffle.sample(AGAIN, len(AGAIN))]
    left: dict[str, list[str]] = {}
    trials = []
    for number, phase in enumerate(order[:count], start=1):
        deck = phase if phase in DECKS else ""
        moments = DECKS.get(phase, BLOWS)
        left[deck] = left.get(deck) or draw.sample(sorted(moments), len(moments))
        blow = left[deck].pop()
        moment = draw.choice(moments[blow])
        trials.append(
            Trial(
                number=number,
                phase=phase,
                stage=draw.choice(stages[phase]),
                start="empty" if number % EMPTY_EVERY == EMPTY_EVERY // 2 else "stale",
                blow=blow,
                moment=moment,
                kind=draw.choice([*OF_DVC]) if phase == "dvc" and moment != "time" else "",
                share=draw.random(),
                bytes=draw.choice([20, 2000]),
                times=draw.choice([1, 1, 1, 2]),
                shell=draw.choice(["/bin/bash", "/bin/sh"]),
            )
        )
    return trials


def describe(outcome: Outcome) -> str:
    """Return the trial's line of the log."""
    trial = outcome.trial
    moment = f"{trial.moment} {trial.share:.2f}" + (f" of {trial.kind}" if trial.kind else "")
    moment += f" after {trial.bytes} bytes" if trial.moment == "write" else ""
    return (
        f"{trial.number:3d} {trial.stage if trial.phase != 'dvc' else 'dvc':36s} {trial.blow:13s} {moment}"
        f"{' ×2' if trial.times == 2 else ''}, {trial.start}, {Path(trial.shell).name} | hit: {outcome.hit or 'missed'}"
        f" | resumed: {outcome.resumed or '-'} | {verdict(outcome)} | {outcome.seconds:.1f} s"
    )


def verdict(outcome: Outcome) -> str:
    return "FAILED" if outcome.failures else "same bytes"


def table(outcomes: Iterable[Outcome]) -> str:
    """Return blows per phase, resumes and what readers got."""
    outcomes = list(outcomes)
    cells = Counter((o.trial.phase, o.trial.blow) for o in outcomes if o.hit)
    lines = [f"{'':20s}" + "".join(f"{blow:>14s}" for blow in BLOWS)]
    for phase in sorted({o.trial.phase for o in outcomes}):
        lines.append(f"{phase:20s}" + "".join(f"{cells[phase, blow] or '-':>14}" for blow in BLOWS))
    reads = sum((o.reads for o in outcomes), Counter[str]())
    missed, due = sum(not o.hit for o in outcomes), sum(o.due > 0 for o in outcomes)
    wrong = reads.total() - reads["whole"] - reads["refused"]
    lines += [
        f"{len(outcomes) - missed} blows hit, {missed} came too late to hit; {due} trainings had a checkpoint to go on from, "
        f"{sum(o.resumed > 0 for o in outcomes)} resumed",
        f"after {sum(o.refused for o in outcomes)} plain 'dvc repro' refused, until pipeline.mend had mended DVC's own files; "
        f"{sum(bool(o.mended) and not o.refused for o in outcomes)} more left stray files of DVC's",
        f"{reads.total()} reads: {reads['whole']} whole, {reads['refused']} refused, {wrong} wrong",
    ]
    return "\n".join(lines)


def attempt(trials: list[Trial], folder: Path, jobs: int) -> list[Outcome]:
    """Build the reference, then perform `trials`, `jobs` at a time; those that fail leave folder and log."""
    began = time.monotonic()
    reference = build(folder / "reference", folder / "reference.log")
    print(f"undisturbed: {len(reference.files)} files in {time.monotonic() - began:.0f} s", flush=True)
    print(
        "a full disk is one on which no file can grow past a size (RLIMIT_FSIZE: EFBIG), so that root is not needed", flush=True
    )

    def one(trial: Trial) -> Outcome:
        place, log = folder / f"trial-{trial.number}", folder / f"trial-{trial.number}.log"
        outcome = perform(trial, reference, place, log)
        print("\n".join([describe(outcome), *(f"      {line}" for line in [*outcome.mended, *outcome.failures])]), flush=True)
        if not outcome.failures:
            shutil.rmtree(place)
            log.unlink()
        return outcome

    with ThreadPoolExecutor(jobs) as pool:
        return list(pool.map(one, trials))


def main() -> None:
    """Perform the trials; raises `CheckFailed` naming those that failed, and how to run one again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, help="number of trials")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2, help="trials side by side")
    parser.add_argument("--trial", type=int, help="perform this one alone")
    options = parser.parse_args()
    if not 1 <= (options.trial or 1) <= options.count:
        raise BadInput("--trial", f"{options.trial} is none of the {options.count} trials", "give one from 1 on")
    trials = plan(phases(ROOT / "dvc.yaml"), options.count, options.seed)
    picked = [trial for trial in trials if options.trial in {None, trial.number}]
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="isoform-crashes-"))
    outcomes = attempt(picked, folder, options.jobs)
    print(table(outcomes))
    failed = [o.trial.number for o in outcomes if o.failures]
    if failed:
        again = f"python -m proofs.crashes {options.count} --seed {options.seed} --trial {failed[0]}"
        numbers = ", ".join(map(str, failed))
        raise CheckFailed(folder, f"trials {numbers} of {len(outcomes)} failed; their logs are here", f"run '{again}'")
    shutil.rmtree(folder)
    missed = sum(not o.hit for o in outcomes)
    if missed > len(outcomes) / 2:
        reason = f"{missed} of {len(outcomes)} blows missed: it proves little"
        raise CheckFailed("the crash test", reason, "run it on a quieter machine")
    print(f"the same bytes after each of {len(outcomes)} trials (seed {options.seed}), {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    sys.exit(errors.run(main))
