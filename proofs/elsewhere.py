"""Build a sample again on other CPUs, on other numbers of cores and in other surroundings, and compare every byte.

Each variation of proofs/variations.py runs the whole pipeline in its own fresh copy, with empty caches. Another
CPU is an emulated one: qemu-user runs the stages; with --quick only those that train and validate, where the rest is built.

Run     python -m proofs.elsewhere [--quick] [--only NAME …] [--jobs N]
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import Queue
from typing import Any

from isoform import errors
from isoform.errors import BadInput, CheckFailed
from proofs import workspace
from proofs.comparison import Outcome, detail, differing, hashes, legend, made, table
from proofs.variations import PACKAGES, QUICK, REFERENCE, VARIATIONS, Stages, Variation, programs, surroundings

# An emulated start of a stage takes ten seconds, and its arithmetic grows with the sample.
SAMPLE: dict[str, Any] = {
    "data.rows": 1500,
    "evaluation.bootstrap": 100,
    "evaluation.parity_rows": 4,
    "models.sklearn.pipeline_rf.hyperparameters.n_estimators": 5,
    # More rows than OpenBLAS sums in one block.
    "models.torch.simple_classifier.hyperparameters.training.batch_size": 500,
    "models.torch.simple_classifier.hyperparameters.training.epochs": 3,
    "models.torch.simple_classifier.hyperparameters.training.checkpoint_every_steps": 2,
}
LIMIT_S = 3600
# QEMU 7 and 8 answer wrongly, and nothing of what follows would mean anything.
SORTS = """
import stages
import numpy as np
numbers = np.random.default_rng(0).permutation(2000)
assert (numbers[numbers.argsort()] == np.arange(2000)).all()
"""


def prepare(folder: Path) -> Path:
    """Copy the working tree, once because it may be edited while this runs, and make it small."""
    folder.mkdir()
    workspace.copy_sources(folder)
    for pointer in workspace.ROOT.glob("data/raw/**/*.dvc"):  # a table of one's own comes from nowhere else
        own = pointer.with_suffix("").relative_to(workspace.ROOT)
        shutil.copy(workspace.ROOT / own, folder / own)
    for key, value in SAMPLE.items():
        try:
            workspace.get_param(folder, key)
        except KeyError:
            continue  # a fork has other models
        workspace.set_params(folder, {key: value})
    return folder


def build(variation: Variation, source: Path, place: Path, stages: Stages, core: int) -> Outcome:
    """Run the pipeline of a copy of `source` in `place`, and return its hashes, or its last lines if it failed."""
    folder = place / variation.folder
    environment = surroundings(variation, place, core)
    commands = [
        ("cp", "-r", "--preserve=timestamps,links", "--", str(source), str(folder)),  # its modes are those of the umask
        ("dvc", "cache", "dir", "--local", ".dvc/cache"),  # empty, whatever the user's settings say
        *variation.commands(stages),
    ]
    before = time.monotonic()
    failure = ""
    with (place / "log").open("w+", encoding="utf-8", errors="replace") as log:
        for command in commands:
            where = folder if folder.exists() else place
            limited = ("timeout", "--foreground", str(LIMIT_S), *command)
            done = subprocess.run(limited, cwd=where, env=environment, umask=variation.umask, stdout=log, stderr=log, check=False)
            if done.returncode:
                log.seek(0)
                lines = [line for line in log.read().splitlines() if line.strip() and "warning: TCG" not in line]
                failure = "\n".join([f"'{' '.join(command)}' exited with {done.returncode}:", *lines[-8:]])
                break
    return Outcome(variation.name, time.monotonic() - before, {} if failure else hashes(folder), failure)


def compare(
    variation: Variation, reference: Outcome, given: Mapping[str, str], base: Path, stages: Stages, cores: "Queue[int]"
) -> Outcome:
    """Build a variation on a core that no other is pinned to, say how it went, and leave nothing on the disk."""
    place = Path(tempfile.mkdtemp(dir=base))
    sources, checkout = base / "sources", base / "reference" / REFERENCE.folder
    core = cores.get()
    try:
        outcome = build(variation, checkout if variation.warm else sources, place, stages, core)
        outcome = replace(outcome, hashes=made(outcome.hashes, given))
        if not variation.whole:
            outcome = replace(outcome, apart=left_out(reference, stages, place / variation.folder))
        changed = differing(reference.hashes, outcome)
        details = {path: detail(checkout / path, place / variation.folder / path) for path in changed}
    finally:
        cores.put(core)
        shutil.rmtree(place)
    answer = "failed" if outcome.failure else f"{len(details)} files differ" if details else "the same"
    say(f"{variation.name}: {answer}, {outcome.seconds:.0f} s")
    return replace(outcome, details=details)


def left_out(reference: Outcome, stages: Stages, folder: Path) -> frozenset[str]:
    """Return what a run that did not make everything was not to make: DVC's own files and the outputs of stages left out."""
    ran = workspace.lock(folder) if (folder / "dvc.lock").exists() else stages
    outs = [Path(out["path"]) for name in stages.keys() - ran.keys() for out in stages[name].get("outs", [])]
    own = ("dvc.lock", ".gitignore")
    return frozenset(
        path for path in reference.hashes if Path(path).name in own or any(Path(path).is_relative_to(out) for out in outs)
    )


