"""Take every classifier and regressor of scikit-learn through every format, and write docs/compatibility.md.

Each is fitted, saved, exported, reloaded and compared by the functions of the stages, in a process of its own with a time
limit. All of it happens twice, side by side on two cores, with another hash seed and another number of threads: where a
file comes out otherwise, the document says so. It holds no timings, and so comes out the same each time.

Run     python -m benchmarks.compatibility     (two minutes on two idle cores)
"""

import json
import multiprocessing
import os
import re
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from multiprocessing.connection import Connection
from pathlib import Path

import stages  # noqa: F401  first: it pins the environment, before numpy is imported

# isort: split
import yaml

from benchmarks.compatibility_cases import Case, cases, table
from benchmarks.timing import ROOT, say
from isoform.errors import IsoformError
from isoform.formats import open_format
from isoform.integrity import sha256, write_atomic
from pipeline import configs, environment, estimators, params
from stages import export_onnx, prepare, validate

DOCUMENT = ROOT / "docs/compatibility.md"
LIMIT_S = 120
SEED = 42
NAME = "mine"
EVALUATION = params.Evaluation(bootstrap=100, parity_rows=16, parity_batches=[1, 7, 1000], golden_rows=1)
HEAD = """\
# Which estimators can be published

Every classifier and regressor of scikit-learn through every format, on a small table of numbers and texts with gaps.
{versions}. Written by `python -m benchmarks.compatibility`; do not edit.

*Difference* is the largest between model.onnx and the fitted Pipeline, on held-out rows and on hostile ones, for regressors
in standard deviations of the target; joblib and pickle agree to the last bit. A – says that the estimator did not come so
far, and the last column why. One that is *blocked by parity* has a converter that answers otherwise: always, or only at
places where the estimator's answer jumps and a last bit of float32 decides. One *blocked by a policy* takes an
operator or a class that is on no allowlist of isoform/formats. Sizes are in bytes.
"""
PUBLISHED, BLOCKED, UNLISTED = "published", "blocked by parity", "blocked by a policy"
REFUSED, UNFIT = "without a converter", "not fitted"

OUTCOMES = (PUBLISHED, BLOCKED, UNLISTED, REFUSED, UNFIT)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of a case: how far it came, and why no further."""

    outcome: str
    reason: str = ""
    difference: float | None = None
    size_bytes: dict[str, int]
    hashes: dict[str, str]


def attempt(case: Case, jobs: int) -> Result:
    """Take one case as far as it comes; what any library raises on the way is a result, too."""
    onnx_params = params.load(ROOT / "params.yaml").onnx
    model = params.SklearnModel.model_validate({"version": "1.0.0", "created_at": "2026-01-01T00:00:00Z", **case.entry})
    columns, target, data = table(case)
    train, test = prepare.split(columns, target, data, SEED)
    schema = prepare.prepare(data, train, test)[2]
    config = configs.describe(NAME, model, schema)
    files: dict[str, bytes] = {}
    outcome, reason, difference = UNFIT, "", None
    try:
        pipeline = estimators.fit(NAME, estimators.build(NAME, model, schema, SEED), *train, jobs)
        files |= {name: open_format(name).dump(pipeline) for name in ("joblib", "pickle")}
        outcome = REFUSED
        files["onnx"] = open_format("onnx").dump(export_onnx.export_sklearn(pipeline, config, onnx_params))
        outcome = UNLISTED
        natives = validate.reload("sklearn", Path(), files, config)
        outcome = BLOCKED
        _, _, parities = validate.validate(natives, test[0], config, EVALUATION, SEED, "joblib", schema.target_scale)
        outcome, difference = PUBLISHED, parities["onnx"].max_difference
    except Exception as error:
        reason = explain(error)
    return Result(
        outcome=outcome,
        reason=reason,
        difference=difference,
        size_bytes={name: len(data) for name, data in files.items()},
        hashes={name: sha256(data) for name, data in files.items()},
    )


def explain(error: Exception) -> str:
    """Return why a case came no further, in one short line."""
    if not isinstance(error, IsoformError):
        return " ".join(f"{type(error).__name__}: {error}".split())[:200]
    text = re.sub(r"\[ONNXRuntimeError\].*?Status Message: ", "onnxruntime: ", error.reason)
    reason = re.sub(rf"^models\.sklearn\.{NAME}(\.builder is \w+, which|: \w+) ", "", text)
    answers = re.match(r"answers (\[[^]]*\]), joblib answers (\[[^]]*\]); (.*)", reason)
    if answers:
        found, expected = json.loads(answers[1]), json.loads(answers[2])
        largest = max(abs(one - other) for one, other in zip(found, expected, strict=True))
        where = error.where.removeprefix("format 'onnx', ")
        reason = f"{answers[3]}, the worst by {largest:.1g} ({where})"
    return " ".join(reason.split())[:200]


def isolated(case: Case, jobs: int) -> Result:
    """Run `attempt` in a process of its own: it may hang, or end without a word."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(case, jobs, sender))
    child.start()
    sender.close()
    try:
        result: Result = receiver.recv() if receiver.poll(LIMIT_S) else _lost(f"took more than {LIMIT_S} s")
    except EOFError:
        result = _lost("ended its process")
    child.kill()
    child.join()
    return result


