"""What Isoform costs over bare onnxruntime: one row, a thousand rows, and the first answer of a fresh process.

Bare is `session.run` on the same arrays, each reshaped to [N, 1], in a session of the same bytes with the same options: it
checks no cell, and in the cold start no hash. Isoform and bare are timed in turn, each right after an untimed answer of its
own, as in a service; medians. `again` is a second bare time of each turn, against the first: the noise of the machine. The
rows are drawn by seed, numbers from golden.json, gaps included, and texts from the categories of training, every text an
object of its own, as a parser makes them.

Run     python -m benchmarks.loading [ROOT] [--repeats 300] [--starts 25]     (ROOT: a folder that holds models/; minutes)
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from benchmarks.formats import golden_rows, present
from benchmarks.timing import ROOT, interleaved, keeping_bytecode, say, seconds, use_two_cores
from isoform import Model, load
from isoform.rows import Columns

ONE, MANY = 1, 1000
ONES_IN_MANY = 10
"""One row is asked as many times as often as many: it is quick, and easily disturbed."""
ADDED_AT_ONE_S = 100e-6
RATIO_AT_MANY = 1.1
RATIO_AT_START = 1.2
GAPS = 0.05
"""Share of texts that are missing."""

COLD_BARE = """
import time
begin = time.perf_counter()
import numpy as np
import onnxruntime as ort
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.log_severity_level = 4
options.add_session_config_entry("session.load_model_format", "ONNX")
with open({path!r}, "rb") as file:
    session = ort.InferenceSession(file.read(), options, providers=["CPUExecutionProvider"])
row = {row!r}
feeds = {{name: np.array([[cell]], object if isinstance(cell, str) else np.float32) for name, cell in row.items()}}
session.run([session.get_outputs()[-1].name], feeds)
print(time.perf_counter() - begin)
"""
COLD_OURS = """
import time
begin = time.perf_counter()
from isoform import load
load({folder!r}).predict_proba([{row!r}])
print(time.perf_counter() - begin)
"""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Medians of one run: bare, bare again, and Isoform; and the limit on what Isoform adds."""

    what: str
    bare_s: float
    again_s: float
    ours_s: float
    limit: float
    is_ratio: bool
    """False: the limit is on the seconds added."""

    @property
    def value(self) -> float:
        return self.ours_s / self.bare_s if self.is_ratio else self.ours_s - self.bare_s

    def line(self) -> str:
        """Return what is printed."""
        value, limit = (f"{x:.2f}" if self.is_ratio else f"+{x * 1e6:.0f} µs" for x in (self.value, self.limit))
        verdict = "held" if self.value <= self.limit else "NOT HELD"
        return (
            f"  {self.what:<18} bare {time_text(self.bare_s):>9}  again ×{self.again_s / self.bare_s:.2f}"
            f"  isoform {time_text(self.ours_s):>9}  {value:>8}  limit {limit}: {verdict}"
        )


def time_text(value_s: float) -> str:
    """Return a time for people."""
    return f"{value_s * 1e3:.2f} ms" if value_s >= 1e-3 else f"{value_s * 1e6:.0f} µs"


def warm(folder: Path, model: Model, repeats: int) -> Iterator[Cost]:
    """Yield the costs of answering arrays in a process that has answered before."""
    output = model.native.get_outputs()[-1].name

    def bare(rows: Columns) -> Any:
        return model.native.run([output], {name: column.reshape(-1, 1) for name, column in rows.items()})[0]

    for count, times in ((ONE, repeats * ONES_IN_MANY), (MANY, repeats)):
        rows = drawn_rows(folder, model, count)
        if bare(rows).tobytes() != model.predict_proba(rows).tobytes():
            sys.exit(f"error: {folder}: Isoform and bare onnxruntime answer differently; run 'isoform verify'")
        asks: list[Callable[[Columns], Any]] = [bare, bare, model.predict_proba]
        timed = [lambda ask=ask, rows=rows: (ask(rows), seconds(ask, rows))[1] for ask in asks]
        bare_s, again_s, ours_s = interleaved(timed, times)
        limit = ADDED_AT_ONE_S if count == ONE else RATIO_AT_MANY
        what = f"{count} row{'s' if count > 1 else ''}, arrays"
        yield Cost(what=what, bare_s=bare_s, again_s=again_s, ours_s=ours_s, limit=limit, is_ratio=count == MANY)


