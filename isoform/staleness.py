"""Is dvc.lock what this commit's commands, parameters and code would give?

dvc's own answers mislead here: `dvc status` fails for data that was merely not pulled, and
`dvc repro --dry` succeeds although a stage would run. This asks without data, cache or remote.
"""

import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from isoform.errors import BadInput
from isoform.integrity import read_bytes

INSTALL = "pip install -r requirements.lock"


def reasons(root: Path) -> Iterator[str]:
    """Yield a line for everything in which dvc.lock differs from the pipeline in the repository at `root`.

    A file in Git is hashed as it lies on the disk; one that a stage or `dvc add` made counts with the hash
    recorded by its maker. Raises `BadInput` when the pipeline cannot be read.
    """
    refuse_irregular_files(root)
    locked = _read_lock(root / "dvc.lock")
    stages = _stages(root)
    made = {
        out["path"]: out.get("md5")
        for entry in locked.values()
        for out in entry.get("outs", [])
        if not _in_git(stages, out["path"])
    }
    made |= {_relative(out, root): out.hash_info.value for stage in stages if stage.is_data_source for out in stage.outs}
    pipeline = {stage.addressing: stage for stage in stages if not stage.is_data_source}
    for name in sorted(locked.keys() - pipeline.keys()):
        yield f"{name}: is in dvc.lock, not in dvc.yaml"
    for name, stage in pipeline.items():
        if name not in locked:
            yield f"{name}: is not in dvc.lock: it has never run"
            continue
        for reason in _stage_reasons(stage, locked[name], made, root):
            yield f"{name}: {reason}"


def refuse_irregular_files(root: Path) -> None:
    """Raise `BadInput` when a file that DVC opens by itself is a pipe, at which it would wait for ever, or a link."""
    for path in (root / "dvc.yaml", root / "params.yaml"):
        if path.exists():
            read_bytes(path)


def _stage_reasons(stage: Any, entry: dict[str, Any], made: dict[str, str | None], root: Path) -> Iterator[str]:
    if entry.get("cmd") != stage.cmd:
        yield f"ran '{entry.get('cmd')}', dvc.yaml says '{stage.cmd}'"
    wanted = {key: value for dependency in stage.params for key, value in dependency.read_params().items()}
    recorded = {key: value for file in entry.get("params", {}).values() for key, value in file.items()}
    for key in sorted(wanted.keys() | recorded.keys()):
        if key not in wanted or key not in recorded:
            yield f"parameter {key} is {'no longer' if key in recorded else 'newly'} declared"
        elif _written(wanted[key]) != _written(recorded[key]):
            yield f"parameter {key} was {recorded[key]!r}, is {wanted[key]!r}"
    # A params dependency has `params`; the others are files.
    files = [_relative(dep, root) for dep in stage.deps if not hasattr(dep, "params")]
    yield from _compare(
        "dependency", files, entry.get("deps", []), lambda path: made[path] if path in made else _md5(root / path)
    )
    outs = [_relative(out, root) for out in stage.outs]
    kept_in_git = {_relative(out, root) for out in stage.outs if not out.use_cache}
    yield from _compare(
        "output", outs, entry.get("outs", []), lambda path: _md5(root / path) if path in kept_in_git else made[path]
    )


def _compare(what: str, paths: list[str], recorded: list[dict[str, Any]], hash_of: Any) -> Iterator[str]:
    hashes = {item["path"]: item.get("md5") for item in recorded}
    for path in sorted(set(paths) ^ set(hashes)):
        yield f"{what} {path} is {'no longer' if path in hashes else 'newly'} declared"
    for path in sorted(set(paths) & set(hashes)):
        if hash_of(path) != hashes[path]:
            yield f"{what} {path} {'has changed' if hash_of(path) else 'is missing'}"


def _stages(root: Path) -> list[Any]:
    try:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo
    except ImportError:
        raise BadInput("dvc", "is not installed", INSTALL) from None
    try:
        return list(Repo(str(root)).index.stages)
    except DvcException as error:
        raise BadInput(root / "dvc.yaml", f"cannot be read ({error})", "correct it, or run from the repository's root") from None


def _read_lock(path: Path) -> dict[str, Any]:
    try:
        import yaml
    except ImportError:
        raise BadInput("pyyaml", "is not installed", INSTALL) from None
    action = "restore it with 'git checkout dvc.lock', or run 'dvc repro'"
    if not path.exists():
        raise BadInput(path, "no such file", action)
    try:
        text = read_bytes(path)
        refuse_cut_lock(path, text)
        stages: dict[str, Any] = yaml.safe_load(text)["stages"]
        return {name: entry for name, entry in stages.items() if isinstance(entry, dict)}
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError, RecursionError):
        raise BadInput(path, "is not a lock file of DVC", action) from None


def refuse_cut_lock(path: Path, text: bytes) -> None:
    """Raise `BadInput` when `text` is the beginning of a dvc.lock: DVC writes it in place, and a kill can cut it off.

    What still reads could say less, or another size. One that ends between two entries only says that stages have not run.
    """
    _, entry, last = text.rpartition(b"- path:")
    # An entry ends with its size; one of another storage may have none.
    ends = not entry or any(key in last for key in (b"size:", b"etag:", b"checksum:"))
    if not text.endswith(b"\n") or not ends:
        raise BadInput(path, "ends in the middle of an entry", "run 'python -m pipeline.mend', which restores it from Git")


def _in_git(stages: list[Any], path: str) -> bool:
    return any(out.def_path == path and not out.use_cache for stage in stages for out in stage.outs)


def _relative(item: Any, root: Path) -> str:
    return Path(item.fs_path).relative_to(root.resolve()).as_posix() if item.fs_path else str(item.def_path)


def _written(value: Any) -> str:
    """Return `value` as text: to Python, and to 'dvc repro', 1 equals 1.0 and True; to an estimator it does not."""
    return json.dumps(value, sort_keys=True, default=str)


@cache
def _md5(path: Path) -> str | None:
    """Return DVC's hash of a file, None when there is none."""
    return hashlib.md5(read_bytes(path), usedforsecurity=False).hexdigest() if path.is_file() else None
