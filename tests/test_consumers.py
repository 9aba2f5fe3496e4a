"""proofs.consumers: what it builds, what it compares, and that it fails where an answer differs."""

import re
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import REPOSITORY, Workspace
from safetensors.numpy import load_file, save_file

from isoform.errors import BadInput, CheckFailed
from proofs import chromium, consumers, replays
from proofs.consumers import check, chosen, judge, size_mb, table, versions
from proofs.replays import BROWSERS, CONSUMERS, Answer, program

HERE = [name for name in CONSUMERS if name not in replays.PROGRAMS]
"""The consumers in the empty environment."""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the empty environment, built from this checkout; beside it lies the wheel."""
    return consumers.empty_environment(tmp_path_factory.mktemp("consumer"))


@pytest.fixture
def prove(environment: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run the proof's command line in the environment that is already there."""
    monkeypatch.setattr(consumers, "empty_environment", lambda _: environment)

    def run(*arguments: str | Path) -> None:
        monkeypatch.setattr(sys, "argv", ["consumers", *map(str, arguments)])
        consumers.main()

    return run


def spoil(golden: dict[str, Any]) -> None:
    """Alter one expected answer."""
    golden["probabilities"][4][0] += 3e-5


# The wheel and the environment


def test_the_wheel_holds_isoform_and_its_schema_alone(environment: Path) -> None:
    (wheel,) = (environment.parent / "dist").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    code = {path.relative_to(REPOSITORY).as_posix() for path in (REPOSITORY / "isoform").rglob("*.py")}
    assert {name for name in names if ".dist-info/" not in name} == code | {"isoform/metadata.schema.json"}


