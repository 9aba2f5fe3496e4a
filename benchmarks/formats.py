"""What each format of each model costs a consumer: its size, loading it, answering one row and a thousand.

Through `isoform.load` and `predict_proba`, hashes and row policy included, in a process that has imported the
libraries already; all formats in turn, medians. Prints the Markdown table of README.md.

Run     python -m benchmarks.formats [ROOT] [--repeats 15]     (ROOT: a folder that holds models/)
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.timing import ROOT, interleaved, say, seconds, use_two_cores
from isoform import Model, load
from isoform import metadata as documents
from isoform.formats import FORMATS
from isoform.inspection import size_text
from isoform.loading import read_config, read_golden
from isoform.rows import Columns, count, take
from isoform.verification import rows_of

MANY = 1000
FEW_CALLS = 10
"""Answers of one row are timed by this many: one alone is too short."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table."""

    model: str
    version: str
    format: str
    file: str
    size_bytes: int
    load_ms: float
    one_ms: float
    many_ms: float


def measure(root: Path = ROOT, repeats: int = 15) -> list[Row]:
    """Return one row for each format that is present below `root`/models."""
    found = list(present(root))
    loads = [partial(seconds, reload, folder, name) for folder, name in found]
    models = [reload(folder, name) for folder, name in found]  # imports what there is to import
    load_s = interleaved(loads, repeats)
    say("loaded")
    ones, manys = [], []
    for (folder, _), model in zip(found, models, strict=True):
        ones.append(partial(seconds, ask_often, model, golden_rows(folder, 1)))
        manys.append(partial(seconds, model.predict_proba, golden_rows(folder, MANY)))
    for call in [*ones, *manys]:
        call()
    one_s, many_s = interleaved(ones, repeats), interleaved(manys, repeats)
    return [
        describe(model, name, load_s[i], one_s[i] / FEW_CALLS, many_s[i])
        for i, ((_, name), model) in enumerate(zip(found, models, strict=True))
    ]


def present(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield the folder and the name of each format that is here, safest first."""
    for path in sorted(root.glob("models/*/v*/metadata.json")):
        files = documents.read(path.parent).files
        yield from ((path.parent, name) for name in FORMATS if name in files and (path.parent / files[name].path).exists())


def reload(folder: Path, name: str) -> Model:
    """Load one format as a consumer would who trusts the author."""
    return load(folder, format=name, trust_pickle=True)


def ask_often(model: Model, rows: Columns) -> None:
    """Ask for the answer to `rows` `FEW_CALLS` times."""
    for _ in range(FEW_CALLS):
        model.predict_proba(rows)


def golden_rows(folder: Path, rows: int) -> Columns:
    """Return `rows` raw rows as NumPy columns, as a DataFrame holds them: the golden ones over and over."""
    metadata = documents.read(folder)
    columns = rows_of(read_golden(folder, metadata), read_config(folder, metadata))
    return take(columns, np.arange(rows) % count(columns))


def describe(model: Model, name: str, load_s: float, one_s: float, many_s: float) -> Row:
    """Return the line of one format."""
    entry = model.metadata.files[name]
    return Row(
        model=model.metadata.model_name,
        version=model.metadata.version,
        format=name,
        file=entry.path,
        size_bytes=entry.bytes,
        load_ms=load_s * 1e3,
        one_ms=one_s * 1e3,
        many_ms=many_s * 1e3,
    )


def table(rows: list[Row]) -> Iterator[str]:
    """Yield the lines of the Markdown table."""
    yield f"| model | format | file | size | load, ms | 1 row, ms | {MANY} rows, ms |"
    yield "|---|---|---|--:|--:|--:|--:|"
    for row in rows:
        times = " | ".join(f"{value:.1f}" if value >= 1 else f"{value:.2f}" for value in (row.load_ms, row.one_ms, row.many_ms))
        yield f"| {row.model} | {row.format} | {row.file} | {size_text(row.size_bytes)} | {times} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, nargs="?", default=ROOT, metavar="ROOT", help="default: the checkout")
    parser.add_argument("--repeats", type=int, default=15, help="timed calls of each")
    options = parser.parse_args()
    use_two_cores()
    rows = measure(options.root, max(1, options.repeats))
    if not rows:
        sys.exit(f"error: {options.root / 'models'}: holds no published version; run 'dvc repro' or 'dvc pull'")
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
