"""pipeline.records: what a stage wrote is read as it wrote it, or not at all."""

import subprocess
from pathlib import Path

import pytest

from isoform.errors import BadInput, CheckFailed
from pipeline import records


def test_a_record_is_one_that_sha256sum_checks(tmp_path: Path) -> None:
    records.write(tmp_path, "train", {"a.bin": b"a", "b.bin": b"\0" * 1000})
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "train.sha256"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert checked.stdout == "a.bin: OK\nb.bin: OK\n"
    assert records.read(tmp_path, "train", "b.bin") == b"\0" * 1000


@pytest.mark.parametrize("altered", ["a.bin", "train.sha256"])
def test_one_of_the_two_altered_is_refused(altered: str, tmp_path: Path) -> None:
    records.write(tmp_path, "train", {"a.bin": b"a"})
    path = tmp_path / altered
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    with pytest.raises(
        (CheckFailed, BadInput), match=r"(a\.bin: sha256 is \w+…, train\.sha256 says|train\.sha256: has no line for a\.bin)"
    ):
        records.read(tmp_path, "train", "a.bin")


def test_a_file_without_a_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"a")
    with pytest.raises(BadInput, match=r"train\.sha256: no such file"):
        records.read(tmp_path, "train", "a.bin")
    records.write(tmp_path, "train", {"b.bin": b"b"})
    with pytest.raises(BadInput, match=r"train\.sha256: has no line for a\.bin; run 'dvc repro'"):
        records.read(tmp_path, "train", "a.bin")


def test_the_record_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(records, "write_atomic", lambda path, data: written.append(path.name))
    records.write(tmp_path, "train", {"b.bin": b"b", "a.bin": b"a"})
    assert written == ["b.bin", "a.bin", "train.sha256"]
