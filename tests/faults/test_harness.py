"""The harness itself: what it must notice, it notices."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import remotes
import strikes
from harness import Child, Site, damage, problems, snapshot
from strikes import Stages

from isoform.errors import BadInput

REFUSAL = "error: v1.0.0/model.onnx: is bad; replace it\n"
DEEDS = {
    "it runs code": ("exec('1')", "the audit hook saw: exec "),
    "it imports late": ("import tabnanny", "the audit hook saw: import tabnanny"),
    "it starts a program": ("import subprocess; subprocess.run(['true'])", r"the audit hook saw: subprocess\.Popen"),
    "it asks a shell": ("os.system('true')", r"the audit hook saw: os\.system"),
    "it forks": ("os.fork() or os._exit(0)", r"the audit hook saw: os\.fork"),
    "it sends a signal": ("os.kill(os.getpid(), 0)", r"the audit hook saw: os\.kill"),
    "it opens a socket": ("import socket; socket.socket().close()", r"the audit hook saw: socket\.__new__"),
    "it opens a file for writing": ("open('new', 'w').close()", "the audit hook saw: open 'new' for writing"),
    "it opens a file to append": ("open('canary', 'a').close()", "the audit hook saw: open 'canary' for writing"),
    "it opens a descriptor for writing": ("os.open('canary', os.O_WRONLY)", "the audit hook saw: open 'canary' for writing"),
    "it makes a file": ("os.open('new', os.O_RDONLY | os.O_CREAT)", "the audit hook saw: open 'new' for writing"),
    "it empties a file": ("os.open('canary', os.O_RDONLY | os.O_TRUNC)", "the audit hook saw: open 'canary' for writing"),
    "it makes a link": ("os.symlink('canary', 'link')", r"the audit hook saw: os\.symlink"),
    "it removes a file": ("os.remove('canary')", r"the audit hook saw: os\.remove"),
    "it changes a time": ("os.utime('canary')", r"the audit hook saw: os\.utime"),
    "it changes an attribute": ("os.setxattr('canary', 'user.a', b'1')", r"the audit hook saw: os\.setxattr"),
    "it runs code and is gone": ("exec('1'); os._exit(2)", "the audit hook saw: exec "),
    "it runs code and is killed": ("exec('1'); os.abort()", "the audit hook saw: exec "),
    "it overwrites the canary": ("open('canary', 'w').write('sung')", "^canary was changed$"),
    "it makes a pipe, which no hook sees": ("os.mkfifo('pipe')", "^pipe was changed$"),
    "it dies of a signal": ("os.abort()", "^it was ended by signal 6$"),
    "it does not end": ("while True: pass", "^it was not ended within 3 s$"),
    "it succeeds": ("sys.exit(0)", "^it was not refused$"),
    "it exits with an odd status": ("sys.exit(3)", "^its exit status is 3$"),
    "it gives a traceback": ("1 / 0", "^it gave a traceback: "),
    "it says more than a line": ("sys.stderr.write('more\\n')", "^it did not say one line "),
}
"""What a command does after it has refused as it should → the code, and what must be told of it."""
SAYINGS = {
    "nothing": ("", "^it did not say one line "),
    "no action": ("error: v1.0.0/model.onnx: is bad\n", "^it did not say one line "),
    "another file": ("error: v1.0.0/config.json: is bad; replace it\n", "^it named 'v1.0.0/config.json', not 'model.onnx'$"),
    "another reason": ("error: v1.0.0/model.onnx: is good; keep it\n", r"^it gave the reason 'is good', not '\^is bad\$'$"),
}


def told(child: Child, site: Site, said: str, deed: str, status: int = 2) -> list[str]:
    """Return what is told of a command that says something, does something and exits."""
    code = f"import os, sys\nsys.stderr.write({said!r})\n{deed}\nsys.exit({status})"
    return list(problems(child.attempt(site.root, ["-c", code], timeout_s=3), "^is bad$", "model.onnx"))


def test_of_a_refusal_nothing_is_told(child: Child, make_site: Callable[[str], Site]) -> None:
    assert told(child, make_site("onnx"), REFUSAL, "") == []


@pytest.mark.parametrize(("deed", "expected"), DEEDS.values(), ids=DEEDS.keys())
def test_what_a_command_does_beside_is_told(deed: str, expected: str, child: Child, make_site: Callable[[str], Site]) -> None:
    found = told(child, make_site("onnx"), REFUSAL, deed)
    assert [problem for problem in found if re.search(expected, problem)], found


@pytest.mark.parametrize(("said", "expected"), SAYINGS.values(), ids=SAYINGS.keys())
def test_what_a_command_says_amiss_is_told(said: str, expected: str, child: Child, make_site: Callable[[str], Site]) -> None:
    [problem] = told(child, make_site("onnx"), said, "")
    assert re.search(expected, problem)


GONE = ["isoform.loading:refuse_nothing", "isoform.nowhere:refuse_empty", "isoform.loading:refuse_empty=(", "-c 1 / 0"]
"""Guards that cannot be taken out."""
BROKEN = r"a guard could not be taken out:\nTraceback"


@pytest.mark.parametrize("guard", GONE)
def test_a_guard_that_is_not_there_cannot_be_taken_out(guard: str, child: Child, make_site: Callable[[str], Site]) -> None:
    site = make_site("onnx")
    with pytest.raises(RuntimeError, match=BROKEN):
        child.attempt(site.root, site.command, without=guard)


def test_nor_from_a_command_that_a_remote_is_for(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(RuntimeError, match=BROKEN):
        remotes.run(tmp_path / "folder", "isoform", "stale", without=GONE[0])


@pytest.fixture(scope="module")
def stages() -> Iterator[Stages]:
    """Give the process in which stages are struck."""
    stages = Stages()
    yield stages
    stages.close()


@pytest.mark.parametrize("inject", [None, []], ids=["unwatched", "watched"])
def test_nor_from_a_stage(inject: list[str] | None, stages: Stages, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(RuntimeError, match=BROKEN):
        stages.strike(tmp_path / "folder", ("prepare",), inject=inject, without=GONE[:1])


def test_a_missing_strace_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(strikes, "PROGRAMS", str(tmp_path))
    with pytest.raises(BadInput, match=r"^strace: is not installed; apt-get install strace, or run \.ci/programs$"):
        Stages()


def test_memory_is_bounded_and_its_peak_is_measured(child: Child, make_site: Callable[[str], Site]) -> None:
    site = make_site("metadata")
    good = child.attempt(site.root, site.command)
    site.replace(b" " * 200_000_000 + site.good)
    large = child.attempt(site.root, site.command, without="isoform.integrity:refuse_large")
    assert large.status == 0
    assert large.peak_bytes - good.peak_bytes > 180_000_000
    short = child.attempt(site.root, site.command, without="isoform.integrity:refuse_large", more_memory_bytes=100_000_000)
    assert "memory" in short.stderr
    assert short.peak_bytes < large.peak_bytes - 100_000_000


def test_what_an_earlier_attempt_said_is_not_told_of_one_that_dies_at_once(
    child: Child, make_site: Callable[[str], Site]
) -> None:
    site = make_site("metadata")
    site.replace(b"[]")
    assert child.attempt(site.root, site.command).stderr
    dead = child.attempt(site.root, site.command, timeout_s=0)
    assert dead.timed_out
    assert not dead.stderr and not dead.events


def test_a_snapshot_tells_content_kind_and_target(make_site: Callable[[str], Site]) -> None:
    site = make_site("golden")
    before = snapshot(site.root)
    assert before["canary"] != before["rows.csv"]
    assert before["models"].startswith("0o4")
    (site.root / "link").symlink_to("canary")
    site.canary.write_text("touched")
    after = snapshot(site.root)
    assert after.pop("link") == "-> canary"
    assert {name for name in after if after[name] != before[name]} == {"canary"}


@pytest.mark.parametrize("name", ["metadata", "config"])
def test_a_good_version_is_no_fault(name: str, child: Child, make_site: Callable[[str], Site]) -> None:
    site = make_site(name)
    site.replace(json.dumps(json.loads(site.good)).encode())
    site.vouch()
    outcome = child.attempt(site.root, site.command)
    assert not list(damage(outcome))
    assert "it was not refused" in list(problems(outcome, ""))
