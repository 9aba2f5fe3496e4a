"""Mutate every format, ten thousand files each, and fail when one was not held.

Each file is tried with its hash recorded in metadata.json, in a process of its own: nothing may run, hang, crash, take memory
or change a file; it is refused in one line, or answered from with finite numbers. The same SEED tries the same files. A file
that was not held is shrunk and kept in .scratch/fuzz, with the command that tries it again.

Run     python tests/faults/fuzz.py [FILES] [--seed SEED] [--only FORMAT …]
        python tests/faults/fuzz.py --again FORMAT FILE
"""

import argparse
import hashlib
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent.parent), str(HERE.parent)]

from pipeline.determinism import pin_environment  # noqa: E402 - first of all

pin_environment()

import builders  # noqa: E402
from builders import REPOSITORY, Workspace  # noqa: E402
from fuzzing import TARGETS, Tally, Trial  # noqa: E402
from harness import Child, workspace_site  # noqa: E402
from tqdm import tqdm  # noqa: E402

KEPT = REPOSITORY / ".scratch" / "fuzz"
DONE = multiprocessing.Value("q", 0)
"""Files tried so far, by all processes."""
HEAD = "format         files refused  answered reasons   slowest      memory  not held"


def fuzz(workspace: Workspace, root: Path, format: str, files: int, seed: int) -> Tally:
    """Try the files of one format."""
    site = workspace_site(workspace, root, format)
    child = Child([site.command])
    try:
        return Trial(site, child).run(files, seed, count)
    finally:
        child.close()


def count() -> None:
    with DONE.get_lock():
        DONE.value += 1


def fuzz_all(workspace: Workspace, place: Path, formats: list[str], files: int, seed: int) -> Iterator[Tally]:
    """Try every format, as many at once as there are cores; yield each when it is done."""
    with (
        ProcessPoolExecutor(len(os.sched_getaffinity(0)), multiprocessing.get_context("fork")) as pool,
        tqdm(total=files * len(formats), unit="file", disable=not sys.stderr.isatty()) as bar,
    ):
        running = {pool.submit(fuzz, workspace, place / format, format, files, seed) for format in formats}
        while running:
            done, running = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
            bar.update(DONE.value - bar.n)
            yield from (future.result() for future in done)


def report(tally: Tally) -> None:
    """Print the line of a format; keep the file of each failure, and print the command that tries it again."""
    bad = sum(count for count, *_ in tally.not_held.values())
    lines = [
        f"{tally.format:<12} {tally.files:>7} {tally.refused:>7} {tally.files - tally.refused:>9} {len(tally.reasons):>7} "
        f"{tally.slowest_s:>7.2f} s {tally.peak_bytes / 1e6:>8.0f} MB {bad:>9}"
    ]
    for name, (count, bad_file, said) in tally.not_held.items():
        path = KEPT / f"{tally.format}-{hashlib.sha256(bad_file).hexdigest()[:12]}"
        path.write_bytes(bad_file)
        lines += [f"  {count} × {name}\n    {said[-600:]}"]
        lines += [f"    python tests/faults/fuzz.py --again {tally.format} {path.relative_to(REPOSITORY)}"]
    tqdm.write("\n".join(lines))
    sys.stdout.flush()


def again(workspace: Workspace, place: Path, format: str, file: Path) -> int:
    """Try one file, print what came of it, and return an exit status."""
    site = workspace_site(workspace, place / format, format)
    child = Child([site.command])
    outcome, found, more = Trial(site, child).attempt(file.read_bytes())
    child.close()
    print(f"status {outcome.status}, {outcome.seconds:.2f} s, {more / 1e6:.0f} MB more than the good file")
    print(outcome.stdout[-2000:] + outcome.stderr[-4000:])
    print("\n".join(found) or "held")
    return int(bool(found))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=int, nargs="?", default=10_000, metavar="FILES", help="of each format (10000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=TARGETS, default=list(TARGETS), metavar="FORMAT")
    parser.add_argument("--again", nargs=2, metavar=("FORMAT", "FILE"), help="try a file that was kept")
    options = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        workspace = builders.publish_all(Path(place) / "workspace", "mixed")
        if options.again:
            return again(workspace, Path(place), options.again[0], Path(options.again[1]))
        print(HEAD)
        not_held = 0
        for tally in fuzz_all(workspace, Path(place), options.only, options.files, options.seed):
            report(tally)
            not_held += len(tally.not_held)
    if not_held:
        where = KEPT.relative_to(REPOSITORY)
        print(f"error: {where}: keeps a file for each of {not_held} failures; try them again as shown", file=sys.stderr)
    return int(not_held > 0)


if __name__ == "__main__":
    sys.exit(main())
