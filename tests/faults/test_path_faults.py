"""Faults 62 to 64: names that are paths or options or nothing at all, links, and what is no regular file."""
# ruff: noqa: E501 - a case a line

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import remotes
import yaml
from attempts import Attempt, both
from builders import Workspace, python
from cases import Record, expect
from harness import Child, Outcome, finite, problems, snapshot

from proofs import workspace as copies

NETWORK, FOREST = "models/network/v1.0.0", "models/forest/v1.0.0"
FOLLOWS_LINKS = f"isoform.integrity:OPEN_FLAGS={os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC}"
WAITS = f"isoform.integrity:OPEN_FLAGS={os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC}"
PREPARE = ["-m", "stages.prepare"]
PREDICT = ["predict", NETWORK, "rows.csv", "--format", "safetensors"]
NAMES = {
    "../x": "../x",
    "absolute": "/proc/isoform/x",  # where not even root can make a file: without its guard a stage would
    "NUL": "a\0b",
    "leading -": "-x",
    "300 characters": "x" * 300,
    "shell": "a;$(rm canary)",
}

Arrange = Callable[[Path], list[str]]


TEXT, METADATA, PARAMS = "isoform.strict_json:refuse_unfit_text", "isoform.metadata:", "pipeline.params:"
LONG = "x" * 300
STAGES: dict[str, list[str]] = {"train_sklearn": [], "train_torch": [], "convert_safetensors": []}
STAGES |= {"export_onnx": ["torch"], "validate": ["sklearn"]}
"""Stage → what stands before a model's name."""
Row = tuple[int, str, str, Arrange, str, str]
"""Number, title, place, arrangement, reason and guard."""


def runs(*command: str) -> Arrange:
    return lambda root: [*command]


