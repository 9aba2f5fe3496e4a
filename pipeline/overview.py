"""Show what the last run published: each model's metrics with their 95 % intervals, and where its files lie.

Reads   metadata.json of every version in params.yaml, from Git alone
Run     python -m pipeline.overview
"""

import sys

from isoform import errors
from isoform.inspection import figure, size_text
from isoform.metadata import Metadata, read
from pipeline import layout, params

TITLES = {"roc_auc": "ROC AUC", "f1": "F1", "log_loss": "log loss", "brier": "Brier", "rmse": "RMSE", "mae": "MAE", "r2": "R²"}
"""Metrics whose name is not their title."""


def table(documents: list[Metadata]) -> list[str]:
    """Return the metrics as lines of text, a column a model."""
    heads = [f"{document.model_name} {document.version}" for document in documents]
    lines = [" " * 10 + "".join(f"  {head:<23}" for head in heads)]
    for name in documents[0].metrics:
        title = TITLES.get(name, name)
        metrics = [document.metrics[name] for document in documents]
        cells = [f"{figure(metric.value)} [{figure(metric.low)}, {figure(metric.high)}]" for metric in metrics]
        lines.append(f"{title:<10}" + "".join(f"  {cell:<23}" for cell in cells))
    return [line.rstrip() for line in lines]


def files(document: Metadata) -> str:
    """Return the folder of a version and the formats in it, with their sizes."""
    formats = [f"{name} {size_text(entry.bytes)}" for name, entry in document.files.items() if name not in ("config", "golden")]
    return f"{layout.version_dir(document.model_name, document.version)}: {', '.join(formats)}"


def main() -> None:
    settings = params.load()
    models = {**settings.models.sklearn, **settings.models.torch}
    documents = [read(layout.version_dir(name, model.version)) for name, model in models.items()]
    data = documents[0].data
    print(f"\n{data.test_rows} held-out rows of {data.train_rows + data.test_rows}; 95 % bootstrap intervals\n")
    print("\n".join(table(documents)))
    print("\n" + "\n".join(files(document) for document in documents))
    if settings.data.rows:
        note = f"params.yaml caps the data at {settings.data.rows} rows; 'make run ROWS=0' takes them all"
        print(f"\nnote: {note}")


if __name__ == "__main__":
    sys.exit(errors.run(main))
