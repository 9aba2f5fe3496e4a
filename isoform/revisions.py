"""What Git has of a version's metadata.json: the one witness that is not in the folder itself."""

import os
import shutil
import subprocess
from pathlib import Path

from isoform.errors import BadInput, first_line
from isoform.metadata import MAX_METADATA_BYTES, PUBLISHED, REDO

TIMEOUT_S = 30.0
SAFE = {"GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
"""A question to Git must not reach for a network, a lock or a terminal, and its answer must be readable."""


def in_repository(folder: Path) -> bool:
    """Tell whether `folder` lies in a Git repository that does not ignore it, and there is a git to ask."""
    here = folder.resolve()
    if not any((parent / ".git").exists() for parent in (here, *here.parents)):
        return False  # no program is started for a version that was copied somewhere
    try:
        return not _git(folder, "rev-parse", "--git-dir").returncode and bool(_git(folder, "check-ignore", "-q", ".").returncode)
    except FileNotFoundError:
        return False


def metadata_at(folder: Path, revision: str) -> bytes | None:
    """Return metadata.json of `folder` as `revision` of its repository has it, None when it has none there.

    Raises `BadInput` when there is no git, no repository or no such revision.
    """
    blob = f"{_commit(folder, revision)}:./metadata.json"
    refuse_large_blob(folder, _git(folder, "cat-file", "-s", blob).stdout)
    # Not `git show`, which may run filters that the repository's own configuration names.
    found = _git(folder, "cat-file", "blob", blob)
    return None if found.returncode else found.stdout


def versions_at(models: Path, revision: str) -> list[Path]:
    """Return the version folders under `models` whose metadata.json `revision` has; raises `BadInput` as `metadata_at` does."""
    # Asked from above: the folder itself may be gone.
    root, commit = models.parent, _commit(models.parent, revision)
    listed = _git(root, "ls-tree", "-r", "-z", "--name-only", commit, "--", f"{models.name}/")
    if listed.returncode:
        raise BadInput(models, f"cannot be listed in revision '{revision}'", "run 'git fsck'")
    paths = [root / os.fsdecode(name) for name in listed.stdout.split(b"\0") if name]
    return [path.parent for path in paths if path.match(PUBLISHED) and len(path.parts) == len(models.parts) + 3]


def _commit(folder: Path, revision: str) -> str:
    try:
        commit = _git(folder, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    except FileNotFoundError:
        raise BadInput("git", "is not installed", "install it, or verify without --rev") from None
    if commit.returncode:
        reason = first_line(Exception(commit.stderr.decode(errors="replace") or f"it has no revision '{revision}'"))
        raise BadInput(folder, f"Git says: {reason.removeprefix('fatal: ')}", "name one of its commits, tags or branches")
    return commit.stdout.decode().strip()


def refuse_large_blob(folder: Path, size: bytes) -> None:
    """Raise `BadInput` when Git tells a size in bytes that no metadata.json has."""
    if size.strip().isdigit() and int(size) > MAX_METADATA_BYTES:
        raise BadInput(folder / "metadata.json", f"holds {int(size)} bytes in Git, the limit is {MAX_METADATA_BYTES}", REDO)


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    # Within a hook of Git, GIT_DIR and its like name another repository.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    # By its path: looking for it, subprocess replaces the warning filters, which are the whole process's.
    program = shutil.which("git")
    if program is None:
        raise FileNotFoundError("git")
    try:
        return subprocess.run(
            [program, "-c", "core.fsmonitor=false", *arguments],  # which is a program that the repository names
            cwd=folder,
            env=environment | SAFE,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise BadInput(folder, f"Git gave no answer within {TIMEOUT_S:.0f} s", "look at its configuration") from None