def parameter(change: Callable[[dict[str, Any]], None]) -> Arrange:
    """Return what changes the content of params.yaml and prepares the data."""

    def arrange(root: Path) -> list[str]:
        content = yaml.safe_load((root / "params.yaml").read_text())
        change(content)
        (root / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return PREPARE

    return arrange


def renamed(name: str) -> Arrange:
    return parameter(lambda content: content["models"]["sklearn"].update({name: content["models"]["sklearn"].pop("forest")}))


def recorded(change: Callable[[dict[str, Any]], None]) -> Arrange:
    """Return what changes the content of metadata.json and has the version answer."""

    def arrange(root: Path) -> list[str]:
        path = root / NETWORK / "metadata.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
        return PREDICT

    return arrange


def linked(path: str, command: list[str]) -> Arrange:
    """Return what moves a file or folder away, puts a link to it in its place, and runs the command."""

    def arrange(root: Path) -> list[str]:
        elsewhere = root / "elsewhere"
        (root / path).rename(elsewhere)
        (root / path).symlink_to(elsewhere)
        return command

    return arrange


def pipe(path: str, command: list[str]) -> Arrange:
    """Return what puts a FIFO in the place of a file, and runs the command."""

    def arrange(root: Path) -> list[str]:
        (root / path).unlink()
        os.mkfifo(root / path)
        return command

    return arrange


def loads(folder: str) -> Arrange:
    """Return what loads a folder from a Python program: a command line holds no NUL."""
    return runs("-c", f"import sys, isoform; from isoform import errors; sys.exit(errors.run(lambda: isoform.load({folder!r})))")


def proposes(*arguments: str) -> Arrange:
    return runs(
        "-c",
        "import sys; from isoform import errors; from pipeline import proposal; sys.exit(errors.run(proposal.main))",
        *arguments,
    )


def written(title: str, name: str) -> Iterator[Row]:
    """Yield the name in each place of params.yaml and metadata.json."""
    a_name, a_version = (
        r"^models\.sklearn\..*: a model's name is of a-z",
        r"^models\.torch\.network\.version is .*: a version is three",
    )
    yield 62, f"model's name {title}", "params.yaml", renamed(name), a_name, PARAMS + "refuse_bad_name"
    yield (
        62,
        f"version {title}",
        "params.yaml",
        parameter(lambda content: content["models"]["torch"]["network"].update(version=name)),
        a_version,
        PARAMS + "refuse_bad_version",
    )
    if title != "shell":  # a file may be called so
        change = parameter(lambda content: content["data"].update(source=name))
        yield 62, f"source {title}", "params.yaml", change, r"^data\.source is .*: a table lies", PARAMS + "refuse_bad_source"
    for place, word, change in (
        ("model's name", "model", recorded(lambda content: content.update(model_name=name))),
        ("version", "version", recorded(lambda content: content.update(version=name))),
        ("file", "file", recorded(lambda content: content["files"]["safetensors"].update(path=name))),
    ):
        if title == "NUL":
            yield 62, f"{place} {title}", "metadata.json", change, "^holds NUL or a lone surrogate$", TEXT
        else:
            yield 62, f"{place} {title}", "metadata.json", change, f"^names the {word} '", METADATA + "refuse_bad_names"


def given(title: str, name: str) -> Iterator[Row]:
    """Yield the name as an argument of each stage and command."""
    options = ["--"] if name.startswith("-") else []
    for stage, kind in STAGES.items():
        command = runs("-m", f"stages.{stage}", *kind, *options, name)
        yield 62, f"name {title}", f"stages.{stage}", command, r"^models\.\w+ has no '", PARAMS + "refuse_unknown_model"
    command = runs("-m", "stages.fetch", *options, "synthetic", name)
    yield 62, f"place {title}", "stages.fetch", command, "^is no place for a raw table$", "pipeline.layout:refuse_other_place"
    call = f"lambda: fetch.main({name!r}, 'data/raw/x')"
    command = runs("-c", f"import sys; from isoform import errors; from stages import fetch; sys.exit(errors.run({call}))")
    yield 62, f"source {title}", "stages.fetch", command, "^is not known$", "stages.fetch:refuse_unknown_source"
    command = runs("predict", NETWORK, "rows.csv", f"--format={name}")
    yield 62, f"format {title}", "isoform predict", command, "^has no format '", "isoform.loading:refuse_unknown_format"
    command = runs("predict", *options, NETWORK, name)
    yield 62, f"rows {title}", "isoform predict", command, "^has the suffix '|^is no path", "isoform.tables:refuse_other_kind"


def opened(path: str, command: list[str]) -> Iterator[Row]:
    """Yield a file that is opened by itself, behind a link and as a pipe."""
    name, odd = Path(path).name, "^is not a regular file$"
    yield 63, "the file itself", name, linked(path, command), r"^cannot be opened \(Too many levels of symbolic", FOLLOWS_LINKS
    yield 64, "FIFO", name, pipe(path, command), odd, "isoform.integrity:refuse_irregular"
    yield 64, "FIFO, not to be waited for", name, pipe(path, command), odd, WAITS


OPENED = {
    f"{NETWORK}/model.safetensors": PREDICT,
    f"{NETWORK}/metadata.json": PREDICT,
    f"{NETWORK}/config.json": PREDICT,
    f"{NETWORK}/golden.json": ["verify", NETWORK],
    "rows.csv": PREDICT,
    "params.yaml": PREPARE,
    "data/raw/table.parquet": PREPARE,
    "data/prepared/schema.json": ["-m", "stages.train_sklearn", "forest"],
    "data/prepared/train.parquet": ["-m", "stages.train_sklearn", "forest"],
    f"{FOREST}/pipeline.joblib": ["-m", "stages.export_onnx", "sklearn", "forest"],
    "requirements.lock": PREPARE,
}
"""File → the command that opens it."""

OTHERS: list[Row] = [
    *((62, "folder 300 characters", f"isoform {command}", runs(command, f"models/{LONG}/v1.0.0"), "^is no path of a file$", f"isoform.{guard}:refuse_bad_path") for command, guard in (("inspect", "inspection"), ("verify", "metadata"))),
    *((62, "folder leading -", f"isoform {command}", runs(command, "-x"), "^(unrecognized arguments: -x|the following arguments are required: )", "isoform.arguments:Parser.error") for command in ("inspect", "verify")),
    (62, "folder 300 characters", "isoform predict", runs("predict", LONG, "rows.csv"), "^is no path of a file$", "isoform.metadata:refuse_bad_path"),
    (62, "rows 300 characters, .csv", "isoform predict", runs("predict", NETWORK, f"{LONG}.csv"), "^is no path of a file$", "isoform.integrity:refuse_bad_path"),
    (62, "folder NUL", "isoform.load", loads("models/a\0b"), "^is no path of a file$", "isoform.metadata:refuse_bad_path"),
    (62, "folder lone surrogate", "isoform.load", loads("models/\ud800"), "^is no path of a file$", "isoform.metadata:refuse_bad_path"),
    (62, "table ../x", "pipeline.proposal", proposes("../x"), "^has the suffix ''$", "isoform.tables:refuse_other_kind"),
    (62, "table leading -", "pipeline.proposal", proposes("--help"), "^has the suffix ''$", "isoform.tables:refuse_other_kind"),
    (62, "table 300 characters", "pipeline.proposal", proposes(f"{LONG}.csv"), "^is no path of a file$", "isoform.integrity:refuse_bad_path"),
    (62, "target ../x", "pipeline.proposal", proposes("rows.csv", "../x"), r"^has no column '\.\./x'$", "isoform.tables:refuse_missing_column"),
    (62, "no such command", "isoform", runs("../x"), r"^argument COMMAND: invalid choice: '\.\./x'", "isoform.arguments:Parser.error"),
    (62, "no such option", "stages.prepare", runs("-m", "stages.prepare", "-x"), "^unrecognized arguments: -x$", "isoform.arguments:Parser.error"),
    (63, "version folder", "isoform predict", linked(NETWORK, PREDICT), "^is a symbolic link$", "isoform.metadata:refuse_linked_folder"),
    (63, "version folder", "isoform inspect", linked(NETWORK, ["inspect", NETWORK]), "^is a symbolic link$", "isoform.metadata:refuse_linked_folder"),
    (63, "version folder", "isoform verify", linked(NETWORK, ["verify", NETWORK]), "^is a symbolic link$", "isoform.metadata:refuse_linked_folder"),
    (63, "version folder", "stages.train_sklearn", linked(FOREST, ["-m", "stages.train_sklearn", "forest"]), "^is a symbolic link$", "pipeline.layout:refuse_linked_folder"),
    (63, "version folder", "stages.validate", linked(FOREST, ["-m", "stages.validate", "sklearn", "forest"]), "^is a symbolic link$", "pipeline.layout:refuse_linked_folder"),
    (64, "device", "isoform inspect", runs("inspect", "/dev/zero"), "^is not a regular file$", "isoform.integrity:refuse_irregular"),
    (64, "folder in the place of rows", "rows: csv", runs("predict", NETWORK, "folder.csv"), "^is not a regular file$", "isoform.integrity:refuse_irregular"),
]  # fmt: skip

FAULTS = [
    Attempt(number=number, title=title, format=place, arrange=arrange, reason=reason, guard=guard, timeout_s=8)
    for number, title, place, arrange, reason, guard in chain(
        *(written(title, name) for title, name in NAMES.items()),
        *(given(title, name) for title, name in NAMES.items() if title != "NUL"),  # which no argument can hold
        *(opened(path, command) for path, command in OPENED.items()),
        OTHERS,
    )
]


def furnish(workspace: Workspace) -> Path:
    """Add rows, a folder in the place of rows and a canary to a workspace, and return its root."""
    pd.DataFrame(workspace.test_rows()[0]).head(5).to_csv(workspace.root / "rows.csv", index=False)
    (workspace.root / "folder.csv").mkdir()
    (workspace.root / "canary").write_text("untouched")
    return workspace.root


@pytest.fixture
def root(workspace: Workspace) -> Path:
    return furnish(workspace)


test_it_is_held, test_it_is_not_held_without_its_guard = both(FAULTS)


def test_a_version_below_a_linked_folder_answers(child: Child, root: Path) -> None:
    linked("models", [])(root)
    outcome = child.attempt(root, PREDICT)
    assert outcome.status == 0, outcome.stderr
    assert finite(outcome)


def outside(root: Path, *command: str) -> Outcome:
    """Run a command in a process of its own, without an audit hook: DVC imports, and starts git."""
    before = snapshot(root)
    try:
        done = subprocess.run(
            command,
            cwd=root,
            env=copies.environment(PYTHONPATH=str(copies.ROOT), PYTHONDONTWRITEBYTECODE="1"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Outcome(0, "", "", [], [], timed_out=True, peak_bytes=0, seconds=60)
    after = snapshot(root)
    changed = sorted(
        name for name in before.keys() | after.keys() if before.get(name) != after.get(name) and not name.startswith(".dvc/")
    )
    return Outcome(done.returncode, done.stdout, done.stderr, [], changed, timed_out=False, peak_bytes=0, seconds=0)


def test_64_a_stage_does_not_wait_at_a_pipe_before_it_begins(root: Path, record: Record) -> None:
    pipe("params.yaml", [])(root)
    outcome = outside(root, sys.executable, "-m", "stages.prepare")
    expect("-", problems(outcome, "^is not a regular file$", "params.yaml"))
    record(64, "FIFO, before the stage begins", "params.yaml", "-", outcome)


@pytest.fixture
def repository(root: Path) -> Path:
    """A repository of DVC with a pipeline of nothing."""
    for command in (["git", "init", "--quiet"], ["dvc", "init", "--quiet"]):
        subprocess.run(command, cwd=root, env=copies.environment(), check=True)
    (root / "dvc.yaml").write_text("stages:\n  one:\n    cmd: 'true'\n    params: [seed]\n")
    (root / "dvc.lock").write_text("schema: '2.0'\nstages:\n  one: {cmd: 'true', params: {params.yaml: {seed: 7}}}\n")
    return root


IRREGULAR = "isoform.staleness:refuse_irregular_files"
STALE = {"dvc.lock": "isoform.integrity:refuse_irregular", "dvc.yaml": IRREGULAR, "params.yaml": IRREGULAR}


@pytest.mark.parametrize("name", STALE)
def test_64_stale_does_not_wait_at_a_pipe(name: str, repository: Path, record: Record) -> None:
    assert outside(repository, "isoform", "stale").status == 0
    pipe(name, [])(repository)
    reason = "^is not a regular file$"
    outcome = outside(repository, "isoform", "stale")
    expect("-", problems(outcome, reason, name))
    record(64, "FIFO", name, "-", outcome)
    unguarded = remotes.run(repository, "isoform", "stale", without=STALE[name], timeout_s=8)
    assert list(problems(unguarded, reason, name)), f"it is held without {STALE[name]}"


EVIL = ["$(rm canary)", "`rm canary`", "a\nrm canary", "a' \"; rm canary; #"]


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Path:
    """A copy of this repository with the workspace's data, in which DVC can run a stage."""
    folder = copies.copy_sources(tmp_path / "checkout")
    for name in ("data", "params.yaml", "canary"):
        (shutil.copytree if (root / name).is_dir() else shutil.copy)(
            root / name, folder / name, **({"dirs_exist_ok": True} if (root / name).is_dir() else {})
        )
    return folder


@pytest.mark.parametrize("key", EVIL)
def test_62_no_key_of_params_yaml_reaches_the_shell_of_dvc(key: str, checkout: Path, record: Record) -> None:
    renamed(key)(checkout)
    outcome = outside(checkout, "dvc", "repro", "--single-item", f"train_sklearn@{key}")
    assert outcome.status != 0
    assert outcome.changed == []
    line = next(line for line in outcome.stderr.splitlines(keepends=True) if line.startswith("error: "))
    assert "a model's name is of a-z" in line
    record(62, f"model's name {key!r}, plain 'dvc repro'", "dvc.yaml", "-", Outcome(2, "", line, [], [], False, 0, 0))


def test_a_key_in_a_command_would_reach_the_shell_of_dvc(checkout: Path) -> None:
    copies.edit(checkout / "dvc.yaml", {'"$DVC_STAGE"': "${key}"})
    renamed(EVIL[0])(checkout)
    assert "canary" in outside(checkout, "dvc", "repro", "--single-item", f"train_sklearn@{EVIL[0]}").changed


def test_no_command_of_the_pipeline_holds_a_parameter() -> None:
    stages = yaml.safe_load((copies.ROOT / "dvc.yaml").read_text())["stages"]
    bodies = {name: stage.get("do", stage) for name, stage in stages.items()}
    assert {name for name, body in bodies.items() if "${" in body["cmd"]} == {"fetch"}
    assert isinstance(stages["fetch"]["foreach"], dict)  # keys and items stand in dvc.yaml itself


def test_python_takes_no_name_of_a_stage_for_an_option(root: Path) -> None:
    done = python("-m", "stages.train_sklearn", "train_sklearn@-x", cwd=root)
    assert "models.sklearn has no '-x'" in done.stderr
