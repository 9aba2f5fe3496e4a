"""pipeline.mend: of DVC's own files only what is damaged or abandoned is touched, and nothing while another DVC runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from builders import REPOSITORY

from isoform.errors import BadInput
from pipeline.mend import mend
from proofs.workspace import commit, git, run

WHOLE = (REPOSITORY / "dvc.lock").read_text()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "dvc.lock").write_text(WHOLE)
    commit(tmp_path, "Lock")
    (tmp_path / ".dvc" / "tmp").mkdir(parents=True)
    (tmp_path / ".dvc" / "tmp" / "rwlock").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_sound_repository_is_left_alone(repository: Path) -> None:
    before = {path: path.read_bytes() for path in repository.rglob("*") if path.is_file() and path.name != "lock"}
    assert mend() == []
    assert {path: path.read_bytes() for path in repository.rglob("*") if path.is_file() and path.name != "lock"} == before


@pytest.mark.parametrize("end", ["", "schema: '2.0'\nstages:\n  a:\n", "  md5: 3", "    md5:", "schema: '2"])
def test_a_dvc_lock_that_ends_early_is_restored_from_git(end: str, repository: Path) -> None:
    path = repository / "dvc.lock"
    if end.startswith(" "):  # somewhere in the middle
        path.write_text(WHOLE[: WHOLE.index("      md5: ", 2000) + len("      md5:" if end.endswith(":") else "      md5: 3")])
    else:
        path.write_text(end)
    assert mend() == ["dvc.lock was damaged: restored from Git"]
    assert path.read_text() == WHOLE


def test_every_cut_of_a_dvc_lock_reads_or_is_restored(repository: Path) -> None:
    """Where the cut text is taken for whole, DVC reads it too, and runs again what it lacks."""
    import yaml
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA

    stages = [match.start() + 1 for match in re.finditer(r"\n  \S", WHOLE)]
    cuts, taken = [*range(0, 3000, 37), *stages[1:4]], 0
    for cut in cuts:
        (repository / "dvc.lock").write_text(WHOLE[:cut])
        mend()
        mended = (repository / "dvc.lock").read_text()
        if mended != WHOLE:
            COMPILED_LOCKFILE_SCHEMA(yaml.safe_load(mended))
            taken += 1
    COMPILED_LOCKFILE_SCHEMA(yaml.safe_load(WHOLE))
    assert 0 < taken < len(cuts)


def test_a_damaged_dvc_lock_that_git_does_not_know_is_removed(repository: Path) -> None:
    git(repository, "rm", "--quiet", "--cached", "dvc.lock")
    (repository / "dvc.lock").write_text(WHOLE[: WHOLE.index("md5: ", 2000) + 9])
    assert mend() == ["dvc.lock was damaged and Git has none: moved to .dvc/tmp/dvc.lock.damaged"]
    assert not (repository / "dvc.lock").exists()
    assert WHOLE.startswith((repository / ".dvc/tmp/dvc.lock.damaged").read_text())


def test_conflicts_of_a_merge_are_not_taken_for_damage(repository: Path) -> None:
    path = repository / "dvc.lock"
    git(repository, "switch", "--quiet", "--create", "other")
    for branch, digit in (("other", "1"), ("-", "2")):
        if branch == "-":
            git(repository, "switch", "--quiet", branch)
        path.write_text(WHOLE.replace("md5: ", f"md5: {digit}", 1))
        commit(repository, digit)
    run(repository, "git", "-c", "user.name=T", "-c", "user.email=t@localhost", "merge", "other", status=1)
    conflicted = path.read_text()
    assert "<<<<<<<" in conflicted
    with pytest.raises(BadInput, match="has merge conflicts"):
        mend()
    assert path.read_text() == conflicted


def test_a_checksum_of_another_kind_is_no_damage(repository: Path) -> None:
    dep = "    - path: https://localhost/x\n      hash: checksum\n      checksum: abc\n      size: 3\n"
    (repository / "dvc.lock").write_text(f"{WHOLE}  far:\n    cmd: x\n    deps:\n{dep}")
    assert mend() == []


def test_while_a_stage_of_another_dvc_runs_nothing_is_touched(repository: Path) -> None:
    """DVC lets go of its lock then; the rwlock says who it is."""
    (repository / ".dvc/tmp/rwlock").write_text(f'{{"a": {{"write": {{"pid": {os.getpid()}, "cmd": "dvc repro"}}}}, "b')
    (repository / ".git/index.lock").write_bytes(b"")
    with pytest.raises(BadInput, match=f"names process {os.getpid()}: another DVC"):
        mend()
    assert (repository / ".git/index.lock").exists()


def test_a_half_written_rwlock_is_removed(repository: Path) -> None:
    (repository / ".dvc/tmp/rwlock").write_text('{"a": {"read": [')
    assert mend() == [".dvc/tmp/rwlock was damaged: removed"]
    assert not (repository / ".dvc/tmp/rwlock").exists()


def test_an_index_lock_is_removed_unless_git_runs_here(repository: Path) -> None:
    (repository / ".git/index.lock").write_bytes(b"")
    with subprocess.Popen(["git", "cat-file", "--batch"], cwd=repository, stdin=subprocess.PIPE) as running:
        assert mend() == []
        assert running.stdin is not None
        running.stdin.close()
    assert mend() == [".git/index.lock was left by a killed process: removed"]


def test_trials_of_links_are_removed_and_other_files_kept(repository: Path) -> None:
    folder = repository / "models" / "a"
    folder.mkdir(parents=True)
    for name in (".Mrwt5PQOY0zJ42Mt-Y_Y1Q.tmp", ".model.onnx.ab12cd34.tmp", "notes.tmp"):
        (folder / name).write_text("")
    (folder / ".abcdefghijklmnopqrstuv.tmp").write_text("precious")
    (folder / ".ABCDEFGHIJKLMNOPQRSTUV.tmp").mkdir()
    assert mend() == ["models/a/.Mrwt5PQOY0zJ42Mt-Y_Y1Q.tmp was left by a killed DVC: removed"]
    assert {path.name for path in folder.iterdir()} == {
        ".model.onnx.ab12cd34.tmp",
        "notes.tmp",
        ".abcdefghijklmnopqrstuv.tmp",
        ".ABCDEFGHIJKLMNOPQRSTUV.tmp",
    }


def test_nothing_is_touched_while_another_dvc_runs(repository: Path) -> None:
    (repository / ".dvc/tmp/rwlock").write_text("{")
    hold = "from dvc.lock import make_lock\nwith make_lock('.dvc/tmp/lock', tmp_dir='.dvc/tmp'): print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", hold], cwd=repository, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(BadInput, match="another DVC is at work here"):
            mend()
        other.communicate(b"\n")
    assert (repository / ".dvc/tmp/rwlock").read_text() == "{"


def test_outside_a_repository_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match="run this from the repository's root"):
        mend()
