"""Mend what a kill or a full disk can leave of DVC's own files, which it writes in place.

'make run' does so before every 'dvc repro'. Only what is damaged or abandoned is touched, and nothing while another
DVC runs here:
- dvc.lock, half-written, is restored from Git's index; what it had gained since is built again, or comes from the cache;
- .dvc/tmp/rwlock, half-written, is removed: nobody holds DVC's lock, so it can say nothing true;
- .git/index.lock is removed when no git runs in this repository: DVC's own staging has left it;
- the empty files by which DVC tries out links are removed.

Run     python -m pipeline.mend
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from isoform import errors
from isoform.errors import BadInput

LOCK, RWLOCK, INDEX_LOCK = Path("dvc.lock"), Path(".dvc/tmp/rwlock"), Path(".git/index.lock")
OUTPUTS = ("data", "models", "reports")
LINK_TRIAL = re.compile(r"\.[\w-]{22}\.tmp")


def mend() -> list[str]:
    """Mend the repository of the working directory and return a line for each thing done.

    Raises `BadInput` when another DVC is at work here.
    """
    from dvc.lock import LockError, make_lock

    if not Path(".dvc").is_dir():
        raise BadInput(".dvc", "no such folder", "run this from the repository's root")
    Path(".dvc/tmp").mkdir(exist_ok=True)
    try:
        with make_lock(".dvc/tmp/lock", tmp_dir=".dvc/tmp"):
            done = []
            if LOCK.exists() and not _reads(LOCK, _is_lock):
                _restore(LOCK)
                done.append("dvc.lock was damaged: restored from Git")
            if RWLOCK.exists() and not _reads(RWLOCK, json.loads):
                RWLOCK.unlink()
                done.append(f"{RWLOCK} was damaged: removed")
            if INDEX_LOCK.exists() and not _git_runs_here():
                INDEX_LOCK.unlink()
                done.append(f"{INDEX_LOCK} was left by a killed process: removed")
            for path in (path for folder in OUTPUTS for path in Path(folder).rglob(".*.tmp")):
                if LINK_TRIAL.fullmatch(path.name):
                    path.unlink()
                    done.append(f"{path} was left by a killed DVC: removed")
            return done
    except LockError:
        raise BadInput(".dvc/tmp/lock", "is held: another DVC is at work here", "wait for its end") from None


def _reads(path: Path, parse: Callable[[str], Any]) -> bool:
    from voluptuous import Invalid

    try:
        parse(path.read_text(encoding="utf-8"))
    except (ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError, Invalid):
        return False
    return True


def _is_lock(text: str) -> None:
    """Raise `ValueError`, or another error of what has no such shape, when DVC cannot go on from `text` as dvc.lock.

    One that lacks stages at its end is not damaged for DVC: it runs them again.
    """
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA

    content = COMPILED_LOCKFILE_SCHEMA(yaml.safe_load(text))
    for stage in content["stages"].values():
        entries = [*stage.get("deps", []), *stage.get("outs", [])]
        if not all(re.fullmatch(r"[0-9a-f]{32}(\.dir)?", entry["md5"]) for entry in entries):
            raise ValueError("ends early")


def _restore(path: Path) -> None:
    found = subprocess.run(["git", "show", f":./{path}"], check=False, capture_output=True)
    if found.returncode:  # never staged: all is built again, or comes from the cache
        path.unlink()
    else:
        path.write_bytes(found.stdout)


def _git_runs_here() -> bool:
    """Tell whether a git process works in this folder; where the system does not say, it may."""
    if sys.platform != "linux":
        return True
    root = Path.cwd().resolve()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text().startswith("git") and (process / "cwd").readlink().is_relative_to(root):
                return True
        except OSError:
            continue  # it has just ended, or is another user's
    return False


def main() -> None:
    for line in mend():
        print(f"note: {line}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(errors.run(main))
