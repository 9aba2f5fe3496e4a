"""Faults 74 to 79, and what else befalls a remote, with each of the three remotes for real."""

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import remotes
import servers
from builders import Workspace
from harness import Outcome, problems
from remotes import FOLDER, MODEL, PARTS, VERSION, Site, cut, done, flipped, gone, run, shortened
from servers import KINDS, Remote

Record = Callable[[int, str, str, str, Outcome], None]


@pytest.fixture(scope="session")
def source(published: Callable[[str], Workspace], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return remotes.build(tmp_path_factory.mktemp("remotes") / "source", published("mixed"))


@pytest.fixture(scope="session")
def pushed(source: Path) -> Iterator[Callable[[str], Site]]:
    """Give a remote to which everything was pushed, one of each kind; started once."""
    sites: dict[str, Site] = {}

    def get(kind: str) -> Site:
        if kind not in sites:
            root = source.parent / kind
            remote = servers.start(kind, root / "server")
            sites[kind] = Site(remote, root / "source", root / "clone")
            remotes.git(source, "clone", "--quiet", str(source), str(root / "clone"))
            shutil.copytree(source, root / "source", symlinks=True)
            for folder in (root / "source", root / "clone"):
                remotes.configure(folder, remote)
            done(run(root / "source", "dvc", "push"))
            shutil.copytree(remote.store, root / "pristine")
        return sites[kind]

    yield get
    for site in sites.values():
        site.remote.stop()


@pytest.fixture(params=KINDS)
def site(request: pytest.FixtureRequest, pushed: Callable[[str], Site], tmp_path: Path) -> Site:
    """Give a remote as it was after the push, and copies of the two repositories that a test may spoil."""
    site = pushed(request.param)
    for entry in site.remote.store.iterdir():
        shutil.rmtree(entry)
    shutil.copytree(site.source.parent / "pristine", site.remote.store, dirs_exist_ok=True)
    for name in ("source", "clone"):
        shutil.copytree(site.source.parent / name, tmp_path / name, symlinks=True)
    return Site(site.remote, tmp_path / "source", tmp_path / "clone")


def test_matrix(site):
    for path, change in [
        (MODEL, gone),
        (MODEL, flipped),
        (MODEL, cut),
        (f"{FOLDER}/1.csv", gone),
        (f"{FOLDER}/1.csv", flipped),
        (f"{FOLDER}/1.csv", cut),
        (FOLDER, gone),
        (FOLDER, cut),
        (FOLDER, flipped),
        (FOLDER, shortened),
        (PARTS, shortened),
    ]:
        keep = site.object(path).read_bytes()
        site.damage(path, change)
        print(site.remote.kind, path, change.__name__)
        for deep in ((), ("--deep",)):
            o = run(site.clone, "isoform", "remote", "check", *deep)
            print("   check", *deep, o.status, round(o.seconds, 2), o.stderr.strip(), o.stdout.strip())
        for verify in (False, True):
            shutil.rmtree(site.clone / ".dvc/cache", ignore_errors=True)
            for p in (MODEL, FOLDER, PARTS, "count"):
                shutil.rmtree(site.clone / p, ignore_errors=True)
                (site.clone / p).unlink(missing_ok=True)
            remotes.configure(site.clone, site.remote, verify=verify)
            o = run(site.clone, "dvc", "pull")
            print("   pull", verify, o.status, round(o.seconds, 2), o.stderr.strip().replace("\n", "|")[:300])
            o = run(site.clone, "isoform", "verify")
            print("     verify", o.status, round(o.seconds, 2), o.stderr.strip()[:200])
        p = site.object(path)
        p.unlink(missing_ok=True)
        p.write_bytes(keep)
        p.chmod(0o444)
