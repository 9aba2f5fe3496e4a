"""Where things lie, relative to the root of the repository."""

from pathlib import Path

from isoform.errors import BadInput
from isoform.metadata import refuse_linked_folder

PREPARED = Path("data/prepared")
TRAIN, TEST, SCHEMA = PREPARED / "train.parquet", PREPARED / "test.parquet", PREPARED / "schema.json"
SUMMARY = Path("data/summary.json")
SCRATCH = Path(".scratch")
"""Checkpoints of trainings that have not ended; ignored by Git and DVC, so that they outlive a killed run."""


def version_dir(name: str, version: str) -> Path:
    """Return the folder of one version of one model; `BadInput` when it is a link, for what is written would land elsewhere."""
    folder = Path("models") / name / f"v{version}"
    refuse_linked_folder(folder)
    return folder


def report_dir(name: str) -> Path:
    """Return the folder of a model's metrics and plots; free of the version, so that diffs line up."""
    return Path("reports") / name


def refuse_other_place(path: Path) -> None:
    """Raise `BadInput` for a path where no raw table lies."""
    if path.parts[:2] != ("data", "raw") or len(path.parts) != 3 or path.name == ".." or path.is_symlink():
        raise BadInput(f"{str(path)[:80]!r}", "is no place for a raw table", "give a path in data/raw")
