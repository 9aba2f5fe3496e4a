"""Mend what a kill or a full disk can leave of DVC's own files, which it writes in place.

'make run' does so before every 'dvc repro'. Only what is damaged or abandoned is touched, and nothing while another
DVC runs here:
- dvc.lock, half-written, is restored from Git's index; what it had gained since is built again, or comes from the cache, and
  the damaged file is kept as .dvc/tmp/dvc.lock.damaged;
- .dvc/tmp/rwlock, half-written, is removed: nobody holds DVC's lock, so it can say nothing true;
- .git/index.lock is removed when no git runs in this repository: DVC's own staging has left it;
- the empty files by which DVC tries out links are removed.

Run     python -m pipeline.mend
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from isoform import errors
from isoform.errors import BadInput, first_line
from isoform.integrity import read_bytes, write_atomic
from isoform.staleness import refuse_cut_lock

LOCK, DAMAGED = Path("dvc.lock"), Path(".dvc/tmp/dvc.lock.damaged")
RWLOCK, INDEX_LOCK = Path(".dvc/tmp/rwlock"), Path(".git/index.lock")
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
            _refuse_if_alive()
            done = []
            if LOCK.exists() and not _reads(LOCK, _is_lock):
                done.append(_restore())
            if RWLOCK.exists() and not _reads(RWLOCK, json.loads):
                RWLOCK.unlink()
                done.append(f"{RWLOCK} was damaged: removed")
            if INDEX_LOCK.exists() and not _git_runs_here():
                INDEX_LOCK.unlink()
                done.append(f"{INDEX_LOCK} was left by a killed process: removed")
            for path in (path for folder in OUTPUTS for path in Path(folder).rglob(".*.tmp")):
                if LINK_TRIAL.fullmatch(path.name) and path.is_file() and not path.is_symlink() and not path.stat().st_size:
                    path.unlink()
                    done.append(f"{path} was left by a killed DVC: removed")
            return done
    except LockError:
        raise BadInput(".dvc/tmp/lock", "is held: another DVC is at work here", "wait for its end") from None


def _refuse_if_alive() -> None:
    """Raise `BadInput` when a process that rwlock names lives: while a stage runs, DVC holds no other lock."""
    if not RWLOCK.exists():
        return
    for process in set(map(int, re.findall(rb'"pid": (\d+)[,}]', read_bytes(RWLOCK)))):
        try:
            os.kill(process, 0)
        except (ProcessLookupError, OverflowError):
            continue
        except PermissionError:
            pass  # it lives, and is another user's
        raise BadInput(RWLOCK, f"names process {process}: another DVC is at work here", "wait for its end")


def _reads(path: Path, parse: Callable[[str], Any]) -> bool:
    from voluptuous import Invalid

    try:
        parse(read_bytes(path).decode())
    except (BadInput, ValueError, TypeError, KeyError, AttributeError, RecursionError, yaml.YAMLError, Invalid):
        return False
    return True


def _is_lock(text: str) -> None:
    """Raise `ValueError`, or another error of what has no such shape, when DVC cannot go on from `text` as dvc.lock.

    One that lacks stages at its end is not damaged for DVC: it runs them again.
    """
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA

    refuse_cut_lock(LOCK, text.encode())
    content = COMPILED_LOCKFILE_SCHEMA(yaml.safe_load(text))
    for stage in content["stages"].values():
        entries = [*stage.get("deps", []), *stage.get("outs", [])]
        # What is not on this disk has a checksum of another kind.
        if not all(re.fullmatch(r"[0-9a-f]{32}(\.dir)?", entry["md5"]) for entry in entries if "md5" in entry):
            raise ValueError("ends early")


def _restore() -> str:
    """Put the dvc.lock of Git's index in the place of the damaged one, which is kept, and return what was done.

    Raises `BadInput`, and changes nothing, when a merge has left conflicts in it or Git does not answer.
    """
    listed = subprocess.run(["git", "ls-files", "--stage", "--", str(LOCK)], check=False, capture_output=True, text=True)
    if listed.returncode:
        raise BadInput(LOCK, f"is damaged, and git says: {first_line(Exception(listed.stderr))}", "mend that first")
    stages = [line.split("\t")[0].split()[2] for line in listed.stdout.splitlines()]
    if any(stage != "0" for stage in stages):
        raise BadInput(LOCK, "has merge conflicts", "run 'git checkout --ours dvc.lock models reports', then 'dvc repro'")
    tracked = subprocess.run(["git", "show", f":./{LOCK}"], check=True, capture_output=True).stdout if stages else b""
    if not stages:  # never staged: all is built again, or comes from the cache
        LOCK.replace(DAMAGED)
        return f"{LOCK} was damaged and Git has none: moved to {DAMAGED}"
    write_atomic(DAMAGED, read_bytes(LOCK))  # a copy: struck between the two, the next one still finds what to mend
    write_atomic(LOCK, tracked)
    return f"{LOCK} was damaged: restored from Git"


def _git_runs_here() -> bool:
    """Tell whether a git process works in this folder; where the system does not say, it may."""
    if sys.platform != "linux":
        return True
    root = Path.cwd().resolve()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text().startswith("git") and (process / "cwd").readlink().is_relative_to(root):
                return True
        except PermissionError:
            return True  # another user's git: it may
        except OSError:
            continue  # it has just ended
    return False


def main() -> None:
    for line in mend():
        print(f"note: {line}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(errors.run(main))
