"""`isoform remote check` beyond the faults: revisions, shared objects, what it says to do, and calls that are wrong."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest
import remotes
import servers
import yaml
from builders import REPOSITORY, Workspace
from dvc_data.hashfile.db import HashFileDB
from dvc_objects.fs.memory import MemoryFileSystem
from harness import Outcome, damage, problems, snapshot
from remotes import FOLDER, MODEL, PARTS, Site, cut, done, flipped, gone, run, shortened

from isoform import remotes as remotes_module
from isoform.errors import BadInput, Refused
from proofs.remotes import Notes, table


@pytest.fixture(scope="session")
def pushed(published: Callable[[str], Workspace], tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Give a repository that has pushed to a folder; for reading only."""
    root = tmp_path_factory.mktemp("remote")
    source = remotes.build(root / "source", published("mixed"))
    remote = servers.start("folder", root)
    remotes.configure(source, remote)
    done(run(source, "dvc", "push"))
    return Site(remote, source, source)


@pytest.fixture
def site(pushed: Site, tmp_path: Path) -> Site:
    """Give a copy that a test may spoil."""
    shutil.copytree(pushed.source, source := tmp_path / "source", symlinks=True)
    shutil.copytree(pushed.remote.store, tmp_path / "store")
    remote = servers.start("folder", tmp_path)
    remotes.configure(source, remote)
    return Site(remote, source, source)


def check(site: Site, *arguments: str, without: str = "") -> Outcome:
    return run(site.source, "isoform", "remote", "check", *arguments, without=without)


def test_a_remote_that_holds_everything_passes_and_is_told_in_one_line(site: Site) -> None:
    outcome = done(check(site))
    assert outcome.stdout == f"{site.remote.store}/files/md5: 13 objects, sizes compared, no bad objects\n"
    assert outcome.stderr == ""
    assert "contents compared" in done(check(site, "--deep")).stdout


@pytest.mark.parametrize(
    ("path", "change"),
    [
        (MODEL, gone),
        (MODEL, flipped),
        (MODEL, cut),
        (f"{FOLDER}/1.csv", gone),
        (f"{FOLDER}/1.csv", flipped),
        (FOLDER, gone),
        (FOLDER, cut),
        (PARTS, shortened),
    ],
)
def test_doing_what_the_line_says_mends_the_remote(site: Site, path: str, change: Callable[[bytes], bytes | None]) -> None:
    site.damage(path, change)
    where, action = re.fullmatch(r"error: (\S+): .+; (.+)\n", check(site, "--deep").stderr).groups()  # type: ignore[union-attr]
    assert action.endswith("'dvc push' from a clone that has it")
    for name in re.findall(r"delete (.+) there", action):
        for gone_too in name.split(" and "):
            Path(where if gone_too == "it" else gone_too).unlink()
    done(run(site.source, "dvc", "push"))
    done(check(site, "--deep"))


def test_dvc_push_alone_does_not_mend_what_the_check_names(site: Site) -> None:
    for path in (f"{FOLDER}/1.csv", MODEL):
        site.damage(path, gone if path != MODEL else flipped)
    assert "Everything is up to date" in done(run(site.source, "dvc", "push")).stdout
    assert len(check(site, "--deep").stderr.splitlines()) == 2


def test_dvc_push_of_a_file_that_is_nowhere_exits_0_and_the_check_says_so(site: Site) -> None:
    oid = site.oid(MODEL)
    (site.source / ".dvc" / "cache" / "files" / "md5" / oid[:2] / oid[2:]).unlink()
    site.damage(MODEL, gone)
    assert "Missing cache files" in done(run(site.source, "dvc", "push")).stderr
    outcome = check(site)
    assert outcome.status == 1
    assert f"is missing (needed for {MODEL} of the workspace)" in outcome.stderr


def test_what_only_an_older_version_names_is_asked_for_by_its_tag_and_by_all_tags(site: Site) -> None:
    old = site.object("count")
    (site.source / "dvc.yaml").write_text((site.source / "dvc.yaml").read_text().replace("wc -l", "wc -c"))
    done(run(site.source, "dvc", "repro", "--quiet"))
    remotes.git(site.source, "add", "--all")
    remotes.git(site.source, "commit", "--quiet", "--message", "Characters, not lines")
    done(run(site.source, "dvc", "push"))
    old.unlink()
    done(check(site))
    done(check(site, "--rev", "HEAD"))
    for arguments in (("--rev", "logistic@v1.0.0"), ("--all-tags",)):
        outcome = check(site, *arguments)
        assert outcome.status == 1
        assert f"{'/'.join(old.parts[-2:])}: is missing (needed for count of logistic@v1.0.0)" in outcome.stderr
    assert "needed for count of HEAD~1" in check(site, "--rev", "HEAD~1").stderr


