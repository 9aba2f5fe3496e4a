"""Ask every published version where nothing of the pipeline's stack is, and compare with golden.json.

The consumers: isoform, built and installed as a wheel into an empty environment with its base dependencies alone; onnxruntime
without isoform there; Node.js; a headless Chromium; safetensors without torch. Without FOLDER all versions under models/ are
asked that have their binaries; where none has, as in a fresh clone, a sample is built in a temporary copy first.

Run     python -m proofs.consumers [FOLDER …] [--only NAME …]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from isoform import errors
from isoform.errors import BadInput, CheckFailed
from proofs import elsewhere, workspace
from proofs.replays import CONSUMERS, PROGRAMS, Answer, check_node, make_environment, program

LIMIT = 1e-5
"""Whatever golden.json allows, no difference may be larger; in its units."""
LIMIT_MB = 120
"""Of site-packages with isoform and its base dependencies."""
FOREIGN = [
    "torch",
    "safetensors",
    "sklearn",
    "scipy",
    "joblib",
    "pandas",
    "pyarrow",
    "onnx",
    "skl2onnx",
    "dvc",
    "pydantic",
    "yaml",
]
"""Modules of the pipeline and of the extras, which a consumer's environment must not have."""


def wheel(place: Path) -> Path:
    """Build sdist and wheel of what Git would commit, in a copy: setuptools packs what older builds have left in build/."""
    sources = place / "sources"
    sources.mkdir()
    workspace.copy_sources(sources)
    command = [sys.executable, "-m", "build", "--outdir", str(place / "dist"), str(sources)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise CheckFailed("python -m build", (done.stderr or done.stdout)[-300:], "is there a network, for setuptools?")
    return next((place / "dist").glob("*.whl"))


def empty_environment(place: Path) -> Path:
    """Return a new virtual environment that holds the wheel of isoform and its base dependencies."""
    return make_environment(place / "environment", wheel(place))


def check(environment: Path) -> None:
    """Say what an environment holds; `CheckFailed` when that is a module of the pipeline's, or too much."""
    packages = next(environment.glob("lib/python*/site-packages"))
    installed = size_mb(packages)
    # A second copy of the runtime, for programs in C: Python does not load it, and every replay below goes without.
    for library in packages.glob("onnxruntime/capi/libonnxruntime.so*"):
        library.unlink()
    needed = size_mb(packages)
    names = ", ".join(sorted(path.name.split("-")[0] for path in packages.glob("*.dist-info")))
    say(f"an empty environment: {names}; {installed:.1f} MB, {needed:.1f} MB of it needed (limit {LIMIT_MB})")
    probe = "import importlib.util, sys; print(*filter(importlib.util.find_spec, sys.argv[1:]))"
    command = [str(environment / "bin/python"), "-I", "-c", probe, *FOREIGN]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    if found:
        raise CheckFailed("the base dependencies", f"bring {', '.join(found)}", "see dependencies in pyproject.toml")
    if needed > LIMIT_MB:
        raise CheckFailed("the base dependencies", f"take {needed:.1f} MB of at most {LIMIT_MB}", "see docs/decisions/0014")


def size_mb(folder: Path) -> float:
    """Return the size of all files under `folder`, in units of 10^6 bytes."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def versions(root: Path) -> list[Path]:
    """Return the version folders under models/ that have their model.onnx, sorted."""
    return sorted(path.parent for path in root.glob("models/*/v*/metadata.json") if (path.parent / "model.onnx").exists())


def sample(place: Path) -> list[Path]:
    """Build a sample in a copy of the working tree and return its versions."""
    say("no version under models/ has its binaries: building a sample")
    folder = elsewhere.prepare(place / "sample")
    with (place / "log").open("w+", encoding="utf-8", errors="replace") as log:
        command, environment = ["dvc", "repro"], workspace.environment()
        if subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log, check=False).returncode:
            log.seek(0)
            raise CheckFailed("the sample", f"dvc repro failed: {log.read()[-500:]}", "mend the pipeline first")
    return versions(folder)


def replay(folders: Sequence[Path], names: Sequence[str], place: Path) -> dict[Path, dict[str, Answer]]:
    """Have each named consumer answer for each folder."""
    environment = place
    if set(names) - PROGRAMS.keys():
        environment = empty_environment(place)
        check(environment)
    answers: dict[Path, dict[str, Answer]] = {folder: {} for folder in folders}
    for name in names:
        before = time.monotonic()
        with ExitStack() as stack:
            ask = stack.enter_context(CONSUMERS[name](folders, environment))
            for folder in folders:
                answers[folder][name] = judge(ask(folder))
        say(f"{name}: {time.monotonic() - before:.0f} s")
    return answers


def judge(answer: Answer) -> Answer:
    """Return the answer, as a failure when its difference is larger than `LIMIT`."""
    if answer.failure or answer.difference is None or answer.difference <= LIMIT:
        return answer
    return Answer(answer.difference, f"the largest difference is {answer.difference:.1e}, of {LIMIT:.0e} allowed")


def table(answers: dict[Path, dict[str, Answer]]) -> str:
    """Return version × consumer → largest difference, then a line for each failure."""
    above = os.path.commonpath([folder.parent.parent for folder in answers])
    rows = {str(folder.relative_to(above)): row for folder, row in answers.items()}
    widths = {name: max(8, len(name)) + 2 for row in rows.values() for name in row}
    first = max(map(len, rows))
    lines = [" " * first + "".join(f"{name:>{width}}" for name, width in widths.items())]
    for version, row in rows.items():
        lines.append(f"{version:{first}}" + "".join(f"{shown(row[name]):>{width}}" for name, width in widths.items()))
    lines += [f"{version}, {name}: {a.failure}" for version, row in rows.items() for name, a in row.items() if a.failure]
    return "\n".join(lines)


def shown(answer: Answer) -> str:
    if answer.failure:
        return "FAILED"
    return "-" if answer.difference is None else f"{answer.difference:.1e}" if answer.difference else "0"


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def chosen(words: Sequence[str]) -> list[str]:
    """Return the consumers in whose names a word stands; `BadInput` when there is none, or a program of one is missing."""
    names = [name for name in CONSUMERS if any(word.lower() in name.lower() for word in words)]
    if not names:
        raise BadInput(f"--only {' '.join(words)}", "names no consumer", f"give some of: {', '.join(CONSUMERS)}")
    for needed in sorted({needed for name in names for needed in PROGRAMS.get(name, [])}):
        program(*needed)
    if PROGRAMS.keys() & set(names):
        check_node()
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER", help="default: every version under models/")
    parser.add_argument("--only", metavar="NAME", nargs="+", default=[""], help="consumers in whose names one of these stands")
    options = parser.parse_args()
    names = chosen(options.only)
    for folder in options.folders:
        for file in ("metadata.json", "golden.json", "model.onnx"):
            if not (folder / file).exists():
                raise BadInput(folder / file, "no such file", "name a published version, and run 'dvc pull' first")
    with tempfile.TemporaryDirectory(prefix="isoform-consumers-") as temporary:
        place = Path(temporary).resolve()
        folders = [folder.resolve() for folder in options.folders] or versions(workspace.ROOT) or sample(place)
        answers = replay(folders, names, place)
    print(table(answers))
    every = [answer for row in answers.values() for answer in row.values()]
    failed = sum(bool(answer.failure) for answer in every)
    if failed:
        raise CheckFailed("the same answers", f"{failed} of {len(every)} replays failed", "see above which and how")
    largest = max(answer.difference or 0.0 for answer in every)
    print(f"the same answers: {len(answers)} versions, {len(names)} consumers, largest difference {largest:.1e} of {LIMIT:.0e}")


if __name__ == "__main__":
    sys.exit(errors.run(main))
