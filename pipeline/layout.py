"""Where things lie, relative to the root of the repository."""

from pathlib import Path

PREPARED = Path("data/prepared")
TRAIN, TEST, SCHEMA = PREPARED / "train.parquet", PREPARED / "test.parquet", PREPARED / "schema.json"
SUMMARY = Path("data/summary.json")
SCRATCH = Path(".scratch")
"""Checkpoints of trainings that have not ended; ignored by Git and DVC, so that they outlive a killed run."""


def version_dir(name: str, version: str) -> Path:
    """Return the folder of one version of one model."""
    return Path("models") / name / f"v{version}"


def report_dir(name: str) -> Path:
    """Return the folder of a model's metrics and plots; free of the version, so that diffs line up."""
    return Path("reports") / name
