"""proofs.reproduce: what differs is named, and where no equal bytes are promised the metrics are held to their intervals."""

import json
from pathlib import Path

import pytest

from isoform.errors import CheckFailed
from proofs.reproduce import compare, differences, outputs, platforms, strayed

LOCK = """
schema: '2.0'
stages:
  train@a:
    cmd: python -m stages.train a
    outs:
    - {path: models/a/v1/model.pt, hash: md5, md5: aaa, size: 3}
  validate@a:
    cmd: python -m stages.validate a
    outs:
    - {path: reports/a/metrics.json, hash: md5, md5: bbb, size: 3}
"""


def test_outputs_are_those_of_every_stage(tmp_path: Path) -> None:
    (tmp_path / "dvc.lock").write_text(LOCK)
    assert outputs(tmp_path / "dvc.lock") == {"models/a/v1/model.pt": "aaa", "reports/a/metrics.json": "bbb"}


def test_equal_runs_have_no_difference() -> None:
    assert list(differences({"a": "1"}, {"a": "1"}, "")) == []


def test_each_file_that_differs_is_named() -> None:
    found = list(differences({"a": "1", "gone": "2"}, {"a": "9", "new": "3"}, " M reports/metrics.json\n?? stray.txt\n"))
    assert found == [
        "a: dvc.lock has 1, this run gave 9",
        "gone: dvc.lock has 2, this run gave nothing",
        "new: dvc.lock has nothing, this run gave 3",
        "reports/metrics.json: git status shows 'M'",
        "stray.txt: git status shows '??'",
    ]


def checkout(folder: Path, platform: str, auc: float, lock: str = LOCK) -> Path:
    """Return a folder with what `compare` looks at, of one model."""
    (folder / "models/a/v1.0.0").mkdir(parents=True)
    environment = {"platform": platform, "python": "3.11", "numpy": "2"}
    (folder / "models/a/v1.0.0/metadata.json").write_text(json.dumps({"environment": environment}))
    (folder / "reports/a").mkdir(parents=True)
    metrics = {"roc_auc": {"value": auc, "low": auc - 0.01, "high": auc + 0.01}}
    (folder / "reports/a/metrics.json").write_text(json.dumps(metrics))
    (folder / "dvc.lock").write_text(lock)
    return folder


def test_platforms_are_those_of_every_version(tmp_path: Path) -> None:
    assert platforms(checkout(tmp_path, "Linux x86_64 with AVX2", 0.9)) == {"Linux x86_64 with AVX2, Python 3.11"}
    assert platforms(tmp_path / "reports") == set()


@pytest.mark.parametrize(("auc", "lines"), [(0.905, 0), (0.895, 0), (0.915, 1), (0.885, 1)])
def test_on_another_platform_metrics_are_held_to_their_intervals_and_that_is_said(
    auc: float, lines: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    committed = checkout(tmp_path / "committed", "Linux x86_64 with AVX2", 0.9)
    clone = checkout(tmp_path / "clone", "Darwin arm64 Apple M9", auc, LOCK.replace("aaa", "fff"))
    found, said = compare(committed, clone)
    assert len(found) == lines
    assert said == "every metric lies within its committed 95 % interval; bytes were not compared"
    assert "built on Darwin arm64 Apple M9, Python 3.11" in capsys.readouterr().err


def test_a_metric_that_is_missing_or_no_number_has_strayed(tmp_path: Path) -> None:
    committed = checkout(tmp_path / "committed", "here", 0.9)
    clone = checkout(tmp_path / "clone", "there", float("nan"))
    assert len(list(strayed(committed, clone))) == 1
    (clone / "reports/a/metrics.json").unlink()
    assert list(strayed(committed, clone)) == ["reports/a/metrics.json: roc_auc is None, committed is 0.9 [0.89, 0.91]"]


def test_a_commit_without_models_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "committed").mkdir()
    with pytest.raises(CheckFailed, match="holds no models"):
        compare(tmp_path / "committed", checkout(tmp_path / "clone", "here", 0.9))
