"""pipeline.checkpoint: the newest two are kept, a damaged one is passed over, one of another origin is never used."""

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from builders import REPOSITORY

from isoform.formats import checkpoint as checkpoint_format
from pipeline import checkpoint as checkpoints

OURS: checkpoints.Origin = {"train_sha256": "a", "training": {"rate": 0.5}}
THEIRS: checkpoints.Origin = {"train_sha256": "a", "training": {"rate": 0.25}}
FAR = 1000
"""A last step beyond every checkpoint here."""


def sample(step: int) -> checkpoints.Checkpoint:
    return {"step": step, "model_state_dict": {"w": torch.full((3,), float(step))}}


def filled(folder: Path, *steps: int) -> Path:
    for step in steps:
        checkpoints.save(folder, sample(step), OURS)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name.removesuffix(".checkpoint") for path in folder.iterdir())


def newest(folder: Path, last_step: int = FAR, origin: checkpoints.Origin = OURS) -> int | None:
    found = checkpoints.latest(folder, origin, last_step)
    return found["step"] if found else None


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    assert names(filled(tmp_path, 2, 4, 9, 10, 12)) == ["step-000000010", "step-000000012"]


def test_a_training_that_starts_afresh_is_not_pushed_out_by_an_older_one_that_was_further(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, sample(700), THEIRS)
    checkpoints.save(tmp_path, sample(800), THEIRS)
    assert names(filled(tmp_path, 50)) == ["step-000000050"]
    assert names(filled(tmp_path, 100)) == ["step-000000050", "step-000000100"]


def test_an_ended_training_keeps_its_last(tmp_path: Path) -> None:
    checkpoints.end(filled(tmp_path, 9, 10))
    assert names(tmp_path) == ["ended-000000010"]
    checkpoints.end(filled(tmp_path, 12))
    assert names(tmp_path) == ["ended-000000012"]


def test_the_newest_within_the_training_is_used(tmp_path: Path) -> None:
    filled(tmp_path, 2, 4)
    assert [newest(tmp_path, last) for last in (5, 4, 3, 2, 1)] == [4, 4, 2, 2, None]


def test_an_ended_one_is_gone_on_from_only_by_a_longer_training(tmp_path: Path) -> None:
    checkpoints.end(filled(tmp_path, 2, 4))
    assert [newest(tmp_path, last) for last in (5, 4, 3)] == [4, None, None]
    filled(tmp_path, 5)
    assert newest(tmp_path, 9) == 5


def test_an_empty_and_a_missing_folder_hold_none(tmp_path: Path) -> None:
    assert newest(tmp_path) is None
    assert newest(tmp_path / "absent") is None


