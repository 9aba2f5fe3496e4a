"""Compare every byte of several runs of the pipeline, and show it as file × run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from isoform.errors import printable
from isoform.integrity import sha256

CACHES = {".git", ".dvc", ".scratch", "__pycache__"}


@dataclass(frozen=True)
class Outcome:
    """What one run gave."""

    name: str
    seconds: float = 0.0
    hashes: Mapping[str, str] = field(default_factory=dict)
    failure: str = ""
    """The last lines of a run that did not come to its end; it has no hashes."""
    apart: frozenset[str] = frozenset()
    """The files that the run was not to make."""
    details: Mapping[str, str] = field(default_factory=dict)
    """File that differs → how."""


def hashes(folder: Path) -> dict[str, str]:
    """Return path → SHA-256 of every file in `folder`, caches apart."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not CACHES & set(path.relative_to(folder).parts))
    return {path.relative_to(folder).as_posix(): sha256(path.read_bytes()) for path in sorted(paths)}


def made(found: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Return the hashes of the files that are not as they were given to the run."""
    return {path: digest for path, digest in found.items() if given.get(path) != digest}


def differing(expected: Mapping[str, str], outcome: Outcome) -> list[str]:
    """Return the files that are not as expected, missing and stray ones too; none of a run that failed."""
    if outcome.failure:
        return []
    paths = sorted((expected.keys() | outcome.hashes.keys()) - outcome.apart)
    return [path for path in paths if expected.get(path) != outcome.hashes.get(path)]


def detail(expected: Path, found: Path) -> str:
    """Return the first line in which two texts part, or what else is to be said of two files."""
    if not (expected.is_file() and found.is_file()):
        return f"only {'the reference' if expected.is_file() else 'this run'} has it"
    try:
        lines = [path.read_text(encoding="utf-8").splitlines() for path in (expected, found)]
    except UnicodeDecodeError:
        return f"{expected.stat().st_size} and {found.stat().st_size} bytes"
    pairs = enumerate(zip(*lines, strict=False), start=1)
    parted = next((f"line {i}: {a.strip()[:80]} | {b.strip()[:80]}" for i, (a, b) in pairs if a != b), "")
    return parted or f"{len(lines[0])} and {len(lines[1])} lines"


def table(expected: Mapping[str, str], outcomes: Sequence[Outcome]) -> str:
    """Return file × run, the runs by number: = same, X different, . not to be made, ! failed."""
    paths = sorted(expected.keys() | {path for outcome in outcomes for path in outcome.hashes})
    width = max(map(len, paths), default=0)
    numbers = " " * width + "".join(f"{number:>3}" for number in range(1, len(outcomes) + 1))
    rows = (f"{path:{width}}" + "".join(f"  {_sign(path, expected, outcome)}" for outcome in outcomes) for path in paths)
    return "\n".join([numbers, *rows])


def legend(outcomes: Iterable[Outcome]) -> str:
    """Return a line for each run, and below it how it differs or failed."""
    lines = []
    for number, outcome in enumerate(outcomes, start=1):
        lines.append(f"{number:>3}  {outcome.name}, {outcome.seconds:.0f} s")
        lines += [f"       {line}" for line in outcome.failure.splitlines()]
        lines += [f"       {path}: {how}" for path, how in outcome.details.items()]
    return "\n".join(map(printable, lines))


def _sign(path: str, expected: Mapping[str, str], outcome: Outcome) -> str:
    if outcome.failure:
        return "!"
    if path in outcome.apart:
        return "."
    return "=" if expected.get(path) == outcome.hashes.get(path) else "X"
