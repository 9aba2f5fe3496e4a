"""Faults 70 and 73 with a real DVC: two `dvc repro` at once, and a dvc.lock that was cut off."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from builders import frame, settings
from cases import Record, expect
from harness import Outcome, problems

from isoform import errors, staleness
from pipeline import mend
from proofs import workspace
from proofs.workspace import commit, environment, git, lock, run

TARGET = "train_sklearn@logistic"
OF_DVC = r"is busy, it is being blocked by|Unable to acquire lock"
CUT = "ends in the middle of an entry"


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this repository with a tiny table, built up to one model by two `dvc repro` at once, and committed."""
    folder = workspace.copy_sources(tmp_path_factory.mktemp("dvc") / "isoform")
    (folder / "data/raw").mkdir(parents=True, exist_ok=True)
    frame("mixed").to_parquet(folder / "data/raw/table.parquet", index=False)
    (folder / "params.yaml").write_text(yaml.safe_dump(settings("mixed"), sort_keys=False))
    path = folder / "dvc.yaml"
    path.write_text(path.read_text().partition("\nartifacts:")[0] + "\n")  # they name the models of this repository
    commit(folder, "Sources")
    return folder


def repro(folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        ["dvc", "repro", TARGET],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def told(text: str) -> Outcome:
    """Return what a program that is not ours said."""
    return Outcome(1, "", text, [], [], timed_out=False, peak_bytes=0, seconds=0.0)


def files_are_those_of_the_lock(folder: Path) -> None:
    import hashlib

    for stage in lock(folder).values():
        for out in stage["outs"]:
            assert hashlib.md5((folder / out["path"]).read_bytes(), usedforsecurity=False).hexdigest() == out["md5"]


def test_70_two_dvc_repro_at_once(repository: Path, record: Record) -> None:
    with repro(repository) as first:
        assert first.stdout
        assert any("Running stage" in line for line in first.stdout)
        with repro(repository) as second:
            said = second.communicate(timeout=200)[0]
        rest = first.communicate(timeout=200)[0]
    assert first.returncode == 0, rest
    assert second.returncode != 0, said
    line = re.search(rf"ERROR: (?P<reason>.*({OF_DVC}).*)", said)
    assert line, said
    assert "Traceback" not in said
    files_are_those_of_the_lock(repository)
    record(70, "two dvc repro at once", TARGET, "-", told(line["reason"]))


@pytest.fixture
def cut(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The repository as the working directory, its dvc.yaml read once; its dvc.lock is whole again afterwards."""
    whole = (repository / "dvc.lock").read_bytes()
    monkeypatch.chdir(repository)
    stages = staleness._stages(repository)
    monkeypatch.setattr(staleness, "_stages", lambda root: stages)
    yield repository / "dvc.lock"
    (repository / "dvc.lock").write_bytes(whole)


def stale(folder: Path, capsys: pytest.CaptureFixture[str]) -> Outcome:
    """Do what `isoform stale` does, and return what it says."""

    def main() -> int:
        found = list(staleness.reasons(folder))
        print("\n".join(found))
        return bool(found)

    status = errors.run(main)
    stdout, stderr = capsys.readouterr()
    return Outcome(status, stdout, stderr, [], [], timed_out=False, peak_bytes=0, seconds=0.0)


def cuts(whole: bytes) -> Iterator[int]:
    """Yield where to cut: before every byte of the last entry, and at every 97th before."""
    last = whole.rindex(b"- path:")
    yield from range(0, last, 97)
    yield from range(last, len(whole))


def test_73_a_cut_dvc_lock_is_refused_or_said_to_lack_stages(
    cut: Path, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, sound = cut.read_bytes(), set(stale(cut.parent, capsys).stdout.splitlines())
    refused = []
    for length in cuts(whole):
        cut.write_bytes(whole[:length])
        outcome = stale(cut.parent, capsys)
        if outcome.status == 2:
            expect(f"cut at {length}", problems(outcome, rf"{CUT}|is not a lock file of DVC", "dvc.lock"))
            refused.append(outcome)
        else:
            # Whole entries: it says what it said, and of each stage that is gone that it has not run.
            assert set(outcome.stdout.splitlines()) - sound, f"cut at {length}: {outcome}"
    assert len(refused) > 100
    record(73, f"dvc.lock cut at {len(refused)} lengths", "isoform stale", "-", refused[-1])


def test_73_a_cut_dvc_lock_is_mended_to_what_git_has(cut: Path, record: Record) -> None:
    git(cut.parent, "add", "dvc.lock")
    whole = cut.read_bytes()
    lengths = [*range(0, len(whole), len(whole) // 12), *range(len(whole) - 9, len(whole))]
    # One that ends with a line may end between two entries: that says less, and nothing wrong.
    for length in [length - whole[:length].endswith(b"\n") for length in lengths]:
        cut.write_bytes(whole[:length])
        assert mend.mend() == ["dvc.lock was damaged: restored from Git"], length
        assert cut.read_bytes() == whole
        assert Path(mend.DAMAGED).read_bytes() == whole[:length]
    record(73, "dvc.lock cut", "pipeline.mend", "-", told("dvc.lock was damaged: restored from Git"))


def test_73_a_mending_that_is_killed_leaves_what_the_next_one_mends(cut: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(cut.parent, "add", "dvc.lock")
    whole = cut.read_bytes()
    plain = mend.write_atomic

    def killed(path: Path, data: bytes) -> None:
        plain(path, data)
        raise KeyboardInterrupt

    cut.write_bytes(whole[:-20])
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(mend, "write_atomic", killed)
        mend.mend()
    assert mend.mend() == ["dvc.lock was damaged: restored from Git"]
    assert cut.read_bytes() == whole


def test_73_dvc_itself_never_builds_on_half_of_a_lock(cut: Path, record: Record) -> None:
    """`dvc repro` refuses it, and after mending restores what it had, and runs nothing again."""
    git(cut.parent, "add", "dvc.lock")
    whole = cut.read_bytes()
    cut.write_bytes(whole[: whole.index(b"md5: ", len(whole) // 2) + 2])
    said = run(cut.parent, "dvc", "repro", TARGET, status=255)
    line = re.search(r"(.*dvc\.lock.* is invalid)", said)
    assert line and "Traceback" not in said, said
    run(cut.parent, "python", "-m", "pipeline.mend")
    again = run(cut.parent, "dvc", "repro", TARGET)
    assert workspace.ran(again) == set()
    assert cut.read_bytes() == whole
    files_are_those_of_the_lock(cut.parent)
    record(73, "dvc.lock cut", "dvc repro", "-", told(line[1]))


def test_73_is_not_held_without_its_guard(cut: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cut.read_bytes()
    cut.write_bytes(whole[:-2])  # the last digit of a size
    expect("with it", problems(stale(cut.parent, capsys), CUT, "dvc.lock"))
    for module in (staleness, mend):
        monkeypatch.setattr(module, "refuse_cut_lock", lambda *arguments: None)
    assert list(problems(stale(cut.parent, capsys), CUT))
    assert mend.mend() == []
