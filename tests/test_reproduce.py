from pathlib import Path

from proofs.reproduce import differences, outputs

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
