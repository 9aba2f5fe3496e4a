"""Build HEAD again from nothing and compare: the proof of "the same bytes" on this machine.

Clones HEAD into an empty folder, forces the pipeline there with an empty cache and no remote, and names each
file whose hash is not the one in the committed dvc.lock, and each that `git status` shows.

Run     python -m proofs.reproduce
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from isoform import errors
from isoform.errors import BadInput, CheckFailed


def outputs(lock: Path) -> dict[str, str]:
    """Return path → MD5 of every output in a dvc.lock."""
    stages: dict[str, Any] = yaml.safe_load(lock.read_text())["stages"]
    return {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}


def differences(before: dict[str, str], after: dict[str, str], git_status: str) -> Iterator[str]:
    """Yield a line for each output that changed and each file that Git says is not as committed."""
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            yield f"{path}: dvc.lock has {before.get(path, 'nothing')}, this run gave {after.get(path, 'nothing')}"
    for line in git_status.splitlines():
        yield f"{line[3:]}: git status shows '{line[:2].strip()}'"


def rebuild(source: Path, clone: Path) -> list[str]:
    """Clone HEAD of `source` to `clone`, run the whole pipeline there, and return the differences."""
    _run("git", "clone", "--quiet", "--no-hardlinks", str(source), str(clone))
    _run("dvc", "cache", "dir", "--local", str(clone / ".dvc/cache"), cwd=clone)  # empty, whatever the user's settings say
    for pointer in clone.glob("data/raw/**/*.dvc"):  # a table of one's own comes from nowhere else
        table = pointer.with_suffix("").relative_to(clone)
        shutil.copy(source / table, clone / table)
    before = outputs(clone / "dvc.lock")
    _run("dvc", "repro", "--force", cwd=clone)
    status = subprocess.run(["git", "status", "--porcelain"], cwd=clone, check=True, capture_output=True, text=True).stdout
    return list(differences(before, outputs(clone / "dvc.lock"), status))


def main() -> None:
    source = Path.cwd()
    if not (source / "dvc.lock").exists():
        raise BadInput("dvc.lock", "no such file", "run this from the repository's root, after 'dvc repro'")
    if subprocess.run(["git", "status", "--porcelain"], check=True, capture_output=True, text=True).stdout:
        print("note: what is not committed is not compared", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="isoform-reproduce-") as folder:
        found = rebuild(source, Path(folder) / source.name)
        count = len(outputs(source / "dvc.lock"))
    for line in found:
        print(line)
    if found:
        raise CheckFailed(
            "HEAD", f"{len(found)} files differ from what is committed", "run 'dvc repro' and commit, or find what varies"
        )
    print(f"the same bytes: {count} outputs of a forced run equal those in dvc.lock, and git status is clean")


def _run(*command: str, cwd: Path | None = None) -> None:
    try:
        subprocess.run(command, cwd=cwd, check=True)
    except subprocess.CalledProcessError as error:
        raise CheckFailed(" ".join(command[:3]), f"failed with status {error.returncode}", "see its output above") from None


if __name__ == "__main__":
    sys.exit(errors.run(main))
