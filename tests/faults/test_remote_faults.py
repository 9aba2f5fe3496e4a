"""Faults 74 to 79, and what else befalls a remote, with each of the three remotes for real."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import remotes
import servers
from builders import REPOSITORY, Workspace
from cases import Record
from harness import Outcome, damage, problems, snapshot
from remotes import FOLDER, MODEL, PARTS, VERSION, Site, cut, done, flipped, gone, run, run_cold, shortened
from servers import KINDS, Remote

from proofs.remotes import CHECK, COMMANDS, DEEP, PULL, PULL_VERIFY, VERIFY

MISSING = "is missing"
LIST = r"is a folder's list of files, cut or altered: its md5 is \w{32} "
CONTENT = r"has other content: its md5 is \w{32} "
SIZE = r"holds \d+ bytes, \d+ are recorded "
NO_FILE = "no such file"
NO_OBJECT = r"failed to transfer '\w{32}' - .*(No such file|NoSuchKey)"
NO_LIST = r"object \w{32}\.dir is corrupted"
GUARD = "isoform.remotes:"
OF_DVC = ("clone/.dvc/tmp", "clone/.dvc/tmp/btime")
"""What the first command makes that opens a clone with the library of dvc."""
AGAIN = {"AWS_MAX_ATTEMPTS": "1"}
"""As few attempts as the library of S3 can be told: what is dead here stays dead."""


@dataclass(frozen=True, kw_only=True)
class Damage:
    """What can be wrong with an object in a remote, and who notices."""

    number: int
    title: str
    path: str
    change: Callable[[bytes], bytes | None]
    guard: str
    caught: dict[str, str]
    """Command that fails -> what it says (regular expression). `isoform verify` runs after a plain pull."""
    names: str = ""
    """File or folder whose object the line names, when it is not `path`."""
    arguments: tuple[str, ...] = field(default=())

    @property
    def reason(self) -> str:
        """What `isoform remote check` says, called with the arguments."""
        return self.caught[" ".join((CHECK, *self.arguments))]

    def __str__(self) -> str:
        return f"{self.number}-{re.sub('[^a-z]+', '_', self.title)}"


def no_checkout(path: str) -> str:
    """Return what dvc says of a path that it does not put into the workspace."""
    return f"Checkout failed for following targets:\n{re.escape(path)}\n"


FILE = f"{FOLDER}/1.csv"
DAMAGES = [
    Damage(
        number=74, title="an object is missing", path=MODEL, change=gone, guard=GUARD + "refuse_missing",
        caught={CHECK: MISSING, DEEP: MISSING, PULL: no_checkout(MODEL), PULL_VERIFY: no_checkout(MODEL), VERIFY: NO_FILE},
    ),
    Damage(
        number=74, title="a file in a folder is missing", path=FILE, change=gone, guard=GUARD + "refuse_missing",
        caught={CHECK: MISSING, DEEP: MISSING, PULL: NO_OBJECT, PULL_VERIFY: NO_OBJECT, VERIFY: NO_FILE},
    ),
    Damage(
        number=74, title="a folder's list is missing", path=FOLDER, change=gone, guard=GUARD + "refuse_missing",
        caught={CHECK: MISSING, DEEP: MISSING, PULL: no_checkout(FOLDER), PULL_VERIFY: no_checkout(FOLDER)},
    ),
    Damage(
        number=75, title="an object is altered, same size", path=MODEL, change=flipped, arguments=("--deep",),
        guard=GUARD + "refuse_other_content",
        caught={DEEP: CONTENT, PULL_VERIFY: no_checkout(MODEL), VERIFY: r"sha256 is \w{12}…, metadata\.json says "},
    ),
    Damage(
        number=75, title="an object is cut", path=MODEL, change=cut, guard=GUARD + "refuse_other_size",
        caught={
            CHECK: SIZE, DEEP: CONTENT, PULL_VERIFY: no_checkout(MODEL), VERIFY: r"holds \d+ bytes, metadata\.json says \d+",
        },
    ),
    Damage(
        number=75, title="a file in a folder is altered", path=FILE, change=flipped, arguments=("--deep",),
        guard=GUARD + "refuse_other_content", caught={DEEP: CONTENT, PULL_VERIFY: no_checkout(FOLDER)},
    ),
    Damage(
        number=75, title="a file in a folder is cut", path=FILE, change=cut, guard=GUARD + "refuse_other_sum", names=FOLDER,
        caught={
            CHECK: r"lists files that hold \d+ bytes in all, \d+ are recorded ", DEEP: CONTENT, PULL_VERIFY: no_checkout(FOLDER),
        },
    ),
    Damage(
        number=77, title="a folder's list is cut", path=FOLDER, change=cut, guard=GUARD + "refuse_altered_list",
        caught={CHECK: LIST, DEEP: LIST, PULL: NO_LIST, PULL_VERIFY: NO_LIST, VERIFY: NO_FILE},
    ),
    Damage(
        number=77, title="a folder's list lacks a line, valid JSON", path=PARTS, change=shortened,
        guard=GUARD + "refuse_altered_list", caught={CHECK: LIST, DEEP: LIST},
    ),
]  # fmt: skip


@pytest.fixture(scope="session")
def source(published: Callable[[str], Workspace], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a repository with a version, a folder and a pipeline that ran; no remote yet."""
    return remotes.build(tmp_path_factory.mktemp("remotes") / "source", published("mixed"))