def cold(folder: Path, model: Model, starts: int) -> Cost:
    """Return the cost of a fresh process's first answer, from before its first import; the interpreter is up by then."""
    row = {name: cells[0] for name, cells in as_lists(drawn_rows(folder, model, ONE)).items()}
    programs = [COLD_BARE, COLD_BARE, COLD_OURS]
    path = str(folder / model.metadata.files["onnx"].path)

    def start(program: str) -> float:
        code = program.format(folder=str(folder), path=path, row=row)
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=keeping_bytecode(), capture_output=True, text=True, check=True
        )
        return float(done.stdout)

    bare_s, again_s, ours_s = interleaved([partial(start, program) for program in programs], starts)
    return Cost(what="cold start", bare_s=bare_s, again_s=again_s, ours_s=ours_s, limit=RATIO_AT_START, is_ratio=True)


def kinds(folder: Path, model: Model, repeats: int) -> Iterator[str]:
    """Yield a line for one row and one for many: the time of an answer for each kind of rows."""
    for count in (ONE, MANY):
        arrays = drawn_rows(folder, model, count)
        lists = as_lists(arrays)
        records = [dict(zip(lists, cells, strict=True)) for cells in zip(*lists.values(), strict=True)]
        rows = {
            "arrays": arrays,
            "lists": lists,
            "dicts": records,
            "pandas": pd.DataFrame(arrays),
            "polars": pl.DataFrame(lists),
            "Arrow": pa.table(lists),
        }
        timed = [partial(seconds, model.predict_proba, given) for given in rows.values()]
        for call in timed:
            call()
        times = zip(rows, interleaved(timed, repeats), strict=True)
        yield f"  {f'{count} rows as':<18} " + ", ".join(f"{name} {time_text(value)}" for name, value in times)


def as_lists(rows: Columns) -> dict[str, list[Any]]:
    """Return columns as lists, None for a missing number: what a JSON parser makes."""
    return {name: [None if pd.isna(cell) else cell for cell in column.tolist()] for name, column in rows.items()}


def drawn_rows(folder: Path, model: Model, count: int) -> Columns:
    """Return `count` rows as float32 [N] and object [N]."""
    rng = np.random.default_rng(0)
    golden = golden_rows(folder, MANY)
    rows = {name: rng.choice(golden[name], size=count) for name in model.config.numeric}
    for name in model.config.categorical:
        texts = rng.choice(np.array(model.config.categories[name] or [""], dtype=object), size=count)
        texts[rng.random(count) < GAPS] = ""
        rows[name] = np.array([text[:1] + text[1:] for text in texts], dtype=object)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, nargs="?", default=ROOT, metavar="ROOT", help="default: the checkout")
    parser.add_argument("--repeats", type=int, default=300, help="timed calls of each")
    parser.add_argument("--starts", type=int, default=25, help="fresh processes of each")
    options = parser.parse_args()
    use_two_cores()
    folders = [folder for folder, name in present(options.root.resolve()) if name == "onnx"]
    if not folders:
        sys.exit(f"error: {options.root / 'models'}: holds no model.onnx; run 'dvc repro' or 'dvc pull'")
    for folder in folders:
        model = load(folder, format="onnx")
        print(f"{model.metadata.model_name} {model.metadata.version}")
        for cost in warm(folder, model, options.repeats):
            print(cost.line(), flush=True)
        print(cold(folder, model, options.starts).line(), flush=True)
        for line in kinds(folder, model, max(1, options.repeats // 10)):
            print(line, flush=True)
        say(f"{folder.name} done")


if __name__ == "__main__":
    main()
