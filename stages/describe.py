"""Tell a reviewer, in Git, what the prepared data is.

A stage of its own, because a stage with an output in Git has no run-cache: this one is cheap, prepare is not.

Reads   data/prepared/
Writes  data/summary.json
Run     python -m stages.describe
"""

from typing import Any

import numpy as np

from isoform.integrity import write_atomic
from isoform.metadata import Label, to_json
from isoform.rows import Columns
from pipeline import datasets, layout
from pipeline.datasets import Schema
from stages import run


def describe(schema: Schema, train: tuple[Columns, np.ndarray], test: tuple[Columns, np.ndarray]) -> dict[str, Any]:
    """Return columns, types, categories, classes (or the target's range), rows and hashes; the statistics of training rows."""
    columns = train[0]
    targets = {"train": train[1], "test": test[1]}
    classes = {_spelt(label): {part: int((t == label).sum()) for part, t in targets.items()} for label in schema.classes}
    return {
        "source": schema.source,
        "task": schema.task,
        "target": schema.target,
        "rows": {"train": schema.train_rows, "test": schema.test_rows},
        "sha256": {"train": schema.train_sha256, "test": schema.test_sha256},
        **({"classes": classes} if classes else {"target_values": {part: _numeric(t) for part, t in targets.items()}}),
        "numeric": {name: _numeric(columns[name]) for name in schema.numeric},
        "categorical": {
            name: {"dtype": "string", "missing": int((columns[name] == "").sum()), "categories": schema.categories[name]}
            for name in schema.categorical
        },
    }


def _spelt(label: Label) -> str:
    return str(label).lower() if isinstance(label, bool) else str(label)


def _numeric(values: np.ndarray) -> dict[str, Any]:
    present = values[~np.isnan(values)]
    quantiles = np.quantile(present, [0, 0.5, 1], method="lower") if len(present) else []
    return {
        "dtype": str(values.dtype),
        "missing": int(np.isnan(values).sum()),
        **{name: float(str(value)) for name, value in zip(("min", "median", "max"), quantiles, strict=False)},
    }


def main() -> None:
    """Write data/summary.json; raises `BadInput` or `CheckFailed` when the prepared tables are not those of their schema."""
    schema = datasets.read_schema()
    summary = describe(schema, datasets.read_train(schema), datasets.read_test(schema))
    write_atomic(layout.SUMMARY, to_json(summary))


if __name__ == "__main__":
    run(main, __doc__)
