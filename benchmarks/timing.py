"""What the benchmarks share: two cores, temporary clones, interleaved repeats, medians, plain-text tables."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CORES = 2


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """Two medians of one run, and the limit that their quotient is held against."""

    what: str
    numerator: str
    denominator: str
    numerator_s: float
    denominator_s: float
    limit: float
    at_least: bool = False
    """True: the quotient should reach the limit; False: it should stay at or below it."""

    @property
    def value(self) -> float:
        return self.numerator_s / self.denominator_s

    @property
    def holds(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def lines(self) -> list[str]:
        """Return what is printed: both medians, the ratio, the limit."""
        width = max(len(self.numerator), len(self.denominator), len("ratio"))
        sign = ">=" if self.at_least else "<="
        return [
            self.what,
            f"  {self.numerator:<{width}}  {self.numerator_s:8.2f} s",
            f"  {self.denominator:<{width}}  {self.denominator_s:8.2f} s",
            f"  {'ratio':<{width}}  {self.value:8.2f}    limit {sign} {self.limit:g}: {'held' if self.holds else 'NOT HELD'}",
        ]


def say(text: str) -> None:
    """Report progress on stderr; results go to stdout."""
    print(f"  … {text}", file=sys.stderr, flush=True)


def use_two_cores() -> None:
    """Hold this process and its children to two cores, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])


def seconds(call: Callable[..., object], *arguments: Any) -> float:
    """Return the wall time of `call(*arguments)`."""
    begin = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - begin


def interleaved(calls: Sequence[Callable[[], float]], repeats: int, label: str = "") -> list[float]:
    """Make each call in turn, `repeats` times over, and return the median of what each returned."""
    results: list[list[float]] = [[] for _ in calls]
    for repeat in range(repeats):
        for call, values in zip(calls, results, strict=True):
            values.append(call())
        if label:
            say(f"{label}: repeat {repeat + 1} of {repeats}: " + ", ".join(f"{values[-1]:.2f} s" for values in results))
    return [median(values) for values in results]


def keeping_bytecode() -> dict[str, str]:
    """Return the environment in which a checkout's modules are compiled once, as those of installed packages are."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def environment(scratch: Path) -> dict[str, str]:
    """Return the environment for `dvc`: this interpreter first on PATH, and DVC's own state below `scratch`."""
    variables = {name: value for name, value in keeping_bytecode().items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    variables["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), variables.get("PATH", "")])
    return variables | {"DVC_SITE_CACHE_DIR": str(scratch / "site-cache"), "DVC_NO_ANALYTICS": "1", "PYTHONUNBUFFERED": "1"}


def clone(scratch: Path, name: str) -> Path:
    """Return a fresh clone of the checkout's HEAD below `scratch`, with an empty DVC cache of its own."""
    folder = scratch / name
    execute(["git", "clone", "--quiet", str(ROOT), str(folder)], scratch, scratch)
    execute(["dvc", "config", "--local", "cache.dir", str(folder / ".dvc" / "cache")], folder, scratch)
    return folder


def execute(command: Sequence[str], folder: Path, scratch: Path, on_line: Callable[[str], None] | None = None) -> str:
    """Run `command` in `folder` and return its output, handing on each line as it comes; exit when it fails."""
    output: list[str] = []
    with subprocess.Popen(
        command, cwd=folder, env=environment(scratch), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            for line in process.stdout or ():
                output.append(line)
                if on_line:
                    on_line(line)
        except BaseException:
            with suppress(ProcessLookupError):
                process.terminate()
            raise
    if process.returncode:
        print("".join(output[-20:]), file=sys.stderr)
        sys.exit(f"error: {' '.join(command)}: ended with status {process.returncode}; see its last lines above")
    return "".join(output)
