"""Build HEAD again from nothing and compare: the proof of "the same bytes" on this machine.

Clones HEAD into an empty folder, forces the pipeline there with an empty cache and no remote, and names each
file whose hash is not the one in the committed dvc.lock, and each that `git status` shows. Where no equal bytes are
promised (another platform or Python than metadata.json records) it says so, and holds every metric to the committed
95 % interval instead.

Run     python -m proofs.reproduce
"""

import json
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


def platforms(root: Path) -> set[str]:
    """Return on what the bytes of the models depend, as the metadata.json of every version under `root` says."""
    found = [json.loads(path.read_text())["environment"] for path in root.glob("models/*/*/metadata.json")]
    return {f"{environment['platform']}, Python {environment['python']}" for environment in found}


def strayed(before: Path, after: Path) -> Iterator[str]:
    """Yield a line for each metric under `after` that is missing or outside the interval that `before` gives it."""
    for path in sorted(before.glob("reports/*/metrics.json")):
        name = path.relative_to(before)
        found = json.loads((after / name).read_text()) if (after / name).exists() else {}
        for metric, wanted in json.loads(path.read_text()).items():
            value = found.get(metric, {}).get("value")
            if value is None or not wanted["low"] <= value <= wanted["high"]:
                yield f"{name}: {metric} is {value}, committed is {wanted['value']} [{wanted['low']}, {wanted['high']}]"


def rebuild(source: Path, clone: Path) -> None:
    """Clone HEAD of `source` to `clone` and run the whole pipeline there, from an empty cache."""
    _run("git", "clone", "--quiet", "--no-hardlinks", str(source), str(clone))
    _run("dvc", "cache", "dir", "--local", str(clone / ".dvc/cache"), cwd=clone)  # empty, whatever the user's settings say
    for pointer in clone.glob("data/raw/**/*.dvc"):  # a table of one's own comes from nowhere else
        table = pointer.with_suffix("").relative_to(clone)
        shutil.copy(source / table, clone / table)
    _run("dvc", "repro", "--force", cwd=clone)


def compare(committed: Path, clone: Path) -> tuple[list[str], str]:
    """Return a line for each difference between two checkouts of one commit, and what was compared.

    Raises `CheckFailed` when the commit holds nothing to compare with.
    """
    there, here = platforms(committed), platforms(clone)
    if not there:
        raise CheckFailed("HEAD", "holds no models/*/*/metadata.json to compare with", "run 'dvc repro' and commit")
    if there != here:
        print(f"note: no equal bytes are promised here: committed from {_join(there)}; built on {_join(here)}", file=sys.stderr)
        return list(strayed(committed, clone)), "every metric lies within its committed 95 % interval; bytes were not compared"
    status = subprocess.run(["git", "status", "--porcelain"], cwd=clone, check=True, capture_output=True, text=True).stdout
    before = outputs(committed / "dvc.lock")
    same = f"the same bytes: {len(before)} outputs of a forced run equal those in dvc.lock, and git status is clean"
    return list(differences(before, outputs(clone / "dvc.lock"), status)), same


def main() -> None:
    source = Path.cwd()
    if not (source / "dvc.lock").exists():
        raise BadInput("dvc.lock", "no such file", "run this from the repository's root, after 'dvc repro'")
    if subprocess.run(["git", "status", "--porcelain"], check=True, capture_output=True, text=True).stdout:
        print("note: what is not committed is not compared", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="isoform-reproduce-") as temporary:
        committed, clone = Path(temporary) / "committed", Path(temporary) / source.name
        _run("git", "clone", "--quiet", "--no-hardlinks", str(source), str(committed))
        rebuild(source, clone)
        found, same = compare(committed, clone)
    for line in found:
        print(line)
    if found:
        raise CheckFailed(
            "HEAD", f"{len(found)} differences from what is committed", "run 'dvc repro' and commit, or find what varies"
        )
    print(same)


def _join(platforms: set[str]) -> str:
    return " and ".join(sorted(platforms)) or "nowhere"


def _run(*command: str, cwd: Path | None = None) -> None:
    try:
        subprocess.run(command, cwd=cwd, check=True)
    except subprocess.CalledProcessError as error:
        raise CheckFailed(" ".join(command[:3]), f"failed with status {error.returncode}", "see its output above") from None


if __name__ == "__main__":
    sys.exit(errors.run(main))