def test_an_object_that_several_files_share_is_named_once(site: Site) -> None:
    shutil.copy(site.source / MODEL, site.source / "copy.onnx")
    done(run(site.source, "dvc", "add", "--quiet", "copy.onnx"))
    site.damage(MODEL, gone)
    outcome = check(site)
    assert outcome.stdout.endswith("1 bad object\n")
    assert re.search(r"is missing \(needed for \S+ of the workspace and 1 more\)", outcome.stderr)


def test_another_remote_is_asked_by_its_name(site: Site, tmp_path: Path) -> None:
    with (site.source / ".dvc" / "config").open("a") as config:
        config.write(f"['remote \"other\"']\n    url = {tmp_path / 'elsewhere'}\n")
    outcome = check(site, "--remote", "other")
    assert (outcome.status, outcome.stderr.count("\n")) == (2, 1)
    assert "elsewhere/files/md5: is not there; run 'dvc push'" in outcome.stderr
    done(run(site.source, "dvc", "push", "--remote", "other"))
    done(check(site, "--remote", "other", "--deep"))


def no_remote(folder: Path) -> None:
    (folder / ".dvc" / "config").write_text("[core]\n    analytics = false\n")


def no_lock(folder: Path) -> None:
    for name in ("dvc.lock", "dvc.yaml"):
        (folder / name).unlink()
    for pointer in folder.rglob("*.dvc"):
        if pointer.is_file():
            pointer.unlink()


def no_repository(folder: Path) -> None:
    shutil.rmtree(folder / ".dvc")


def ends_at(lock: Path, end: bytes) -> None:
    """Cut a dvc.lock behind the last `end`."""
    content = lock.read_bytes()
    lock.write_bytes(content[: content.rindex(end) + len(end)])


def commit(folder: Path, tag: str) -> None:
    remotes.git(folder, "add", "--all")
    remotes.git(folder, "commit", "--quiet", "--message", tag)
    remotes.git(folder, "tag", tag)


def alone(line: str) -> Outcome:
    """Return the outcome of a command that only said this line."""
    return Outcome(1, "", line, [], [], False, 0, 0.0)


def test_a_size_that_was_cut_at_the_end_of_dvc_lock_is_told_and_nothing_is_to_be_deleted(site: Site) -> None:
    lock = site.source / "dvc.lock"
    lock.write_bytes(lock.read_bytes()[:-2])  # the last digit, and the line's end
    outcome = check(site)
    assert list(problems(outcome, "ends in the middle of an entry", "dvc.lock of the workspace")) == []
    assert outcome.status == 1
    assert "delete" not in outcome.stderr
    unguarded = check(site, without="isoform.staleness:refuse_cut_lock")
    assert list(problems(unguarded, "ends in the middle of an entry"))
    assert "delete" not in unguarded.stderr, "a size that differs does not say that the object is the wrong one"


def test_a_dvc_lock_that_was_cut_in_a_commit_does_not_hide_what_other_tags_lack(site: Site) -> None:
    lock = site.source / "dvc.lock"
    whole = lock.read_bytes()
    lock.write_bytes(whole[:-2])
    commit(site.source, "cut")
    lock.write_bytes(whole)
    site.damage("count", gone)
    for arguments, count in ((("--all-tags",), 2), (("--rev", "cut"), 1)):
        outcome = check(site, *arguments)
        assert outcome.status == 1
        first, *others = outcome.stderr.splitlines(keepends=True)
        assert list(problems(alone(first), "ends in the middle of an entry", "dvc.lock of cut")) == []
        assert "mend" not in first
        assert "Git" not in first
        assert [*map(str.rstrip, others)] == [line for line in outcome.stderr.splitlines() if "is missing" in line]
        assert len(others) == count - 1