@pytest.fixture(scope="session")
def pushed(source: Path) -> Iterator[Callable[[str], Site]]:
    """Give a remote of a kind to which everything was pushed; started once for each worker."""
    sites: dict[str, Site] = {}

    def get(kind: str) -> Site:
        if kind not in sites:
            root = source.parent / kind
            remote = servers.start(kind, root / "server")
            sites[kind] = Site(remote, root / "source", root / "clone")
            shutil.copytree(source, root / "source", symlinks=True)
            remotes.git(source, "clone", "--quiet", str(source), str(root / "clone"))
            for folder in (root / "source", root / "clone"):
                remotes.configure(folder, remote)
            done(run(root / "source", "dvc", "push"))
            shutil.copytree(remote.store, root / "pristine")
        return sites[kind]

    yield get
    for site in sites.values():
        site.remote.stop()


def fresh(site: Site, folder: Path) -> Site:
    """Restore the remote as it was after the push, and copy the two repositories, for a test to spoil."""
    for entry in site.remote.store.iterdir():
        shutil.rmtree(entry)
    shutil.copytree(site.source.parent / "pristine", site.remote.store, dirs_exist_ok=True)
    for name in ("source", "clone"):
        shutil.copytree(site.source.parent / name, folder / name, symlinks=True)
    return Site(site.remote, folder / "source", folder / "clone")


@pytest.fixture(params=KINDS)
def site(request: pytest.FixtureRequest, pushed: Callable[[str], Site], tmp_path: Path) -> Site:
    """Give a remote that holds everything, and copies of the repository that pushed and of one that has not pulled."""
    return fresh(pushed(request.param), tmp_path)


def check(site: Site, *arguments: str, without: str = "") -> Outcome:
    """Ask the remote, and note what that changes in the clone or in the remote: nothing may."""
    before = _states(site)
    outcome = run(site.clone, "isoform", "remote", "check", *arguments, without=without, **AGAIN)
    after = _states(site)
    return replace(outcome, changed=sorted(name for name in before.keys() | after if before.get(name) != after.get(name)))


def _states(site: Site) -> dict[str, str]:
    places = {"clone": site.clone, "remote": site.remote.store}
    found = {f"{place}/{name}": state for place, root in places.items() for name, state in snapshot(root).items()}
    return {name: state for name, state in found.items() if name not in OF_DVC}


def otherwise(command: str, outcome: Outcome, said: str | None) -> Iterator[str]:
    """Yield in what an outcome is another than to fail and say this and nothing else; where that is None, to succeed."""
    if said is None:
        yield from [outcome.stderr] if outcome.status else damage(outcome)
    elif command not in (PULL, PULL_VERIFY):
        for line in outcome.stderr.splitlines(keepends=True) or [""]:
            yield from problems(replace(outcome, stderr=line), said)
    elif outcome.status <= 0 or outcome.timed_out or "Traceback" in outcome.stderr or not re.search(said, outcome.stderr):
        yield f"exit status {outcome.status}, not {said!r} but {outcome.stderr[-2000:]!r}"


@pytest.mark.parametrize("damage", DAMAGES, ids=str)
def test_isoform_remote_check_names_the_bad_object_and_only_its_guard_makes_it(
    site: Site, damage: Damage, record: Record
) -> None:
    bad = str(site.object(damage.names or damage.path))
    site.damage(damage.path, damage.change)
    outcome = check(site, *damage.arguments)
    name = "/".join(Path(bad).parts[-2:])
    assert list(problems(outcome, damage.reason, name)) == []
    assert outcome.status == 1
    record(damage.number, damage.title, f"remote: {site.remote.kind}", "-", outcome)
    assert list(problems(check(site, *damage.arguments, without=damage.guard), damage.reason, name))


