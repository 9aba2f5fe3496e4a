"""A published version that is built again, under the same number and with other parameters: old and new can be told apart."""

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from builders import MODELS, Workspace, settings
from harness import snapshot
from strikes import Point, Stages, Version, copy, seen, tables, tables_seen, version

from isoform.rows import Columns
from pipeline.publishing import FORMATS_OF

Stage = tuple[str, ...]

PREPARE, DESCRIBE, TRAIN = ("prepare",), ("describe",), ("train_sklearn", "logistic")
EXPORT, VALIDATE = ("export_onnx", "sklearn", "logistic"), ("validate", "sklearn", "logistic")
NETWORK = [("train_torch", "network"), ("convert_safetensors", "network")]
NETWORK += [("export_onnx", "torch", "network"), ("validate", "torch", "network")]
STAGES: list[Stage] = [PREPARE, DESCRIBE, TRAIN, EXPORT, VALIDATE, *NETWORK]
"""In the order in which DVC runs them."""


@dataclass(frozen=True)
class Rebuilt:
    """The workspace before each stage of the second build, and what the stage makes of it."""

    stages: Stages
    before: dict[Stage, Workspace]
    after: dict[Stage, dict[str, str]]
    points: dict[Stage, list[Point]]
    old: Workspace
    new: Workspace
    rows: Columns
    versions: dict[str, dict[str, Version]]
    """Model → 'old' and 'new' → what a reader may see."""
    tables: dict[str, str]

    def check(self, workspace: Workspace, stage: Stage) -> Counter[str]:
        """Fail unless every file is the old or the new one, and every reader sees old, new or a refusal; return what they saw.

        What training keeps for itself, and temporary files, are not read by anyone.
        """
        states, old, new = snapshot(workspace.root), snapshot(self.before[stage].root), self.after[stage]
        names = {name for name in states.keys() | old.keys() | new.keys() if not name.startswith(".scratch/")}
        wrong = {name for name in names if states.get(name) not in (old.get(name), new.get(name))}
        wrong -= {name for name in wrong if name.endswith("/metadata.json") and name not in states}  # it is taken back first
        assert {name for name in wrong if not name.endswith(".tmp")} == set()
        readers = list(self.readers(workspace, stage))
        assert {what.partition(":")[0] for what in readers} <= {"old", "new", "refused"}, readers
        return Counter(what.partition(":")[0] for what in readers)

    def readers(self, workspace: Workspace, stage: Stage) -> Iterator[str]:
        """Yield what readers see of what `stage` writes: of every format, or of the tables."""
        if stage == PREPARE:
            yield tables_seen(workspace, self.tables)
        model = stage[-1]
        if model in MODELS:
            for name in FORMATS_OF[MODELS[model]]:  # type: ignore[index]
                yield seen(workspace.folder(model), name, self.rows, self.versions[model])


def change(workspace: Workspace) -> None:
    """Have every stage give other bytes."""
    content = settings("mixed", test_share=0.25)
    content["models"]["sklearn"]["logistic"]["hyperparameters"]["C"] = 2.0
    content["models"]["torch"]["network"]["hyperparameters"]["training"]["learning_rate"] = 0.02
    workspace.write_params(content)


def rebuild(published: Workspace, root: Path, stages: Stages) -> Rebuilt:
    """Return a copy of a published workspace, built again stage by stage."""
    old = copy(published, root / "old")
    for folder in ("models", "reports"):
        shutil.rmtree(old.root / folder / "forest")
    new = copy(old, root / "new")
    change(new)
    before, after, points = {}, {}, {}
    for stage in STAGES:
        before[stage] = copy(new, root / "-".join(stage))
        stages.warm(new.root, stage)
        after[stage] = snapshot(new.root)
    for stage in STAGES:  # only now: what the process loads for a later stage it opens, too
        points[stage] = stages.points(copy(before[stage], root / "traced").root, stage)
        assert snapshot(root / "traced") == after[stage]
    rows, _ = old.test_rows()
    both = {"old": old, "new": new}
    versions = {
        model: {which: version(workspace, model, rows) for which, workspace in both.items()} for model in ("logistic", "network")
    }
    known = {which: tables(workspace) for which, workspace in both.items()}
    return Rebuilt(stages, before, after, points, old, new, rows, versions, known)
