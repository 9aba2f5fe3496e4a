import subprocess
from pathlib import Path

import pytest

from pipeline import review

METADATA = """{"data": {"train_rows": %d}, "files": {
  "joblib": {"path": "pipeline.joblib", "bytes": 1000, "sha256": "", "parity": null},
  "onnx": {"path": "model.onnx", "bytes": %d, "sha256": "", "parity": {"max_difference": 1e-7}},
  "config": {"path": "config.json", "bytes": 10, "sha256": "", "parity": null}}}"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two commits: version 1.0.0 of a model, then 1.1.0 with more rows and a larger file."""
    monkeypatch.chdir(tmp_path)
    git("init", "--quiet")
    for version, rows, size in (("1.0.0", 80, 2000), ("1.1.0", 90, 3000)):
        (tmp_path / "params.yaml").write_text(f"models: {{sklearn: {{forest: {{version: {version}}}}}, torch: {{}}}}\n")
        folder = tmp_path / f"models/forest/v{version}"
        folder.mkdir(parents=True)
        (folder / "metadata.json").write_text(METADATA % (rows, size))
        git("add", "--all")
        git("commit", "--quiet", "--message", version)
    return tmp_path


def git(*arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=Test", "-c", "user.email=test@localhost", *arguments], check=True)


def test_versions_are_those_of_each_revisions_parameters(repository: Path) -> None:
    before, after = review.documents("HEAD~1"), review.documents("HEAD")
    assert (before["forest"]["data"]["train_rows"], after["forest"]["data"]["train_rows"]) == (80, 90)


def test_sizes_and_data_are_shown_before_and_after(repository: Path) -> None:
    before, after = review.documents("HEAD~1"), review.documents("HEAD")
    data = "\n".join(review.table(review._data_rows(before), review._data_rows(after)))
    files = "\n".join(review.table(review._file_rows(before), review._file_rows(after)))
    assert "| forest: train_rows | 80 | 90 |" in data
    assert "| forest: onnx | 2.0 kB, 1.0e-07 | 3.0 kB, 1.0e-07 |" in files
    assert "joblib" not in files


def test_a_revision_without_models_shows_everything_as_new(repository: Path) -> None:
    assert "| forest: onnx | - | 3.0 kB, 1.0e-07 |" in review.table({}, review._file_rows(review.documents("HEAD")))


def test_nothing_changed_is_said() -> None:
    assert list(review.table({"a": "1"}, {"a": "1"})) == ["No change."]
