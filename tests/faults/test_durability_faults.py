"""Faults 67 to 73: whatever befalls a run while it writes, a reader sees the old version, the new one, or a refusal."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from builders import MODELS, Workspace, settings
from cases import expect
from harness import Outcome, problems, snapshot
from strikes import Point, Stages, Version, copy, seen, tables, tables_seen, version

from isoform.rows import Columns
from pipeline.publishing import FORMATS_OF

Record = Callable[[int, str, str, str, Outcome], None]
Stage = tuple[str, ...]

PREPARE, DESCRIBE = ("prepare",), ("describe",)
TRAIN, EXPORT, VALIDATE = (
    ("train_sklearn", "logistic"),
    ("export_onnx", "sklearn", "logistic"),
    ("validate", "sklearn", "logistic"),
)
NETWORK = [("train_torch", "network"), ("convert_safetensors", "network")]
NETWORK += [("export_onnx", "torch", "network"), ("validate", "torch", "network")]
STAGES: list[Stage] = [PREPARE, DESCRIBE, TRAIN, EXPORT, VALIDATE, *NETWORK]
"""In the order in which DVC runs them."""
STAGE = pytest.mark.parametrize("stage", STAGES, ids="-".join)


@dataclass(frozen=True)
class Site:
    """A version that is published and built again with other parameters: the workspace before each stage and after it."""

    stages: Stages
    before: dict[Stage, Workspace]
    after: dict[Stage, dict[str, str]]
    points: dict[Stage, list[Point]]
    old: Workspace
    new: Workspace
    rows: Columns
    versions: dict[str, dict[str, Version]]
    tables: dict[str, str]

    def readers(self, workspace: Workspace, stage: Stage) -> Iterator[str]:
        """Yield what readers see of what `stage` writes: of every format, or of the tables."""
        if stage == PREPARE:
            yield tables_seen(workspace, self.tables)
        model = stage[-1]
        if model in MODELS:
            for name in FORMATS_OF[MODELS[model]]:  # type: ignore[index]
                yield seen(workspace.folder(model), name, self.rows, self.versions[model])

    def halves(self, workspace: Workspace, stage: Stage) -> list[str]:
        """Return what is neither the old file nor the new one; what training keeps for itself apart."""
        states, old, new = snapshot(workspace.root), snapshot(self.before[stage].root), self.after[stage]
        names = {name for name in states.keys() | old.keys() | new.keys() if not name.startswith(".scratch/")}
        wrong = sorted(name for name in names if states.get(name) not in (old.get(name), new.get(name)))
        # It may be gone: it is taken back while a version is built again.
        return [name for name in wrong if name in states or not name.endswith("/metadata.json")]


def change(workspace: Workspace) -> None:
    """Have every stage give other bytes."""
    content = settings("mixed", test_share=0.25)
    content["models"]["sklearn"]["logistic"]["hyperparameters"]["C"] = 2.0
    content["models"]["torch"]["network"]["hyperparameters"]["training"]["learning_rate"] = 0.02
    workspace.write_params(content)


@pytest.fixture(scope="module")
def site(published: Callable[[str], Workspace], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("durability")
    stages = Stages()
    old = copy(published("mixed"), root / "old")
    for folder in ("models", "reports"):
        shutil.rmtree(old.root / folder / "forest")
    new = copy(old, root / "new")
    change(new)
    before, after, points = {}, {}, {}
    for stage in STAGES:
        before[stage] = copy(new, root / "-".join(stage))
        stages.warm(new.root, [*stage])
        after[stage] = snapshot(new.root)
    for stage in STAGES:  # only now: what the process still loads it opens, and would be counted
        points[stage] = stages.points(copy(before[stage], root / "traced").root, [*stage])
        assert snapshot(root / "traced") == after[stage]
    rows, _ = old.test_rows()
    both = {"old": old, "new": new}
    versions = {
        model: {which: version(workspace, model, rows) for which, workspace in both.items()} for model in ("logistic", "network")
    }
    known = {which: tables(workspace) for which, workspace in both.items()}
    yield Site(stages, before, after, points, old, new, rows, versions, known)
    stages.close()


def told(text: str) -> Outcome:
    """Return what the table shows of many runs."""
    return Outcome(1, "", f"error: a run: {text}; -\n", [], [], timed_out=False, peak_bytes=0, seconds=0.0)


def is_whole(site: Site, workspace: Workspace, stage: Stage) -> Counter[str]:
    """Fail unless every file is the old or the new one and every reader sees old, new or a refusal; return what they saw."""
    assert site.halves(workspace, stage) == []
    readers = Counter(what.partition(":")[0] for what in site.readers(workspace, stage))
    assert readers.keys() <= {"old", "new", "refused"}, list(site.readers(workspace, stage))
    return readers


def no_space_at(site: Site, stage: Stage, point: Point, workspace: Workspace, *without: str) -> Outcome:
    """Have one call fail as on a full disk; the run must end with one line that names the file, and leave nothing."""
    inject = point.inject("error=ENOSPC", workspace.root)
    outcome = site.stages.strike(workspace.root, [*stage], inject=inject, without=without)
    assert sum("INJECTED" in line for line in site.stages.log(workspace.root)) == 1, point
    expect(f"ENOSPC at {point}", problems(outcome, "No space left on device", point.target))
    assert outcome.status == 2
    assert not list(workspace.root.rglob("*.tmp")), f"left after ENOSPC at {point}"
    return outcome


@STAGE
def test_67_no_space_at_each_write(stage: Stage, site: Site, record: Record, tmp_path: Path) -> None:
    readers: Counter[str] = Counter()
    for point in site.points[stage]:
        workspace = copy(site.before[stage], tmp_path / "site")
        outcome = no_space_at(site, stage, point, workspace)
        readers += is_whole(site, workspace, stage)
    record(67, f"ENOSPC at each of {len(site.points[stage])} calls", " ".join(stage), "-", outcome)


@STAGE
def test_68_kill_9_at_each_write(stage: Stage, site: Site, record: Record, tmp_path: Path) -> None:
    readers: Counter[str] = Counter()
    for point in site.points[stage]:
        workspace = copy(site.before[stage], tmp_path / "site")
        outcome = site.stages.strike(workspace.root, [*stage], inject=point.inject("signal=KILL", workspace.root))
        assert outcome.status == -9, f"{point}: {outcome.stderr}"
        for left in workspace.root.rglob(".*.tmp"):
            left.unlink()
        readers += is_whole(site, workspace, stage)
    record(68, f"kill -9 at each of {len(site.points[stage])} calls", " ".join(stage), "-", told(f"readers saw {readers}"))