def test_what_was_saved_is_what_is_read(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    found = checkpoints.latest(tmp_path, OURS, FAR) or {}
    assert found["model_state_dict"]["w"].tolist() == [3.0] * 3


def test_one_of_another_origin_is_not_used_and_the_log_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints.save(tmp_path, sample(2), OURS)
    checkpoints.save(tmp_path, sample(4), THEIRS)
    with caplog.at_level(logging.WARNING):
        assert newest(tmp_path) == 2
    assert "step-000000004.checkpoint is of another training (training.rate was 0.25, is 0.5): not used" in caplog.text
    assert "afresh" not in caplog.text


def test_when_none_can_be_used_training_says_that_it_starts_afresh(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(tmp_path, 2, 4)
    with caplog.at_level(logging.WARNING):
        assert newest(tmp_path, origin={**OURS, "more": 1}) is None
    assert caplog.text.count("(more was null, is 1): not used") == 2
    assert "training starts afresh" in caplog.text


class Canary:
    """Unpickled, it leaves a folder behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.path,)


def signed(data: bytes) -> bytes:
    return hashlib.sha256(data).digest() + data


def damaged(kind: str, whole: bytes, canary: Path) -> bytes:
    """Return a file in the place of `whole`; those that are `signed` have the right hash."""
    flipped = bytearray(whole)
    flipped[whole.index(torch.full((3,), 4.0).numpy().tobytes())] ^= 1  # in the weights, which torch.load believes
    return {
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "nearly whole": whole[:-1],
        "flipped": bytes(flipped),
        "text": b"<html>not found</html>",
        "no content": signed(b""),
        "no zip": signed(b"\x80\x02}q\0."),
        "half a zip": signed(whole[32 : len(whole) // 2]),
        "a list": signed(checkpoint_format.dump([1, 2])),  # type: ignore[arg-type]
        "None": signed(checkpoint_format.dump(None)),  # type: ignore[arg-type]
        "no checkpoint": signed(checkpoint_format.dump({"origin": json.dumps(OURS)})),
        "no origin": signed(checkpoint_format.dump({"origin": "[]", "checkpoint": sample(4)})),
        "no step": signed(checkpoint_format.dump({"origin": json.dumps(OURS), "checkpoint": {"step": "4"}})),
        "code": signed(checkpoint_format.dump({"origin": Canary(canary), "checkpoint": sample(4)})),
    }[kind]


KINDS = (
    "empty",
    "cut",
    "nearly whole",
    "flipped",
    "text",
    "no content",
    "no zip",
    "half a zip",
    "a list",
    "None",
    "no checkpoint",
    "no origin",
    "no step",
    "code",
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_one_is_passed_over(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = filled(tmp_path / "scratch", 2, 4) / "step-000000004.checkpoint"
    path.write_bytes(damaged(kind, path.read_bytes(), tmp_path / "canary"))
    with caplog.at_level(logging.WARNING):
        assert newest(tmp_path / "scratch") == 2
    assert "step-000000004.checkpoint is damaged: passed over" in caplog.text
    assert not (tmp_path / "canary").exists()


def test_a_folder_and_a_link_in_its_place_are_passed_over(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    (tmp_path / "step-000000004.checkpoint").mkdir()
    (tmp_path / "step-000000005.checkpoint").symlink_to("step-000000002.checkpoint")
    assert newest(tmp_path) == 2


def test_a_temporary_file_of_a_killed_write_is_not_read(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    (tmp_path / ".step-000000004.checkpoint.abc.tmp").write_bytes(b"half")
    assert newest(tmp_path) == 2


CONSUMED: dict[str, Any] = {
    "train_sha256": "a",
    "network": ["N", {"hidden": 4}],
    "training": {"batch_size": 2},
    "seed": 1,
    "threads": 2,
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train_sha256": "b"}, 'train_sha256 was "a", is "b"'),
        ({"network": ["N", {"hidden": 5}]}, 'network was ["N", {"hidden": 4}], is ["N", {"hidden": 5}]'),
        ({"training": {"batch_size": 3}}, "training.batch_size was 2, is 3"),
        ({"training": {"batch_size": 2.0}}, "training.batch_size was 2, is 2.0"),
        ({"seed": 2}, "seed was 1, is 2"),
        ({"threads": 1}, "threads was 2, is 1"),
        ({"more": 1}, "more was null, is 1"),
    ],
)
def test_other_data_and_parameters_are_another_origin(
    change: dict[str, Any], said: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints.save(tmp_path, sample(2), checkpoints.origin(**CONSUMED))
    assert newest(tmp_path, origin=checkpoints.origin(**CONSUMED)) == 2
    assert newest(tmp_path, origin=checkpoints.origin(**CONSUMED | change)) is None
    assert f"({said})" in caplog.text


def test_other_libraries_and_another_python_are_another_origin(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints.save(tmp_path, sample(2), checkpoints.origin(**CONSUMED))
    real = checkpoints.environment.version
    monkeypatch.setattr(checkpoints.environment, "version", lambda name: "0.1" if name == "torch" else real(name))
    monkeypatch.setattr(checkpoints.environment, "python_minor", lambda: "3.99")
    assert newest(tmp_path, origin=checkpoints.origin(**CONSUMED)) is None
    assert f'libraries.torch was "{real("torch")}", is "0.1"' in caplog.text
    assert 'is "3.99"' in caplog.text


@pytest.mark.parametrize("name", checkpoints.CODE)
def test_other_code_is_another_origin(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints.save(tmp_path, sample(2), checkpoints.origin(**CONSUMED))
    original = checkpoints.read_bytes
    monkeypatch.setattr(checkpoints, "read_bytes", lambda path: original(path) + (b"#" if str(path).endswith(name) else b""))
    origin = checkpoints.origin(**CONSUMED)
    monkeypatch.undo()
    assert newest(tmp_path, origin=origin) is None
    assert f"(code.{name} has changed)" in caplog.text


def test_every_module_that_can_change_a_tensor_is_part_of_the_origin() -> None:
    """Those that the stage depends on, but for what reads and checks, names paths, reports, locks and writes files."""
    stage = yaml.safe_load((REPOSITORY / "dvc.lock").read_text())["stages"]["train_torch@simple_classifier"]
    code = {dep["path"] for dep in stage["deps"] if dep["path"].endswith(".py")}
    formats = {path for path in code if path.startswith("isoform/formats/")}
    others = {"environment", "layout", "params", "plain_yaml", "progress", "records"}
    apart = {f"isoform/{name}.py" for name in ("__init__", "arguments", "errors", "integrity", "strict_json", "weights")}
    apart |= {"stages/__init__.py", "isoform/warning_filters.py", *formats}
    assert set(checkpoints.CODE) == code - apart - {f"pipeline/{name}.py" for name in others}