def test_a_stage_that_a_tag_has_never_run_does_not_hide_what_is_missing(site: Site) -> None:
    pipeline, whole = site.source / "dvc.yaml", (site.source / "dvc.yaml").read_bytes()
    pipeline.write_bytes(whole + b"  later:\n    cmd: touch later\n    outs: [later]\n")
    commit(site.source, "unfinished")
    pipeline.write_bytes(whole)
    site.damage("count", gone)
    outcome = check(site, "--all-tags")
    assert outcome.status == 1
    unrecorded, missing = outcome.stderr.splitlines(keepends=True)
    reason = "has no hash in dvc.lock, which is cut, or its stage has never run"
    assert list(problems(alone(unrecorded), reason, "later of unfinished")) == []
    assert "Git" not in unrecorded, "nothing restores what a commit has not"
    assert list(problems(alone(missing), "is missing")) == []
    assert outcome.stdout.startswith("dvc.lock: 1 bad object\n")


def test_a_dvc_lock_that_ends_early_does_not_pass_for_a_shorter_one(site: Site) -> None:
    lock = site.source / "dvc.lock"
    ends_at(lock, b"    outs:\n")
    with lock.open("a") as file:  # between two entries: what is there reads well
        file.write("    - path: count\n      hash: md5\n      md5: 0123456789abcdef0123456789abcdef\n      size: 9\n")
    reason = "has no hash in dvc.lock, which is cut, or its stage has never run"
    first = alone(check(site).stderr.splitlines(keepends=True)[0])
    assert list(problems(first, reason, "parts of the workspace")) == []
    unguarded = check(site, without="isoform.remotes:refuse_unrecorded")
    assert list(problems(unguarded, reason))


@pytest.mark.parametrize("path", [MODEL, FOLDER, PARTS])
def test_a_size_that_is_recorded_wrongly_is_told_apart_from_an_object_that_is_cut(site: Site, path: str) -> None:
    record = site.source / ("dvc.lock" if path == PARTS else f"{path}.dvc")
    record.write_text(re.sub(r"size: (\d+)(?!.*size:)", r"size: 1\1", record.read_text(), flags=re.DOTALL))
    before = site.object(path).read_bytes()
    outcome = check(site)
    assert list(problems(outcome, r"bytes( in all)?, \d+ are recorded")) == []
    assert outcome.stderr.endswith("; 'isoform remote check --deep' reads it and says what is wrong, the object or the record\n")
    outcome = check(site, "--deep")
    assert list(problems(outcome, r"bytes( in all)?, \d+ are recorded", "/".join(site.object(path).parts[-2:]))) == []
    assert "; its content is right, so leave it: the record is wrong" in outcome.stderr
    assert site.object(path).read_bytes() == before


@pytest.mark.parametrize("arguments", [(), ("--deep",), ("--rev", "HEAD"), ("--all-tags", "--deep")])
@pytest.mark.parametrize("change", [None, cut])
def test_the_check_writes_nothing(site: Site, arguments: tuple[str, ...], change: Callable[[bytes], bytes | None] | None) -> None:
    if change:
        site.damage(MODEL, change)
    before = snapshot(site.source), snapshot(site.remote.store)
    outcome = check(site, *arguments)
    assert list(damage(outcome)) == []
    assert (snapshot(site.source), snapshot(site.remote.store)) == before


def slow(answers_s: float, count: int) -> tuple[remotes_module.Report, dict[str, int]]:
    """Look up as many objects in a remote that gives one answer at a time."""
    store = MemoryFileSystem(global_store=False)
    store.jobs = 1
    odb = HashFileDB(store, "/store", hash_name="md5")
    named = [remotes_module.Named(f"{number:032x}", 1) for number in range(count)]
    for item in named:
        store.pipe(odb.oid_to_path(item.oid), b"1")
    info = store.fs.info
    store.fs.info = lambda *arguments, **options: time.sleep(answers_s) or info(*arguments, **options)
    report = remotes_module.Report("memory://store")
    return report, remotes_module._look_up(odb, named, report)


def test_a_slow_remote_is_not_called_silent_as_long_as_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isoform.remote_requests.PATIENCE_S", 0.5)
    report, sizes = slow(0.2, 5)
    assert (report.bad, len(sizes)) == ([], 5)
    with pytest.raises(BadInput, match=r"no answer within 0\.5 s"):
        slow(0.8, 1)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_beside_the_main_thread_a_check_asks_without_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isoform.remote_requests.PATIENCE_S", 0.1)
    with ThreadPoolExecutor() as pool:
        assert len(pool.submit(slow, 0.2, 2).result()[1]) == 2


