"""`isoform remote check` beyond the faults: revisions, shared objects, what it says to do, and calls that are wrong."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import remotes
import servers
import yaml
from builders import REPOSITORY, Workspace
from harness import Outcome, problems
from remotes import FOLDER, MODEL, PARTS, Site, cut, done, flipped, gone, run, shortened

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


def check(site: Site, *arguments: str) -> Outcome:
    return run(site.source, "isoform", "remote", "check", *arguments)


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


def cut_lock(folder: Path) -> None:
    (folder / "dvc.lock").write_bytes(cut((folder / "dvc.lock").read_bytes()))


def test_a_dvc_lock_that_ends_early_does_not_pass_for_a_shorter_one(site: Site) -> None:
    cut_lock(site.source)
    outcome = check(site)
    reason = "has no hash in dvc.lock, which is cut, or its stage has never run"
    assert list(problems(outcome, reason, "parts of the workspace")) == []
    assert list(problems(run(site.source, "isoform", "remote", "check", without="isoform.remotes:refuse_unrecorded"), reason))


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
        (foreign_protocol, (), "the default remote: gs is supported, but requires 'dvc-gs' to be installed; pip install 'dvc"),
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
        "error: dvc: is not installed; pip install 'dvc[s3]', 'dvc[ssh]' or what the remote needs\n",
    )


def test_this_repositorys_remote_is_verified_when_pulled() -> None:
    assert re.search(r"^\s+verify = true$", (REPOSITORY / ".dvc" / "config").read_text(), re.MULTILINE)


def test_a_folders_list_is_what_dvc_says_it_is(site: Site) -> None:
    assert json.loads(site.object(PARTS).read_bytes()) == [
        {"md5": site.oid(f"{PARTS}/a"), "relpath": "a"},
        {"md5": site.oid(f"{PARTS}/b"), "relpath": "b"},
    ]


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
