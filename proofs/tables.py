"""Run the pipeline on other tables, each by an edit of params.yaml alone, and verify what it publishes in every format.

Each table gets a fresh copy of the repository, its file under data/raw, and the edit of its entry below; then plain
`dvc repro`, and `isoform verify` with every format replayed.

Run     python -m proofs.tables [--only NAME …] [--keep FOLDER] [--jobs N]
"""

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from isoform import errors
from isoform.errors import BadInput, CheckFailed
from isoform.metadata import Metadata, read
from proofs import workspace
from proofs.other_tables import SMALL, TABLES, Table

EVERY_FORMAT = re.compile(r"^  ok  (\w+) +hash ok, (\d+) golden rows replayed", re.MULTILINE)


def build(table: Table, folder: Path) -> list[Metadata]:
    """Build the models of `table` in a new repository at `folder` and return what was published.

    Raises `CheckFailed` when a stage fails or a format of a version was not replayed.
    """
    workspace.copy_sources(folder)
    source = folder / "data" / "raw" / table.file
    table.write(source)
    workspace.set_params(folder, {**SMALL, "data.source": f"data/raw/{table.file}", **table.params})
    try:
        workspace.run(folder, "dvc", "add", "--quiet", str(source.relative_to(folder)))
        workspace.run(folder, "dvc", "repro")
        verified = workspace.run(folder, "isoform", "verify", "--trust-pickle")
    except AssertionError as error:
        said = [line for line in str(error).splitlines() if line.startswith("error: ")]
        reason = said[0].removeprefix("error: ") if said else "a stage failed"
        raise CheckFailed(f"table '{table.name}'", reason, f"see {_log(folder, str(error))}") from None
    published = [read(path.parent) for path in sorted(folder.glob("models/*/*/metadata.json"))]
    formats = sum(name not in ("config", "golden") for version in published for name in version.files)
    replayed = len(EVERY_FORMAT.findall(verified))
    if replayed != formats:
        reason = f"{replayed} of {formats} formats were replayed"
        raise CheckFailed(f"table '{table.name}'", reason, f"see {_log(folder, verified)}")
    return published


def _log(folder: Path, text: str) -> Path:
    path = folder.with_suffix(".log")
    path.write_text(text)
    return path


def describe(table: Table, folder: Path, published: list[Metadata]) -> list[str]:
    """Return lines for people: what the table is, then each model with its first metrics and largest difference."""
    summary = json.loads((folder / "data" / "summary.json").read_text())
    columns = f"{len(summary['numeric'])} numeric and {len(summary['categorical'])} text columns"
    answers = f"{len(summary['classes'])} classes" if "classes" in summary else "regression"
    lines = [f"{table.name}: {published[0].data.train_rows} + {published[0].data.test_rows} rows, {columns}, {answers}"]
    for version in published:
        metrics = ", ".join(f"{name} {metric.value:#.4g}" for name, metric in list(version.metrics.items())[:3])
        parities = {name: entry.parity.max_difference for name, entry in version.files.items() if entry.parity}
        worst = max(parities, key=parities.__getitem__)
        lines.append(f"  {version.model_name:<18} {len(parities) + 1} formats, at most {parities[worst]:.1e} apart; {metrics}")
    return lines


def prove(tables: list[Table], base: Path, jobs: int) -> list[CheckFailed]:
    """Build every table, `jobs` at a time, and print each as it ends; return what failed."""

    def attempt(table: Table) -> CheckFailed | None:
        began = time.monotonic()
        folder = base / table.name
        try:
            lines = describe(table, folder, build(table, folder))
        except CheckFailed as failure:
            print(f"{table.name}: failed", flush=True)
            return failure
        print("\n".join([*lines, f"  {time.monotonic() - began:.0f} s"]), flush=True)
        return None

    with ThreadPoolExecutor(jobs) as pool:
        return [failure for failure in pool.map(attempt, tables) if failure]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", metavar="NAME", nargs="+", choices=[table.name for table in TABLES], help="these tables")
    options.add_argument("--keep", metavar="FOLDER", type=Path, help="build in this new folder and leave it")
    options.add_argument("--jobs", metavar="N", type=int, default=os.cpu_count(), help="tables at a time")
    chosen = options.parse_args()
    tables = [table for table in TABLES if not chosen.only or table.name in chosen.only]
    base = chosen.keep or Path(tempfile.mkdtemp(prefix="isoform-tables-"))
    if chosen.keep and base.exists() and any(base.iterdir()):
        raise BadInput(base, "is not empty", "name a new folder")
    failures = prove(tables, base.resolve(), max(1, chosen.jobs))
    for failure in failures:
        print(f"error: {failure}", file=sys.stderr)
    if failures:
        raise CheckFailed("make tables", f"{len(failures)} of {len(tables)} tables failed", "see above")
    print(f"{len(tables)} tables, every format of every model verified")
    if not chosen.keep:
        shutil.rmtree(base)


if __name__ == "__main__":
    sys.exit(errors.run(main))