def foreign_hash(folder: Path) -> None:
    pointer = yaml.safe_load((folder / f"{MODEL}.dvc").read_text())
    pointer["outs"][0]["md5"] = "../../../../etc/x"
    (folder / f"{MODEL}.dvc").write_text(yaml.safe_dump(pointer))


def foreign_protocol(folder: Path) -> None:
    (folder / ".dvc" / "config").write_text("[core]\n    remote = store\n['remote \"store\"']\n    url = gs://bucket/isoform\n")


@pytest.mark.parametrize(
    ("spoil", "arguments", "reason"),
    [
        (
            no_remote,
            (),
            ".dvc/config: names no default remote; run 'dvc remote add --default store URL', or name one by '--remote'",
        ),
        (no_lock, (), "dvc.lock: names no object of a remote; run 'dvc repro', and commit dvc.lock"),
        (no_repository, (), "cannot be checked .you are not inside of a DVC repository"),
        (foreign_hash, (), "is recorded with the hash '../../../../etc/x', which is no MD5"),
        (
            foreign_protocol,
            (),
            "the default remote: gs is supported, but requires 'dvc-gs' to be installed; pip install -c ",
        ),
        (lambda _: None, ("--rev", "nope"), "cannot be checked .unknown Git revision 'nope'"),
        (lambda _: None, ("--remote", "nope"), "nope: cannot be checked .*remote 'nope' doesn't exist"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_2(
    site: Site, spoil: Callable[[Path], None], arguments: tuple[str, ...], reason: str
) -> None:
    spoil(site.source)
    outcome = check(site, *arguments)
    assert outcome.status == 2
    assert re.fullmatch(rf"error: .*{reason}.*; .*\n|error: {reason}.*\n", outcome.stderr), outcome.stderr


def test_without_dvc_one_line_says_what_to_install(tmp_path: Path) -> None:
    program = "import sys; sys.modules['dvc'] = None; from isoform.cli import main; sys.exit(main(['remote', 'check']))"
    command = [sys.executable, "-c", program]
    found = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stderr) == (
        2,
        "error: dvc: is not installed; pip install -c requirements-dev.lock 'dvc[s3]', 'dvc[ssh]' or what the remote needs\n",
    )


def test_this_repositorys_remote_is_verified_when_pulled() -> None:
    assert re.search(r"^\s+verify = true$", (REPOSITORY / ".dvc" / "config").read_text(), re.MULTILINE)


def test_a_folders_list_is_what_dvc_says_it_is(site: Site) -> None:
    assert json.loads(site.object(PARTS).read_bytes()) == [
        {"md5": site.oid(f"{PARTS}/a"), "relpath": "a"},
        {"md5": site.oid(f"{PARTS}/b"), "relpath": "b"},
    ]


@pytest.mark.parametrize("content", [b"no JSON", b"[1]", b'[{"md5": "a"}]', b"{}", b"[" * 100_000], ids=range(5))
def test_what_is_no_list_of_files_is_refused(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused, match="is recorded as a folder's list of files, and is none"):
        remotes_module._entries(content)
    monkeypatch.setattr("isoform.remotes.refuse_no_list", lambda entries: None)
    with nullcontext() if content == b"{}" else pytest.raises((TypeError, KeyError)):  # an object is a folder of nothing
        assert [entry["relpath"] for entry in remotes_module._entries(content)] == []


def test_the_table_says_which_command_noticed() -> None:
    notes = Notes()
    notes.caught = [("s3", 74, "object missing", ("check", "pull")), ("folder", 75, "object cut", ("check",))]
    notes.told = [("s3", 74, "object missing", "is missing"), ("ssh", 78, "remote silent", "no answer from /a/b/c")]
    assert table(notes) == [
        "remote  fault              check   check --deep  pull    pull, verify = true  isoform verify",
        "folder  75 object cut      caught  -             -       -                    -",
        "s3      74 object missing  caught  -             caught  -                    -",
        "",
        "ssh     78 remote silent: no answer from …/c",
    ]
