"""What every test needs before it starts, and the fixtures that tests share."""

import sys
from pathlib import Path

# The stages and what they share are run from a checkout, never installed: find them however pytest was started.
sys.path.insert(0, str(Path(__file__).parent.parent))

from pipeline.determinism import pin_environment

# Before anything imports numpy or torch: both read these variables once, when they are loaded.
pin_environment()

import shutil
from collections.abc import Callable

import builders
import pytest
from builders import Workspace
from hypothesis import settings

# Examples are drawn the same in every run, and a slow machine is no failure.
settings.register_profile("isoform", derandomize=True, deadline=None, max_examples=60)
settings.load_profile("isoform")


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Workspace]:
    """Give the workspace of a table, all of its models published; built once, for reading only."""
    done: dict[str, Workspace] = {}

    def get(table: str) -> Workspace:
        if table not in done:
            done[table] = builders.publish_all(tmp_path_factory.mktemp(table), table)
        return done[table]

    return get


@pytest.fixture
def workspace(published: Callable[[str], Workspace], tmp_path: Path) -> Workspace:
    """Give a copy of the published mixed table that a test may spoil."""
    copy = tmp_path / "workspace"
    shutil.copytree(published("mixed").root, copy)
    return Workspace(copy)
