"""Tiny DVC repositories with a real remote, what can be wrong with that remote, and the commands that should notice."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import remote_commands
from builders import REPOSITORY, Workspace
from harness import Outcome
from servers import Remote

TIMEOUT_S = 60.0
VERSION = Path("models/logistic/v1.0.0")
MODEL, FOLDER, PARTS = str(VERSION / "model.onnx"), "data/rows", "parts"
PIPELINE = """\
stages:
  split:
    cmd: mkdir parts && head -c 900 data/rows/1.csv >parts/a && tail -c 800 data/rows/2.csv > parts/b && wc -l data/rows/* > count
    deps: [data/rows]
    outs: [parts, count]
"""


def environment(home: Path) -> dict[str, str]:
    """Return variables with which dvc, Git and the libraries of remotes neither read nor write anything of the user's."""
    home.mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "HOME": str(home),
        "AWS_CONFIG_FILE": str(home / "aws"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / "aws-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(home / "site"),
        "DVC_GLOBAL_CONFIG_DIR": str(home / "global"),
        "DVC_SYSTEM_CONFIG_DIR": str(home / "system"),
        "GIT_CONFIG_GLOBAL": str(home / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{who}_{what}": "test@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    }


def run(folder: Path, *command: str, without: str = "", timeout_s: float = TIMEOUT_S, **variables: str) -> Outcome:
    """Run `dvc …` or `isoform …` in a process forked from one that has their libraries loaded.

    `without` is a guard to take out, as in harness.Fault.
    """
    home = folder.parent / "home"
    with tempfile.TemporaryDirectory(dir=folder.parent) as streams:
        started = time.monotonic()
        arguments = (list(command), str(folder), environment(home) | variables, streams, without)
        process = remote_commands.forks.Process(target=remote_commands.run, args=arguments)
        process.start()
        process.join(timeout_s)
        timed_out = process.is_alive()
        if timed_out:
            process.kill()
            process.join()
        stdout, stderr = (Path(streams, name).read_text(errors="replace") for name in ("stdout", "stderr"))
        return _outcome(process.exitcode or 0, stdout, stderr, timed_out=timed_out, seconds=time.monotonic() - started)


def run_cold(
    folder: Path, *command: str, prefix: tuple[str, ...] = (), timeout_s: float = TIMEOUT_S, **variables: str
) -> Outcome:
    """Run a command as a user does, from its own start to its own end."""
    started = time.monotonic()
    process = start(folder, *command, prefix=prefix, **variables)
    try:
        stdout, stderr = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        stdout, stderr = process.communicate()
        return _outcome(process.returncode, stdout, stderr, timed_out=True, seconds=timeout_s)
    return _outcome(process.returncode, stdout, stderr, seconds=time.monotonic() - started)


def start(folder: Path, *command: str, prefix: tuple[str, ...] = (), **variables: str) -> subprocess.Popen[str]:
    """Start a command in a process of its own."""
    program = [*prefix, sys.executable, "-m", {"dvc": "dvc", "isoform": "isoform.cli"}[command[0]], *command[1:]]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(program, cwd=folder, env=environment(folder.parent / "home") | variables, text=True, **pipes)


def _outcome(status: int, stdout: str, stderr: str, *, seconds: float, timed_out: bool = False) -> Outcome:
    return Outcome(status, stdout, stderr, events=[], changed=[], timed_out=timed_out, peak_bytes=0, seconds=seconds)


def done(outcome: Outcome) -> Outcome:
    """Return the outcome of a command that must succeed."""
    assert outcome.status == 0, f"exit status {outcome.status}:\n{outcome.stdout}\n{outcome.stderr}"
    return outcome


def git(folder: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    variables = environment(folder.parent / "home")
    return subprocess.run(command, cwd=folder, env=variables, check=True, capture_output=True, text=True).stdout


def build(folder: Path, workspace: Workspace) -> Path:
    """Make a repository at `folder` with a published version, a folder of files, and a stage that ran: two files and a folder."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    done(run(folder, "dvc", "init", "--quiet"))
    shutil.copytree(workspace.folder("logistic"), folder / VERSION)
    (folder / FOLDER).mkdir(parents=True)
    for number in range(3):
        (folder / FOLDER / f"{number}.csv").write_text(f"row,{number}\n" * 8000)
    (folder / "dvc.yaml").write_text(PIPELINE)
    binaries = [str(path.relative_to(folder)) for path in sorted((folder / VERSION).iterdir()) if path.suffix != ".json"]
    done(run(folder, "dvc", "add", "--quiet", FOLDER, *binaries))
    done(run(folder, "dvc", "repro", "--quiet"))
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "A version and its data")
    git(folder, "tag", "--annotate", "logistic@v1.0.0", "--message", "1.0.0")
    return folder


def configure(folder: Path, remote: Remote, *, verify: bool = True, secrets: bool = True, **other: str) -> None:
    """Write .dvc/config and .dvc/config.local as `dvc remote add` and `dvc remote modify` would."""
    section = "['remote \"store\"']\n"
    lines = {**remote.config, "verify": str(verify).lower(), **other}
    content = section + "".join(f"    {key} = {value}\n" for key, value in lines.items())
    (folder / ".dvc" / "config").write_text(f"[core]\n    remote = store\n    analytics = false\n{content}")
    local = section + "".join(f"    {key} = {value}\n" for key, value in remote.secrets.items())
    (folder / ".dvc" / "config.local").write_text(local if secrets and remote.secrets else "")


@dataclass
class Site:
    """A remote, a repository that has pushed everything to it, and a clone that has nothing yet."""

    remote: Remote
    source: Path
    clone: Path

    def oid(self, path: str) -> str:
        """Return the MD5 (and `.dir`) that the source's cache has for a file or folder."""
        target = self.source / path
        if target.is_file():
            return hashlib.md5(target.read_bytes()).hexdigest()
        entries = [
            {"md5": self.oid(str(file.relative_to(self.source))), "relpath": file.relative_to(target).as_posix()}
            for file in sorted(target.rglob("*"))
            if file.is_file()
        ]
        return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest() + ".dir"

    def object(self, path: str) -> Path:
        """Return where the object of a file or folder lies in the remote."""
        return self.remote.path(self.oid(path))

    def damage(self, path: str, change: Callable[[bytes], bytes | None]) -> None:
        """Replace an object's content in the remote, or delete it, behind dvc's back."""
        target = self.object(path)
        content, mode = change(target.read_bytes()), target.stat().st_mode
        target.chmod(0o644)
        if content is None:
            target.unlink()
        else:
            target.write_bytes(content)
            target.chmod(mode)
        time.sleep(0.1)  # rclone knows a folder for 50 ms


def flipped(data: bytes) -> bytes:
    """Return data of the same length with one bit changed, in the middle."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def emptied(folder: Path) -> None:
    """Leave a clone without cache and outputs, as after `git clone`."""
    for path in (".dvc/cache", ".dvc/tmp", FOLDER, PARTS):
        shutil.rmtree(folder / path, ignore_errors=True)
    for pointer in folder.rglob("*.dvc"):
        pointer.with_suffix("").unlink(missing_ok=True) if pointer.is_file() else None
    (folder / "count").unlink(missing_ok=True)
    shutil.rmtree(folder.parent / "home", ignore_errors=True)


def gone(_: bytes) -> None:
    return None


def shortened(data: bytes) -> bytes:
    """Return a folder's list without its last file: valid, only another folder."""
    return json.dumps(json.loads(data)[:-1], sort_keys=True).encode()
