"""What every test of a fault shares: a warm child, a copy of a version, and the table at the end."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from builders import MODELS, REPOSITORY, Workspace
from harness import Child, Outcome, Site, workspace_site

from pipeline.publishing import FORMATS_OF

MODULES = [f"stages.{path.stem}" for path in sorted((REPOSITORY / "stages").glob("[a-z]*.py"))]
MODULES += ["pipeline.proposal", "pipeline.portable_matmul", "isoform.frames"]
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


@pytest.fixture
def make_site(published: Callable[[str], Workspace], tmp_path: Path) -> Callable[[str], Site]:
    """Give a function that copies the version with a file of that format."""
    return lambda format: workspace_site(published("mixed"), tmp_path / "site", format)


@pytest.fixture
def record(record_property: Callable[[str, object], None]) -> Callable[[int, str, str, str, Outcome], None]:
    """Give a function that notes a fault that was held for the table: number, title, format, way, outcome."""

    def note(number: int, title: str, format: str, way: str, outcome: Outcome) -> None:
        said = "answers with finite numbers" if outcome.status == 0 else outcome.reason
        record_property("fault", (number, title, format, way, " ".join(said.split())))

    return note
