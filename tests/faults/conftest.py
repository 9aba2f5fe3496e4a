"""What every test of a fault shares: a warm child, a copy of a version, and the table at the end."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from builders import MODELS, REPOSITORY, Workspace
from fault_table import pytest_addoption, pytest_collection_modifyitems, pytest_terminal_summary, record  # noqa: F401
from harness import Child, Site, workspace_site

from isoform.formats import FORMATS
from pipeline.publishing import FORMATS_OF

MODULES = [f"stages.{path.stem}" for path in sorted((REPOSITORY / "stages").glob("[a-z]*.py"))]
MODULES += ["pipeline.proposal", "pipeline.portable_matmul", "isoform.frames", "pipeline.sources.flights", "encodings.cp437"]
"""What is run in the child besides `isoform`, and what it imports late."""


@pytest.fixture(scope="session")
def child(published: Callable[[str], Workspace], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """Give the process that tries faults, one for each worker."""
    warm = [["-m", name] for name in MODULES]
    for model, kind in MODELS.items():
        for name in FORMATS_OF[kind]:  # type: ignore[index]
            site = workspace_site(published("mixed"), tmp_path_factory.mktemp("warm") / f"{model}-{name}", name)
            if site.model == model:
                warm += [site.command, ["verify", str(site.folder), "--trust-pickle"], ["inspect", str(site.folder)]]
                warm.append(["inspect", str(site.path)])
    child = Child(warm)
    yield child
    child.close()


@pytest.fixture(scope="session")
def child_of(published: Callable[[str], Workspace], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Child]]:
    """Give a function that returns the process for a format's many files: the fewer libraries it has, the faster it forks."""
    children: dict[str, Child] = {}

    def get(format: str) -> Child:
        extra = FORMATS[format].extra if format in FORMATS else "" if format == "golden" else "torch"
        if extra not in children:
            names = ["golden"] * (not extra) + [name for name, entry in FORMATS.items() if entry.extra == extra]
            place = tmp_path_factory.mktemp("warm")
            children[extra] = Child([workspace_site(published("mixed"), place / name, name).command for name in names])
        return children[extra]

    yield get
    for child in children.values():
        child.close()


@pytest.fixture
def make_site(published: Callable[[str], Workspace], tmp_path: Path) -> Callable[[str], Site]:
    """Give a function that copies the version with a file of that format."""
    return lambda format: workspace_site(published("mixed"), tmp_path / "site", format)