# `make remotes` asks all three.
@pytest.mark.parametrize("kind", KINDS if os.environ.get("EVERY_REMOTE") else KINDS[:1])
@pytest.mark.parametrize("damage", DAMAGES, ids=str)
def test_of_the_commands_these_notice(
    kind: str, damage: Damage, pushed: Callable[[str], Site], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    site = fresh(pushed(kind), tmp_path)
    site.damage(damage.path, damage.change)
    outcomes = {CHECK: check(site), DEEP: check(site, "--deep")}
    for pull, verify in ((PULL_VERIFY, True), (PULL, False)):
        remotes.emptied(site.clone)
        remotes.configure(site.clone, site.remote, verify=verify)
        outcomes[pull] = run(site.clone, "dvc", "pull")
    outcomes[VERIFY] = run(site.clone, "isoform", "verify", str(VERSION))
    found = {name: list(otherwise(name, outcomes[name], damage.caught.get(name))) for name in COMMANDS}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
    record_property("remote", (kind, damage.number, damage.title, tuple(damage.caught)))


def test_the_documentation_says_the_same_of_each_damage() -> None:
    lines = (REPOSITORY / "docs" / "remotes.md").read_text().splitlines()
    rows = [[cell.strip(" *") for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    (head,) = [number for number, row in enumerate(rows) if row[0] == "damage in the remote"]
    assert rows[head][1:] == list(COMMANDS)
    table = {row[0]: row[1:] for row in rows[head + 2 :]}
    assert list(table) == [f"{each.number} {each.title}" for each in DAMAGES]
    for each, cells in zip(DAMAGES, table.values(), strict=True):
        assert all(cell == "–" or cell.startswith("yes") for cell in cells)
        assert {name for name, cell in zip(COMMANDS, cells, strict=True) if cell != "–"} == set(each.caught), each.title


@pytest.mark.parametrize(
    "stderr",
    ["", "Traceback (most recent call last):\n", "error: s3://bucket: cannot be reached (OSError: x); try again\n"],
)
def test_a_command_that_just_fails_has_not_noticed(stderr: str) -> None:
    for command in COMMANDS:
        assert list(otherwise(command, Outcome(1, "", stderr, [], [], False, 0, 0.0), MISSING))


def test_76_a_corrupt_object_in_the_cache_is_trusted_by_dvc_and_not_by_isoform_verify(site: Site, record: Record) -> None:
    done(run(site.clone, "dvc", "pull"))
    cached = _corrupt_in_cache(site.clone, site.oid(MODEL))
    done(run(site.clone, "dvc", "checkout"))
    assert (site.clone / MODEL).read_bytes() == cached.read_bytes() != (site.source / MODEL).read_bytes()
    outcome = run(site.clone, "isoform", "verify", str(VERSION))
    reason = r"sha256 is \w{12}…, metadata\.json says "
    assert list(problems(outcome, reason, MODEL)) == []
    record(76, "corrupt object, mode 0444, in the cache", f"remote: {site.remote.kind}", "-", outcome)
    unguarded = run(site.clone, "isoform", "verify", str(VERSION), without="isoform.integrity:refuse_other_content")
    assert list(problems(unguarded, reason, MODEL))
    assert done(check(site, "--deep")), "the remote has the right one"


def test_76_a_corrupt_object_that_dvc_push_sends_is_caught_by_deep(site: Site, record: Record) -> None:
    oid = site.oid(MODEL)
    _corrupt_in_cache(site.source, oid)
    shutil.rmtree(site.remote.store / "files")
    time.sleep(0.1)
    done(run(site.source, "dvc", "push"))
    assert done(check(site)).stdout.endswith("no bad objects\n"), "of the right size"
    outcome = check(site, "--deep")
    assert list(problems(outcome, CONTENT, oid[2:])) == []
    record(76, "corrupt object, mode 0444, pushed from the cache", f"remote: {site.remote.kind}", "-", outcome)
    assert list(problems(check(site, "--deep", without=GUARD + "refuse_other_content"), CONTENT))


def _corrupt_in_cache(folder: Path, oid: str) -> Path:
    cached = folder / ".dvc" / "cache" / "files" / "md5" / oid[:2] / oid[2:]
    cached.chmod(0o644)
    cached.write_bytes(flipped(cached.read_bytes()))
    cached.chmod(0o444)
    (folder / MODEL).unlink()
    return cached


def test_78_an_unreachable_remote_is_told_soon(site: Site, record: Record) -> None:
    elsewhere = {"url": str(site.remote.store / "nowhere")} if site.remote.kind == "folder" else _at(site, servers.free_port())
    remotes.configure(site.clone, site.remote, **elsewhere)
    outcome = run_cold(site.clone, "isoform", "remote", "check")
    reason = "is not there" if site.remote.kind == "folder" else "cannot be reached"
    assert list(problems(outcome, reason)) == []
    assert (outcome.status, outcome.seconds < 25) == (2, True)
    record(78, "remote unreachable", f"remote: {site.remote.kind}", "-", outcome)
    guard = "isoform.remotes:refuse_absent_remote" if site.remote.kind == "folder" else "isoform.remote_requests:ask"
    assert list(problems(check(site, without=guard), reason))


@pytest.mark.parametrize("site", ["s3", "ssh"], indirect=True)
def test_78_a_server_that_never_answers_is_not_waited_for(site: Site, record: Record) -> None:
    with servers.silent() as port:
        remotes.configure(site.clone, site.remote, **_at(site, port))
        outcome = check(site, without="isoform.remote_requests:PATIENCE_S=2")
        assert list(problems(outcome, "no answer within 2 s")) == []
        record(78, "remote silent", f"remote: {site.remote.kind}", "-", outcome)
        endless = run(site.clone, "isoform", "remote", "check", without="isoform.remote_requests:PATIENCE_S=1000", timeout_s=6)
        assert list(damage(endless)), "it ended by itself: the limit would not be what ends it"


@pytest.mark.parametrize("site", ["s3", "ssh"], indirect=True)
def test_78_credentials_that_are_not_there_are_told(site: Site, record: Record) -> None:
    remotes.configure(site.clone, site.remote, secrets=False)
    outcome = run_cold(site.clone, "isoform", "remote", "check")
    assert list(problems(outcome, "refuses us")) == []
    assert outcome.status == 2
    record(78, "no credentials", f"remote: {site.remote.kind}", "-", outcome)
    assert list(problems(check(site, without="isoform.remote_requests:ask"), "refuses us"))


def test_a_read_only_remote_is_checked_and_pulled_and_a_push_to_it_fails(site: Site, record: Record) -> None:
    shutil.copytree(site.remote.store, root := site.source.parent / "read-only" / _below(site.remote))
    remote = servers.start(site.remote.kind, site.source.parent / "read-only", read_only=True)
    try:
        for folder in (site.source, site.clone):
            remotes.configure(folder, remote)
        remotes.done(check(site, "--deep"))
        remotes.done(run(site.clone, "dvc", "pull"))
        (site.source / "new").write_text("new")
        remotes.done(run(site.source, "dvc", "add", "--quiet", "new"))
        # root may write wherever it likes, unless it gives that up
        unable = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.geteuid() == 0 else ()
        # rclone never answers a write that it refuses: such a push is ended after a while
        patience = 8 if remote.kind == "s3" else remotes.TIMEOUT_S
        push = run_cold(site.source, "dvc", "push", prefix=unable, timeout_s=patience, **AGAIN)
        assert push.status not in (0, None), push.stdout
        outcome = run(site.source, "isoform", "remote", "check")
        assert list(problems(outcome, "is missing")) == []
        record(74, "push to a read-only remote", f"remote: {remote.kind}", "-", outcome)
        assert list(problems(run(site.source, "isoform", "remote", "check", without=GUARD + "refuse_missing"), "is missing"))
    finally:
        remote.stop()
        for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
            folder.chmod(0o755)


def test_79_a_push_that_was_killed_is_told_and_mended_by_the_next(site: Site, record: Record) -> None:
    shutil.rmtree(site.remote.store / "files")
    time.sleep(0.1)
    with _slowly(site, site.source) as variables:
        push = remotes.start(site.source, "dvc", "push", "--jobs", "1", **variables)
        _wait_for_an_object(site, push)
        push.kill()
        push.communicate()
    assert push.returncode == -signal.SIGKILL
    _tell_and_mend(site, "push interrupted", record)


@pytest.mark.parametrize("site", ["s3", "ssh"], indirect=True)
def test_79_a_server_that_dies_during_a_push_ends_it_and_the_next_mends_it(site: Site, record: Record, tmp_path: Path) -> None:
    remote = servers.start(site.remote.kind, tmp_path / "server")
    site = Site(remote, site.source, site.clone)
    try:
        with _slowly(site, site.source) as variables:
            push = remotes.start(site.source, "dvc", "push", "--jobs", "1", **variables)
            _wait_for_an_object(site, push)
            remote.stop()
            push.communicate(timeout=60)
        assert push.returncode not in (0, None)
        remotes.configure(site.clone, remote)
        outcome = check(site)
        assert list(problems(outcome, "cannot be reached")) == []
        remote = servers.start(remote.kind, tmp_path / "server", port=remote.port)
        _tell_and_mend(Site(remote, site.source, site.clone), "server dead in a push", record)
    finally:
        remote.stop()


@pytest.mark.parametrize("site", ["s3", "ssh"], indirect=True)
def test_79_a_server_that_dies_during_a_pull_leaves_nothing_half_written(site: Site, record: Record, tmp_path: Path) -> None:
    shutil.copytree(site.remote.store, tmp_path / "server" / _below(site.remote))
    remote = servers.start(site.remote.kind, tmp_path / "server")
    site = Site(remote, site.source, site.clone)
    cache = site.clone / ".dvc" / "cache" / "files" / "md5"
    try:
        with _slowly(site, site.clone) as variables:
            pull = remotes.start(site.clone, "dvc", "pull", "--jobs", "1", **variables)
            _wait(lambda: any(path.is_file() and path.stat().st_mode & 0o777 == 0o444 for path in cache.rglob("*")), pull)
            remote.stop()
            said = pull.communicate(timeout=60)
        assert pull.returncode not in (0, None), said
        _no_half_file(site)
        outcome = check(site)
        assert list(problems(outcome, "cannot be reached")) == []
        record(79, "server dead in a pull", f"remote: {remote.kind}", "-", outcome)
        remote = servers.start(remote.kind, tmp_path / "server", port=remote.port)
        remotes.configure(site.clone, remote)
        done(run(site.clone, "dvc", "pull"))
        _no_half_file(site, whole=True)
        done(run(site.clone, "isoform", "verify", str(VERSION)))
    finally:
        remote.stop()


def _no_half_file(site: Site, whole: bool = False) -> None:
    """Assert that each of the outputs is absent (unless `whole`) or what it is in the source."""
    for path in (MODEL, "count", *(f"{FOLDER}/{number}.csv" for number in range(3)), f"{PARTS}/a", f"{PARTS}/b"):
        if whole or (site.clone / path).exists():
            assert (site.clone / path).read_bytes() == (site.source / path).read_bytes(), path


def _tell_and_mend(site: Site, title: str, record: Record) -> None:
    for folder in (site.source, site.clone):
        remotes.configure(folder, site.remote)
    outcome = check(site)
    lines = outcome.stderr.splitlines(keepends=True)
    assert outcome.status == 1
    for line in lines:
        assert list(problems(Outcome(1, "", line, [], [], False, 0, 0.0), "is missing")) == []
    first = Outcome(1, "", lines[0], [], [], False, 0, 0.0)
    record(79, title, f"remote: {site.remote.kind}", "-", first)
    assert list(problems(check(site, without=GUARD + "refuse_missing"), "is missing"))
    done(run(site.source, "dvc", "push"))
    done(check(site, "--deep"))


def _wait_for_an_object(site: Site, process: subprocess.Popen[str]) -> None:
    files = site.remote.store / "files"
    _wait(lambda: any(path.is_file() and len(path.name) >= 30 and "temp" not in path.name for path in files.rglob("*")), process)


def _wait(until: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 40
    while not until():
        assert process.poll() is None, f"it ended too early: {process.communicate()}"
        assert time.monotonic() < end
        time.sleep(0.02)


def _at(site: Site, port: int) -> dict[str, str]:
    """Return the keys of .dvc/config that send a clone to another port."""
    return {"endpointurl": f"http://127.0.0.1:{port}"} if site.remote.kind == "s3" else {"port": str(port)}


def _below(remote: Remote) -> str:
    return "served/bucket/isoform" if remote.kind == "s3" else "store"


SLOW = """
import os, sys, time
def slow(event, arguments):  # a slow disk: half a second for each object that is put in its place
    if event == "os.rename" and "/files/md5/" in str(arguments[1]) and "store" in str(arguments[1]):
        time.sleep(0.5)
sys.addaudithook(slow)
"""


@contextlib.contextmanager
def _slowly(site: Site, folder: Path) -> Iterator[dict[str, str]]:
    """Let transfers of the repository in `folder` take seconds; gives variables for the command."""
    if site.remote.kind == "folder":
        hook = folder.parent / "slow"
        hook.mkdir()
        (hook / "sitecustomize.py").write_text(SLOW)
        yield {"PYTHONPATH": f"{hook}{os.pathsep}{REPOSITORY}"}
        return
    with servers.throttled(site.remote.port, 60_000) as port:
        remotes.configure(folder, site.remote, **_at(site, port))
        yield AGAIN