def test_the_sdist_holds_no_half_of_a_test_suite(environment: Path) -> None:
    (sdist,) = (environment.parent / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        folders = {name.split("/")[1] for name in archive.getnames() if name.count("/") > 1}
    assert folders == {"isoform", "isoform.egg-info"}


def test_the_environment_is_small_and_has_nothing_of_the_pipeline(environment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(environment)
    said = capsys.readouterr().err
    assert said.startswith("an empty environment: ")
    assert "isoform, numpy, onnxruntime" in said
    assert re.search(r"\d MB of it needed \(limit 120\)", said)


def test_a_foreign_module_is_named(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "FOREIGN", ["torch", "numpy", "google"])
    with pytest.raises(CheckFailed, match="the base dependencies: bring numpy, google; see dependencies"):
        check(environment)


def test_an_environment_that_is_too_large_is_refused(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumers, "LIMIT_MB", 50)
    with pytest.raises(CheckFailed, match=r"take \d+\.\d MB of at most 50"):
        check(environment)


def test_a_size_counts_every_file_once(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("a", "folder/b"):
        (tmp_path / name).write_bytes(b"x" * 1_500_000)
    assert size_mb(tmp_path) == 3.0


# What each consumer finds


@pytest.mark.parametrize("table", ["text_classes", "numeric", "categorical", "boolean", "regression"])
def test_every_consumer_in_the_environment_gives_the_reference_s_answers(
    table: str, prove: Callable[..., None], published: Callable[[str], Workspace], capsys: pytest.CaptureFixture[str]
) -> None:
    prove(published(table).folder("network"), "--only", *HERE)
    assert re.fullmatch(r"network/v1\.0\.0( +\d\.\de-\d\d| +0){4}", capsys.readouterr().out.splitlines()[1])


def test_a_model_without_tensors_is_asked_for_none(
    prove: Callable[..., None], published: Callable[[str], Workspace], capsys: pytest.CaptureFixture[str]
) -> None:
    prove(published("mixed").folder("forest"), "--only", "safetensors", "predict")
    assert re.fullmatch(r"forest/v1\.0\.0( +\d\.\de-\d\d| +0) +-", capsys.readouterr().out.splitlines()[1])


def test_every_consumer_in_the_environment_finds_an_answer_that_differs(
    prove: Callable[..., None], workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CheckFailed, match="3 of 4 replays failed"):
        prove(workspace.alter_golden("network", spoil), "--only", *HERE)
    said = capsys.readouterr().out
    assert "isoform verify: error: " in said
    assert "isoform predict: the largest difference is 3.0e-05, of 1e-05 allowed" in said
    assert "rows [4] differ" in said


def test_node_and_the_browser_find_an_answer_that_differs(
    prove: Callable[..., None], workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        program(*BROWSERS), program("npm"), replays.check_node()
    except BadInput as error:
        pytest.skip(str(error))
    with pytest.raises(CheckFailed, match="2 of 4 replays failed"):
        prove(workspace.folder("forest"), workspace.alter_golden("network", spoil), "--only", "node", "chromium")
    said = capsys.readouterr().out
    assert said.count("1 differ: row 4 is ") == 2


def test_predict_finds_another_label(environment: Path, workspace: Workspace) -> None:
    def change(golden: dict[str, Any]) -> None:
        golden["label"][2] = 1 - golden["label"][2]

    with replays.predict([], environment) as ask:
        assert ask(workspace.alter_golden("logistic", change)) == Answer(failure="rows [2] have other labels")


def test_a_tensor_that_is_not_model_pt_s_is_named(environment: Path, workspace: Workspace) -> None:
    path = workspace.file("network", "safetensors")
    changed, missing, *_ = [name for name, tensor in load_file(path).items() if tensor.ndim == 2]
    tensors = load_file(path)
    tensors[changed] = np.nextafter(tensors[changed], np.float32(9))
    tensors["stray"] = tensors.pop(missing).copy() + 1
    save_file(tensors, path)
    with replays.tensors([], environment) as ask:
        failure = ask(workspace.folder("network")).failure
    assert failure == f"not as in model.pt: {', '.join(sorted([changed, missing, 'stray']))}"


def test_a_consumer_that_says_nothing_has_failed(environment: Path, workspace: Workspace) -> None:
    workspace.file("network", "onnx").unlink()
    with replays.verify([], environment) as ask:
        assert ask(workspace.folder("network")).failure.startswith("replayed no golden row")


# What is asked, and how it is told


@pytest.mark.parametrize(("difference", "fails"), [(0.0, False), (1e-5, False), (1.1e-5, True), (float("nan"), True)])
def test_no_tolerance_of_golden_json_lifts_the_limit(difference: float, fails: bool) -> None:
    assert bool(judge(Answer(difference)).failure) == fails


def test_versions_are_those_that_have_their_model(workspace: Workspace) -> None:
    workspace.file("forest", "onnx").unlink()
    assert versions(workspace.root) == [workspace.folder("logistic"), workspace.folder("network")]


def test_versions_of_one_name_keep_lines_of_their_own() -> None:
    rows = {Path(f"/x/{place}/models/a/v1"): {"Node": Answer(1e-7), "Chromium": Answer(failure="gone")} for place in "bc"}
    assert table(rows).splitlines() == [
        "                   Node  Chromium",
        "b/models/a/v1   1.0e-07    FAILED",
        "c/models/a/v1   1.0e-07    FAILED",
        "b/models/a/v1, Chromium: gone",
        "c/models/a/v1, Chromium: gone",
    ]


def test_only_the_consumers_that_are_named_are_asked() -> None:
    assert chosen(["isoform", "safe"]) == ["isoform verify", "isoform predict", "safetensors"]
    with pytest.raises(BadInput, match="--only C\\+\\+: names no consumer; give some of: isoform verify"):
        chosen(["C++"])


def test_a_missing_program_is_named_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert chosen(["onnxruntime"]) == ["onnxruntime"]
    with pytest.raises(BadInput, match=r"chromium: not found; \.ci/programs installs it, or: apt-get install"):
        chosen(["chrom"])


def test_a_browser_that_does_not_start_is_named() -> None:
    with pytest.raises(CheckFailed, match=r"/bin/false: does not start \("), chromium.opened("/bin/false"):
        pass


def test_an_old_node_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "node").write_text("#!/bin/sh\necho v18.20.4\n")
    (tmp_path / "node").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BadInput, match=r"node: is v18\.20\.4; install Node\.js 20 or newer"):
        replays.check_node()


def test_a_folder_that_is_no_version_is_refused(prove: Callable[..., None], tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"metadata\.json: no such file; name a published version"):
        prove(tmp_path, "--only", "onnxruntime")
