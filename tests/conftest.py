"""What every test needs before it starts, and the fixtures that tests share."""
# ruff: noqa: E402 - the order of these imports is the point

import sys
from pathlib import Path

# The stages and what they share are run from a checkout, never installed: find them however pytest was started.
sys.path.insert(0, str(Path(__file__).parent.parent))

from pipeline.determinism import pin_environment

# Before anything imports numpy or torch: both read these variables once, when they are loaded.
pin_environment()

import fcntl
import os
import shutil
from collections.abc import Callable, Generator

import builders
import pytest
from builders import Workspace
from hypothesis import settings

# Examples are drawn the same in every run, and a slow machine is no failure.
settings.register_profile("isoform", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("isoform")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the file that takes longest, and is one worker's: the other workers would wait for it in the end."""
    items.sort(key=lambda item: item.path.name != "test_pipeline.py")


@pytest.fixture(scope="session", autouse=True)
def no_repository_around() -> None:
    """Forget the repository of a hook that runs the tests: what they commit must land in theirs."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        del os.environ[name]


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Workspace]:
    """Give the workspace of a table, all of its models published; built once for all workers, for reading only."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def get(table: str) -> Workspace:
        folder, unfinished = shared / f"published-{table}", shared / f"building-{table}"
        with (shared / f"{table}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                builders.publish_all(unfinished, table)
                unfinished.rename(folder)
        return Workspace(folder)

    return get


@pytest.fixture
def workspace(published: Callable[[str], Workspace], tmp_path: Path) -> Workspace:
    """Give a copy of the published mixed table that a test may spoil."""
    copy = tmp_path / "workspace"
    shutil.copytree(published("mixed").root, copy)
    return Workspace(copy)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail in CI what a newcomer's machine may skip: there, nothing may be missing."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} would skip, and in CI nothing may: {report.longrepr}"
    return report