def _child(case: Case, jobs: int, sender: Connection) -> None:
    with Path(os.devnull).open("w") as nothing:  # libraries print as they like
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    warnings.simplefilter("ignore")
    sender.send(attempt(case, jobs))


def _lost(reason: str) -> Result:
    return Result(outcome=UNFIT, reason=reason, size_bytes={}, hashes={})


def work(jobs: int, names: Sequence[str] = ()) -> None:
    """Print the result of every case, or of those with these `names`, as a line of JSON."""
    every = [case for case in cases() if not names or case.name in names]
    for position, case in enumerate(every):
        if jobs == 1:
            say(f"{position + 1} of {len(every)}: {case.name}")
        print(json.dumps(asdict(isolated(case, jobs))), flush=True)


def measure() -> Iterator[tuple[Case, Result]]:
    """Yield every case with what became of it, both times."""
    command = [sys.executable, "-m", "benchmarks.compatibility"]
    workers = [
        subprocess.Popen([*command, str(jobs)], cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, "PYTHONHASHSEED": str(jobs)})
        for jobs in (1, 2)
    ]
    outputs = [worker.stdout for worker in workers if worker.stdout]
    for case, *lines in zip(cases(), *outputs, strict=True):
        first, second = (Result(**json.loads(line)) for line in lines)
        odd = [name for name in first.hashes if first.hashes[name] != second.hashes.get(name)]
        yield case, replace(first, reason=f"{first.reason} ({', '.join(odd)}: other bytes each time)".strip()) if odd else first


class Whole(yaml.SafeDumper):
    """Writes each entry in full, without a reference to an equal one."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def render(measured: Sequence[tuple[Case, Result]]) -> str:
    """Return the document."""
    versions = ", ".join(f"{name} {environment.version(name)}" for name in ("scikit-learn", "skl2onnx", "onnx", "onnxruntime"))
    lines = HEAD.format(versions=versions).splitlines()
    for section, group in groupby(measured, key=lambda pair: pair[0].section):
        rows = list(group)
        counts = Counter(result.outcome for _, result in rows)
        summary = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome])
        lines += ["", f"## {section}", "", f"{len(rows)}: {summary}.", ""]
        lines += ["| estimator | preprocessing | converts | difference | model.onnx | joblib | why not |"]
        lines += ["|---|---|---|--:|--:|--:|---|", *(row(case, result) for case, result in rows)]
    lines += ["", "## Arguments", "", "Those that are not the defaults, as they stand in params.yaml:", "", "```yaml"]
    given = {case.name: case.entry for case, _ in measured if case.entry["hyperparameters"]}
    lines += [
        yaml.dump(given, Dumper=Whole, sort_keys=True, allow_unicode=True, width=120, default_flow_style=None).rstrip(),
        "```",
    ]
    return "\n".join(lines) + "\n"


def row(case: Case, result: Result) -> str:
    """Return one line of a table."""
    converts = {UNFIT: "–", REFUSED: "no"}.get(result.outcome, "yes")
    difference = "–" if result.difference is None else f"{result.difference:.1e}"
    difference = "blocked" if result.outcome in (BLOCKED, UNLISTED) else difference
    sizes = [f"{result.size_bytes[name]:,}" if name in result.size_bytes else "–" for name in ("onnx", "joblib")]
    cells = [case.name, case.entry["preprocessing"], converts, difference, *sizes, result.reason.replace("|", "\\|")]
    return f"| {' | '.join(cells)} |"


def main(arguments: list[str]) -> None:
    """Write the document, or, with a number of threads and perhaps the names of cases, work for it."""
    if arguments:
        work(int(arguments[0]), arguments[1:])
    else:
        write_atomic(DOCUMENT, render(list(measure())))


if __name__ == "__main__":
    main(sys.argv[1:])