def available(variations: Iterable[Variation]) -> list[Variation]:
    """Return the variations as they can be run here.

    Raises `BadInput` when a program is missing, an emulator is too old to be right, or this machine refuses a variation.
    """
    variations = list(variations)
    missing = [program for program in programs(variations) if not shutil.which(program)]
    if missing:
        packages = " ".join(sorted({PACKAGES[program] for program in missing}))
        raise BadInput(", ".join(missing), "not found", f"apt-get install {packages}")
    chosen = []
    for variation in variations:
        prefixes = (variation.prefix, variation.otherwise) if variation.otherwise else (variation.prefix,)
        prefix = next((prefix for prefix in prefixes if len(prefixes) == 1 or starts((*prefix, "true"))), None)
        if prefix is None:  # a proof that leaves one out without a word would still say "the same bytes"
            action = "allow user namespaces, run as root, or choose others with --only"
            raise BadInput(f"variation '{variation.name}'", f"this machine refuses '{' '.join(variation.prefix)}'", action)
        chosen.append(replace(variation, prefix=prefix))
    for prefix in sorted({variation.prefix for variation in chosen if "qemu-x86_64" in variation.prefix}):
        if not starts((*prefix, sys.executable, "-c", SORTS)):
            action = "install QEMU 10 or newer; Debian 12: apt-get install -t bookworm-backports qemu-user"
            raise BadInput(" ".join(prefix), "computes AVX2 wrongly", action)
    return chosen


def starts(command: Sequence[str]) -> bool:
    """Tell whether this machine runs the command to success."""
    try:
        return subprocess.run(command, cwd=workspace.ROOT, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def prove(variations: Sequence[Variation], base: Path, jobs: int) -> tuple[Outcome, list[Outcome]]:
    """Run the reference, then every variation, `jobs` at a time; raises `CheckFailed` when the reference fails."""
    cores: Queue[int] = Queue()
    for core in sorted(os.sched_getaffinity(0))[:jobs]:
        cores.put(core)
    sources = prepare(base / "sources")
    given = hashes(sources)
    reference = build(REFERENCE, sources, base / "reference", {}, core=0)
    if reference.failure:
        raise CheckFailed(REFERENCE.name, reference.failure, "mend the pipeline first")
    reference = replace(reference, hashes=made(reference.hashes, given))
    say(f"{REFERENCE.name}: the reference, {len(reference.hashes)} files, {reference.seconds:.0f} s")
    stages = workspace.lock(base / "reference" / REFERENCE.folder)
    with ThreadPoolExecutor(cores.qsize()) as pool:
        runs = [pool.submit(compare, variation, reference, given, base, stages, cores) for variation in variations]
        try:
            return reference, [run.result() for run in runs]
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)  # what waits does not begin
            raise


def report(reference: Outcome, outcomes: Sequence[Outcome]) -> None:
    """Print the table and what its numbers mean; raises `CheckFailed` when not all is the same."""
    print(table(reference.hashes, outcomes), legend(outcomes), sep="\n\n")
    differ = {path for outcome in outcomes for path in outcome.details}
    failed = sum(bool(outcome.failure) for outcome in outcomes)
    if differ or failed:
        reason = f"{len(differ)} files differ, and {failed} of {len(outcomes)} variations failed"
        raise CheckFailed("the same bytes elsewhere", reason, "see above which and how")
    print(f"\nthe same bytes: {len(reference.hashes)} files, {len(outcomes)} variations")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    names = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names.add_argument("--quick", action="store_true", help="a few variations that combine many, in five minutes")
    names.add_argument(
        "--only", metavar="NAME", nargs="+", default=[""], help="the variations in whose names one of these stands"
    )
    names.add_argument("--jobs", metavar="N", type=int, default=os.cpu_count(), help="runs at a time; at most one a core")
    options = names.parse_args()
    every = QUICK if options.quick else VARIATIONS
    wanted = [variation for variation in every if any(part in variation.name for part in options.only)]
    if not wanted:
        raise BadInput(f"--only {' '.join(options.only)}", "names no variation", "see proofs/variations.py")
    variations = available(wanted)
    if len(os.sched_getaffinity(0)) == 1:
        say("note: there is one core here; 'all cores' means one")
    with tempfile.TemporaryDirectory(prefix="isoform-elsewhere-") as base:
        reference, outcomes = prove(variations, Path(base), max(1, options.jobs))
        report(reference, outcomes)


if __name__ == "__main__":
    sys.exit(errors.run(main))
