"""Run every benchmark in turn, each in a process of its own so that none warms or pins another's.

Run     python -m benchmarks.run     (some ten minutes)
"""

import subprocess
import sys

from benchmarks.timing import ROOT

BENCHMARKS = ("slicing", "reproducibility", "formats", "loading", "noop_repro", "forced_repro")


def main() -> None:
    failed = []
    for name in BENCHMARKS:
        print(f"== {name}", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=ROOT, check=False).returncode:
            failed.append(name)
        print(flush=True)
    # A ratio beyond its limit is a result; a benchmark that could not measure is not.
    if failed:
        sys.exit(f"error: benchmarks: {', '.join(failed)} could not measure; see above")


if __name__ == "__main__":
    main()
