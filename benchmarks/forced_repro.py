"""The whole default pipeline, forced, against the bare fit of its forest.

`dvc repro --force` of every stage in a fresh clone of HEAD with an empty cache, between fits of pipeline_rf on
the same training rows, each in a fresh process that times nothing but the fit. Says where the time went.

Run     python -m benchmarks.forced_repro [--repeats 1]     (some three minutes)
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.timing import ROOT, Ratio, clone, execute, say, use_two_cores

LIMIT = 5.0
MODEL = "pipeline_rf"
MARK = "Running stage '"


@dataclass
class Repro:
    """One forced run: its wall time and that of each stage, DVC's own work before and after it included."""

    wall_s: float = 0.0
    stages_s: dict[str, float] = field(default_factory=dict)


def measure(repeats: int = 1) -> tuple[Ratio, list[Repro], list[float]]:
    """Return the ratio of the medians, the forced runs and the seconds of the `repeats` + 1 bare fits around them."""
    with tempfile.TemporaryDirectory() as temporary:
        scratch = Path(temporary)
        prepared = clone(scratch, "prepared")
        say("preparing the rows for the bare fits")
        execute(["dvc", "repro", "--force", "prepare"], prepared, scratch)
        fits, repros = [bare_fit(prepared, scratch)], []
        for repeat in range(repeats):
            repros.append(forced_repro(clone(scratch, f"forced-{repeat}"), scratch))
            fits.append(bare_fit(prepared, scratch))
    ratio = Ratio(
        what=f"Forced run of the whole pipeline against the bare fit of {MODEL}",
        numerator=f"dvc repro --force (median of {len(repros)})",
        denominator=f"bare fit (median of {len(fits)})",
        numerator_s=median(repro.wall_s for repro in repros),
        denominator_s=median(fits),
        limit=LIMIT,
    )
    return ratio, repros, fits


def bare_fit(prepared: Path, scratch: Path) -> float:
    """Return the seconds of one fit on the rows in `prepared`, in a fresh process."""
    output = execute([sys.executable, "-m", "benchmarks.bare_fit", str(prepared), MODEL], ROOT, scratch)
    say(f"bare fit: {float(output.split()[-1]):.1f} s")
    return float(output.split()[-1])


def forced_repro(folder: Path, scratch: Path) -> Repro:
    """Return one forced run in `folder`; a stage lasts from DVC's line about it to the next such line."""
    say("dvc repro --force")
    starts: list[tuple[str, float]] = [("DVC's start", time.perf_counter())]

    def on_line(line: str) -> None:
        if line.startswith(MARK):
            starts.append((line.split("'")[1], time.perf_counter()))

    execute(["dvc", "repro", "--force"], folder, scratch, on_line)
    ends = [begin for _, begin in starts[1:]] + [time.perf_counter()]
    stages_s = {name: end - begin for (name, begin), end in zip(starts, ends, strict=True)}
    say(f"dvc repro --force: {sum(stages_s.values()):.1f} s")
    return Repro(sum(stages_s.values()), stages_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1, help="forced runs, each between two bare fits")
    use_two_cores()
    ratio, repros, fits = measure(max(1, parser.parse_args().repeats))
    print("\n".join(ratio.lines()))
    print(f"  bare fits: {', '.join(f'{fit:.1f} s' for fit in fits)}")
    print("\n  where the time goes (median)")
    for name in repros[0].stages_s:
        stage_s = median(repro.stages_s[name] for repro in repros)
        print(f"    {name:<40} {stage_s:6.1f} s  {stage_s / ratio.numerator_s:4.0%}")


if __name__ == "__main__":
    main()
