"""Reload every format of a model, compare its answers with the reference's, and only then publish the version.

Reads   every model file of the version folder and history.csv, checked by the records (*.sha256) of the stages that wrote
        them, data/prepared/test.parquet, schema.json
Writes  reports/<name>/, and in the version folder config.json, golden.json and, last, metadata.json
Run     python -m stages.validate sklearn pipeline_rf
"""

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from isoform.errors import CheckFailed
from isoform.formats import FORMATS, open_format
from isoform.integrity import sync, write_atomic
from isoform.loading import UNSAFE, answer, parse_model
from isoform.metadata import Config, Estimate, Parity, to_json
from isoform.rows import Columns
from pipeline import configs, datasets, determinism, layout, metrics, onnx_contract, params, parity, publishing, records
from pipeline.parity import Answer
from pipeline.progress import progress
from pipeline.publishing import FORMATS_OF, Kind
from stages import run

log = logging.getLogger(__name__)


def validate(
    natives: Mapping[str, Any],
    columns: Columns,
    config: Config,
    evaluation: params.Evaluation,
    seed: int,
    reference: str,
    scale: float = 1.0,
) -> tuple[Answer, np.ndarray, dict[str, Parity]]:
    """Return the reference, its answers to all rows, float32 [N, K], and every other format's parity with it.

    Raises `CheckFailed` at the first format that does not agree on the held-out rows, all at once and in batches,
    and on the hostile ones, and when model.onnx does not keep its contract.
    """
    answers: dict[str, Answer] = {
        name: partial(answer, open_format(name), native, config=config) for name, native in natives.items()
    }
    picked = parity.sample(columns, evaluation.parity_rows, seed)
    questions = parity.held_out(columns, picked, evaluation.parity_batches)
    expected = [parity.ask(reference, answers[reference], question) for question in questions]
    questions.append(parity.made_hostile(reference, answers[reference], columns, config, seed))
    expected.append(parity.ask(reference, answers[reference], questions[-1]))
    parities = {}
    others = [name for name in answers if name != reference]
    for name in progress(others, "format", total=len(others)):
        parities[name] = parity.compare(name, answers[name], questions, expected, reference, scale=scale)
        log.info("%s agrees: largest difference %.1e", name, parities[name].max_difference)
    onnx_contract.check_labels(natives["onnx"], questions, expected, config, reference)
    onnx_contract.check_no_rows(natives["onnx"], columns)
    return answers[reference], expected[0], parities


def reload(kind: Kind, folder: Path, contents: Mapping[str, bytes], config: Config) -> dict[str, Any]:
    """Parse every format from its bytes; raises `CheckFailed` for what the policy of a format refuses."""
    natives = {}
    for name in FORMATS_OF[kind]:
        try:
            natives[name] = parse_model(folder / FORMATS[name].filename, name, contents[name], config)
        except CheckFailed as failure:
            action = "correct its exporter" if failure.action == UNSAFE else failure.action
            raise CheckFailed(f"format '{name}'", failure.reason, f"{action}; nothing was published") from failure
    return natives


def main(kind: Kind, name: str) -> None:
    """Publish the model `name` of `kind`, or raise `CheckFailed` or `BadInput` and leave no metadata.json."""
    settings = params.load()
    model = settings.model(kind, name)
    folder = layout.version_dir(name, model.version)
    unpublish(folder)
    schema = datasets.read_schema()
    config = configs.describe(name, model, schema)
    columns, labels = datasets.read_test(schema)
    contents = {entry: records.read(folder, publishing.WRITTEN_BY[entry], FORMATS[entry].filename) for entry in FORMATS_OF[kind]}
    if kind == "torch":
        determinism.seed_torch(settings.seed, settings.threads)
    natives = reload(kind, folder, contents, config)
    reference, answers, parities = validate(
        natives, columns, config, settings.evaluation, settings.seed, parity.REFERENCE[kind], schema.target_scale
    )
    targets = datasets.targets(labels, schema)
    estimates = metrics.evaluate(schema.task, targets, answers, resamples=settings.evaluation.bootstrap, seed=settings.seed)
    write_report(name, folder, estimates, metrics.tables(schema.task, targets, answers, list(map(str, schema.classes))))
    rows = publishing.golden_rows(columns, config, settings.evaluation.golden_rows, settings.seed)
    documents = {"config": config, "golden": publishing.golden(rows, reference(rows), config, schema.target_scale)}
    files = {entry: (FORMATS[entry].filename, data) for entry, data in contents.items()}
    for document, value in documents.items():
        files[document] = (f"{document}.json", to_json(value).encode())
        write_atomic(folder / f"{document}.json", to_json(value))
    metadata = publishing.build_metadata(kind, config, settings, schema, metrics=estimates, contents=files, parities=parities)
    sync_all(folder, [filename for filename, _ in files.values()])
    write_atomic(folder / "metadata.json", to_json(metadata))


def unpublish(folder: Path) -> None:
    """Remove metadata.json: whatever happens from here on, a version that failed is no version."""
    (folder / "metadata.json").unlink(missing_ok=True)


def sync_all(folder: Path, filenames: list[str]) -> None:
    """Put on the disk what DVC's checkout may not have: after a power cut, metadata.json would vouch for what is gone."""
    for filename in filenames:
        sync(folder / filename)


def write_report(name: str, folder: Path, estimates: Mapping[str, Estimate], tables: Mapping[str, str]) -> None:
    """Write metrics.json and the tables behind the plots where their paths are free of the version."""
    reports = layout.report_dir(name)
    for table, text in tables.items():
        write_atomic(reports / f"{table}.csv", text)
    if (folder / "history.csv").exists():  # a network's; DVC keeps it with the model, so that training has a run-cache
        write_atomic(reports / "loss.csv", records.read(folder, "train", "history.csv"))
    write_atomic(reports / "metrics.json", to_json(estimates))


if __name__ == "__main__":
    run(main, __doc__, "name", kind=["sklearn", "torch"])
