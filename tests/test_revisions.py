"""`isoform verify` and Git: a version that vouches for itself is compared with what was committed."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from builders import Workspace

from isoform import revisions
from isoform.errors import BadInput
from isoform.verification import Finding, verify


def git(root: Path, *arguments: str) -> None:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def committed(workspace: Workspace) -> Workspace:
    """A workspace whose documents are in Git under the tag v1."""
    git(workspace.root, "init", "--quiet")
    git(workspace.root, "add", "--all")
    git(workspace.root, "commit", "--quiet", "--message", "Publish")
    git(workspace.root, "tag", "v1")
    return workspace


def found(workspace: Workspace, revision: str | None = None) -> list[Finding]:
    return list(verify(workspace.folder("forest"), revision=revision))


def test_a_version_as_committed_has_no_note(committed: Workspace) -> None:
    assert not any(finding.note or finding.error for finding in found(committed))
    assert [finding.text for finding in found(committed, "v1") if finding.name == "metadata"] == ["as in revision 'v1'"]


def test_another_version_that_vouches_for_itself_is_noted_and_by_a_revision_refused(committed: Workspace) -> None:
    committed.replace("forest", "joblib", committed.file("logistic", "joblib").read_bytes())
    findings = found(committed)
    assert [finding.text for finding in findings if finding.note] == [
        "metadata.json differs from Git's HEAD ('git diff' shows how)"
    ]
    assert not any(finding.error for finding in findings), "the folder vouches for itself"
    refused = {finding.name: str(finding.error) for finding in found(committed, "v1") if finding.error}
    assert refused.keys() == {"metadata", "joblib"}
    assert "metadata.json: differs from revision 'v1'; run 'git checkout v1 -- " in refused["metadata"]
    assert "pipeline.joblib: holds " in refused["joblib"]


def test_a_revision_tells_what_a_lost_metadata_json_held(committed: Workspace) -> None:
    (committed.folder("forest") / "metadata.json").unlink()
    with pytest.raises(BadInput, match="has no metadata"):
        found(committed)
    refused = [str(finding.error) for finding in found(committed, "v1") if finding.error]
    assert len(refused) == 1
    assert "metadata.json: no such file" in refused[0]


def test_a_version_that_is_not_committed_yet_is_noted(committed: Workspace) -> None:
    git(committed.root, "rm", "--quiet", "--cached", "models/forest/v1.0.0/metadata.json")
    git(committed.root, "commit", "--quiet", "--message", "Unpublish")
    assert [finding.text for finding in found(committed) if finding.note] == ["Git's HEAD has no metadata.json here"]
    with pytest.raises(BadInput, match="is not in revision 'HEAD'"):
        found(committed, "HEAD")


@pytest.mark.parametrize("revision", ["v2", "--help", "", "v1:README", "a\nb"])
def test_a_revision_that_is_none_is_one_line(revision: str, committed: Workspace) -> None:
    with pytest.raises(BadInput, match="name one of its commits, tags or branches") as caught:
        found(committed, revision)
    assert "\n" not in str(caught.value)


def test_a_document_beyond_the_limit_is_not_fetched_from_git(committed: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revisions, "MAX_METADATA_BYTES", 10)
    with pytest.raises(BadInput, match=r"metadata\.json: holds \d+ bytes in Git, the limit is 10"):
        found(committed, "v1")
    monkeypatch.setattr(revisions, "refuse_large_blob", lambda folder, size: None)
    assert not any(finding.error for finding in found(committed, "v1"))


def test_a_git_that_does_not_answer_is_one_line_or_no_note(committed: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(committed.root / "fifo")
    git(committed.root, "config", "include.path", str(committed.root / "fifo"))
    monkeypatch.setattr(revisions, "TIMEOUT_S", 0.5)
    assert not any(finding.note for finding in found(committed))
    with pytest.raises(BadInput, match="Git gave no answer within"):
        found(committed, "v1")


def test_outside_a_repository_there_is_nothing_to_note(published: Callable[[str], Workspace]) -> None:
    assert not any(finding.note for finding in found(published("mixed")))
    with pytest.raises(BadInput, match=r"[Nn]ot a git repository|no revision"):
        found(published("mixed"), "HEAD")


def test_the_configuration_of_a_repository_runs_nothing(committed: Workspace, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (committed.root / ".gitattributes").write_text("*.json diff=evil filter=evil\n")
    for key in (
        "core.fsmonitor",
        "core.pager",
        "diff.evil.textconv",
        "diff.evil.command",
        "filter.evil.smudge",
        "core.sshCommand",
    ):
        git(committed.root, "config", key, f"touch {canary}; cat")
    committed.replace("forest", "onnx", committed.file("logistic", "onnx").read_bytes())
    found(committed)
    found(committed, "v1")
    assert not canary.exists()
