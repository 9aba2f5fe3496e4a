"""pipeline.checkpoint: the newest two are kept, a damaged one is passed over, a foreign one is never used."""

import hashlib
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from isoform.formats import checkpoint as checkpoint_format
from pipeline import checkpoint as checkpoints


def sample(epoch: int, fingerprint: str = "ours") -> checkpoints.Checkpoint:
    return {"epoch": epoch, "fingerprint": fingerprint, "model_state_dict": {"w": torch.full((3,), float(epoch))}}


def filled(folder: Path, *epochs: int) -> Path:
    for epoch in epochs:
        checkpoints.save(folder, sample(epoch))
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    assert names(filled(tmp_path, 2, 4, 9, 10, 12)) == ["epoch-000010.checkpoint", "epoch-000012.checkpoint"]


def test_an_ended_training_keeps_its_last(tmp_path: Path) -> None:
    checkpoints.keep_last(filled(tmp_path, 9, 10))
    assert names(tmp_path) == ["epoch-000010.checkpoint"]


def test_the_newest_from_before_the_epoch_is_used(tmp_path: Path) -> None:
    filled(tmp_path, 2, 4)
    assert (checkpoints.latest(tmp_path, "ours", before_epoch=5) or {})["epoch"] == 4
    assert (checkpoints.latest(tmp_path, "ours", before_epoch=4) or {})["epoch"] == 2
    assert checkpoints.latest(tmp_path, "ours", before_epoch=2) is None


def test_an_empty_and_a_missing_folder_hold_none(tmp_path: Path) -> None:
    assert checkpoints.latest(tmp_path, "ours", before_epoch=9) is None
    assert checkpoints.latest(tmp_path / "absent", "ours", before_epoch=9) is None


def test_what_was_saved_is_what_is_read(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, sample(3))
    found = checkpoints.latest(tmp_path, "ours", before_epoch=9) or {}
    assert found["model_state_dict"]["w"].tolist() == [3.0] * 3
    assert (tmp_path / "epoch-000003.checkpoint").read_bytes()[checkpoints.DIGEST_BYTES :] == checkpoint_format.dump(sample(3))


def test_one_of_another_fingerprint_is_not_used_and_the_log_says_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints.save(tmp_path, sample(2))
    checkpoints.save(tmp_path, sample(4, "theirs"))
    with caplog.at_level(logging.WARNING):
        assert (checkpoints.latest(tmp_path, "ours", before_epoch=9) or {})["epoch"] == 2
    assert "epoch-000004.checkpoint is from other data, parameters, code or libraries: not used" in caplog.text


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
        "no epoch": signed(checkpoint_format.dump({"fingerprint": "ours"})),
        "code": signed(checkpoint_format.dump({"fingerprint": Canary(canary)})),
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
    "no epoch",
    "code",
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_one_is_passed_over(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = filled(tmp_path / "scratch", 2, 4) / "epoch-000004.checkpoint"
    path.write_bytes(damaged(kind, path.read_bytes(), tmp_path / "canary"))
    with caplog.at_level(logging.WARNING):
        assert (checkpoints.latest(tmp_path / "scratch", "ours", before_epoch=9) or {})["epoch"] == 2
    assert "epoch-000004.checkpoint is damaged: passed over" in caplog.text
    assert not (tmp_path / "canary").exists()


def test_a_folder_and_a_link_in_its_place_are_passed_over(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    (tmp_path / "epoch-000004.checkpoint").mkdir()
    (tmp_path / "epoch-000005.checkpoint").symlink_to("epoch-000002.checkpoint")
    assert (checkpoints.latest(tmp_path, "ours", before_epoch=9) or {})["epoch"] == 2


def test_a_temporary_file_of_a_killed_write_is_not_read(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    (tmp_path / ".epoch-000004.checkpoint.abc.tmp").write_bytes(b"half")
    assert (checkpoints.latest(tmp_path, "ours", before_epoch=9) or {})["epoch"] == 2


CONSUMED: dict[str, Any] = {
    "train_sha256": "a",
    "network": ["N", {"hidden": 4}],
    "training": {"batch_size": 2},
    "seed": 1,
    "threads": 2,
}


def test_the_fingerprint_repeats() -> None:
    assert checkpoints.fingerprint(**CONSUMED) == checkpoints.fingerprint(**dict(reversed(CONSUMED.items())))


@pytest.mark.parametrize(
    "change",
    [
        {"train_sha256": "b"},
        {"network": ["N", {"hidden": 5}]},
        {"training": {"batch_size": 3}},
        {"seed": 2},
        {"threads": 1},
        {"more": 1},
    ],
)
def test_other_data_and_parameters_have_another_fingerprint(change: dict[str, Any]) -> None:
    assert checkpoints.fingerprint(**CONSUMED | change) != checkpoints.fingerprint(**CONSUMED)


def test_other_libraries_have_another_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    before = checkpoints.fingerprint(**CONSUMED)
    monkeypatch.setattr(checkpoints, "LIBRARIES", ("torch", "pandas"))
    assert checkpoints.fingerprint(**CONSUMED) != before


def test_other_code_has_another_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    before = checkpoints.fingerprint(**CONSUMED)
    original = checkpoints.read_bytes
    for name in checkpoints.CODE:
        edited = lambda path, name=name: original(path) + (b"#" if str(path).endswith(name) else b"")  # noqa: E731
        monkeypatch.setattr(checkpoints, "read_bytes", edited)
        assert checkpoints.fingerprint(**CONSUMED) != before, name
