"""The whole pipeline, run for real by DVC on a sample, in temporary repositories."""

import json
import shutil
from pathlib import Path

import pytest

from proofs import workspace
from proofs.variations import command
from proofs.workspace import commit, edit, get_param, git, lock, ran, run, set_params

SKLEARN, TORCH = ("pipeline_rf", "pipeline_lr"), "simple_classifier"
NETWORK = f"models.torch.{TORCH}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which the sample was built, watched, and committed; `traces` lies beside it."""
    folder = workspace.copy_sources(tmp_path_factory.mktemp("built") / "isoform")
    set_params(folder, workspace.SAMPLE)
    traces = folder.parent / "traces"
    traces.mkdir()
    tracing = {"PYTHONPATH": str(workspace.ROOT / "tests/tracing"), "ISOFORM_TRACE": str(traces)}
    run(folder, "dvc", "repro", PYTHONDONTWRITEBYTECODE="1", **tracing)  # bytecode is written by Python, not by a stage
    commit(folder, "Build the sample")
    return folder


@pytest.fixture
def repository(built: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(built, tmp_path / "isoform", symlinks=True))


def test_a_run_leaves_git_clean_and_nothing_to_do(built: Path) -> None:
    assert git(built, "status", "--porcelain") == ""
    again = run(built, "dvc", "repro")
    assert ran(again) == set()
    assert "up to date" in again


def test_each_stage_imports_reads_and_writes_exactly_what_it_declares(built: Path) -> None:
    for name, stage in lock(built).items():
        trace = _trace(built, name)
        declared = {dep["path"] for dep in stage["deps"]}
        code = {path for path in declared if path.endswith(".py")}
        used = {path for path in trace["modules"] if _has_code(built / path)}
        assert used == code, f"{name}: imports {used - code} undeclared, declares {code - used} unused"
        environment = {"requirements.lock", ".python-version"}
        data = declared - code - environment
        read = {path for path in trace["read"] if not path.endswith((".py", ".pyc")) and not path.startswith(".")}
        read -= {"params.yaml", *environment, *trace["written"]}  # what it wrote itself it may sync
        unread = {path for path in data if not any(file == path or file.startswith(f"{path}/") for file in read)}
        undeclared = {file for file in read if not any(file == path or file.startswith(f"{path}/") for path in data)}
        assert not unread, f"{name} declares and does not read {unread}"
        assert not undeclared, f"{name} reads and does not declare {undeclared}"
        outs = {out["path"] for out in stage["outs"]}
        written = {path for path in trace["written"] if not path.startswith(".scratch/")}
        assert {path for path in written if not any(path == out or path.startswith(f"{out}/") for out in outs)} == set(), name
        assert environment <= declared, f"{name}: a new library, or Python, must rerun it"


def test_each_stage_declares_exactly_the_parameters_it_looks_at(built: Path) -> None:
    for name, stage in lock(built).items():
        declared = set(stage.get("params", {}).get("params.yaml", {}))
        looked_at = [*_trace(built, name)["params"], "reproducibility"]  # which stages/__init__.py reads for each
        leaves = {path for path in looked_at if not any(other.startswith(f"{path}.") for other in looked_at)}
        # The version is part of every path that the stage reads or writes.
        leaves = {path for path in leaves if not path.endswith(".version")}
        undeclared = {leaf for leaf in leaves if not any(f"{leaf}.".startswith(f"{key}.") for key in declared)}
        unused = {key for key in declared if not any(f"{path}.".startswith(f"{key}.") for path in looked_at)}
        assert not undeclared, f"{name} looks at {undeclared}, which dvc.yaml does not declare"
        assert not unused, f"{name} declares {unused} and does not look at them"


def test_the_network_reruns_alone_and_comes_back_from_the_run_cache(repository: Path) -> None:
    hidden = get_param(repository, f"{NETWORK}.hyperparameters.network.hidden")
    set_params(repository, {f"{NETWORK}.hyperparameters.network.hidden": hidden + 8})
    assert {stage.split("@")[-1] for stage in ran(run(repository, "dvc", "repro"))} == {TORCH}
    set_params(repository, {f"{NETWORK}.hyperparameters.network.hidden": hidden})
    back = run(repository, "dvc", "repro")
    assert f"Stage 'train_torch@{TORCH}' is cached" in back
    assert not any(stage.startswith(("train_", "export_", "convert_")) for stage in ran(back))
    assert git(repository, "status", "--porcelain") == ""


def test_another_number_of_rows_and_back_prepares_nothing_twice(repository: Path) -> None:
    set_params(repository, {"data.rows": 1500})
    run(repository, "dvc", "repro", "prepare")
    set_params(repository, {"data.rows": 2000})
    assert "prepare" not in ran(run(repository, "dvc", "repro", "prepare"))


def test_an_empty_clone_is_built_to_the_same_bytes(built: Path) -> None:
    assert "the same bytes: " in run(built, "python", "-m", "proofs.reproduce")


def test_metrics_line_up_across_a_change_of_epochs_and_of_version(repository: Path) -> None:
    version = get_param(repository, f"{NETWORK}.version")
    set_params(repository, {f"{NETWORK}.version": "9.9.9", f"{NETWORK}.hyperparameters.training.epochs": 3})
    git(repository, "switch", "--quiet", "--create", "change")
    assert not any(stage.endswith(SKLEARN) for stage in ran(run(repository, "dvc", "repro")))
    table = run(repository, "dvc", "metrics", "diff", "--md", "main")
    rows = [line for line in table.splitlines() if f"reports/{TORCH}/metrics.json" in line]
    assert any("roc_auc.value" in line for line in rows)
    assert not any(" - " in line for line in rows), f"a metric without a counterpart:\n{table}"
    assert "epochs" in run(repository, "dvc", "params", "diff", "main")
    kept = run(repository, "python", "-m", "pipeline.keep")
    assert f"models/{TORCH}/v{version}/model.onnx" in kept
    commit(repository, "Release 9.9.9")
    summary = run(repository, "python", "-m", "pipeline.review", "main")
    assert "roc_auc.value" in summary
    assert "hyperparameters.training.epochs" in summary
    run(repository, "dvc", "push")
    clone = _clone(repository, "later")
    run(clone, "dvc", "pull")
    assert run(clone, "isoform", "verify", "--trust-pickle").endswith("4 versions, no bad files\n")


def test_a_clone_reviews_metrics_parameters_and_plots_from_git_alone(built: Path) -> None:
    clone = _clone(built, "reviewer")
    assert "roc_auc" in run(clone, "dvc", "metrics", "show", "--md")
    run(clone, "dvc", "plots", "show", "--json")
    shown = json.loads(run(clone, "dvc", "plots", "show", "--json"))
    assert {Path(name).name for name in shown["data"]} >= {
        "roc.csv",
        "precision_recall.csv",
        "calibration.csv",
        "confusion.csv",
        "loss.csv",
    }
    assert "dvc.lock is what this commit gives" in run(clone, "isoform", "stale")


def test_models_travel_by_push_and_pull_and_a_flipped_byte_is_refused(built: Path) -> None:
    run(built, "dvc", "push")
    clone = _clone(built, "colleague")
    run(clone, "dvc", "pull")
    assert run(clone, "isoform", "verify").endswith("3 versions, no bad files\n")
    path = _network_folder(built) / "model.safetensors"
    model = clone / path
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    model.chmod(0o644)
    model.write_bytes(data)
    refused = run(clone, "isoform", "verify", status=1)
    assert refused.count("error: ") == 1
    assert f"error: {path}: sha256 is " in refused


def test_a_table_of_ones_own_is_tracked_restored_and_built(repository: Path) -> None:
    table = repository / "data/raw/mine.csv"
    rows = [f"{i % 7},{'ab'[i % 2]} č,{('no', 'yes', 'maybe')[i % 3]}" for i in range(300)]
    table.write_text("\n".join(["n,c,answer", *rows]) + "\n")
    run(repository, "dvc", "add", "data/raw/mine.csv")
    set_params(repository, {"data.source": "data/raw/mine.csv", "data.target": "answer", "data.rows": 0})
    set_params(repository, {"data.numeric": ["n"], "data.categorical": ["c"]})
    run(repository, "dvc", "repro")
    commit(repository, "Bring a table")
    table.unlink()
    run(repository, "dvc", "checkout")
    assert table.exists()
    assert git(repository, "status", "--porcelain") == ""
    assert run(repository, "isoform", "verify", "--trust-pickle").endswith("3 versions, no bad files\n")
    assert '"maybe"' in (repository / _network_folder(repository) / "config.json").read_text()


def test_a_wrong_converter_publishes_nothing(repository: Path) -> None:
    exporter = repository / "pipeline/onnx_torch.py"
    edit(exporter, {"self.task)": "self.task).flip(1)"})
    output = run(repository, "dvc", "repro", status=255)
    assert "error: format 'onnx', test row " in output
    assert "nothing was published" in output
    assert not (repository / _network_folder(repository) / "metadata.json").exists()
    edit(exporter, {"self.task).flip(1)": "self.task)"})
    run(repository, "dvc", "repro")
    assert git(repository, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("models.sklearn.pipeline_rf.hyperparameters.max_depth", 3, "parameter models.sklearn.pipeline_rf.hyperparameters was"),
        ("onnx.opset", 20, "parameter onnx was"),
        (f"{NETWORK}.version", "9.9.9", "v9.9.9/model.pt is newly declared"),
    ],
)
def test_a_parameter_that_dvc_lock_does_not_have_is_named(
    built: Path, tmp_path: Path, key: str, value: object, reason: str
) -> None:
    clone = _copy_without_data(built, tmp_path)
    set_params(clone, {key: value})
    assert reason in run(clone, "isoform", "stale", status=1)


@pytest.mark.parametrize(
    ("path", "old", "new", "reason"),
    [
        ("pipeline/plots.py", "BINS = 10", "BINS = 11", "dependency pipeline/plots.py has changed"),
        ("requirements.lock", "torch==", "# torch==", "dependency requirements.lock has changed"),
        ("dvc.yaml", "cmd: exec python -m stages.prepare", "cmd: exec python -B -m stages.prepare", "dvc.yaml says"),
        (
            "dvc.yaml",
            "params: [seed, reproducibility, data]",
            "params: [reproducibility, data]",
            "parameter seed is no longer declared",
        ),
        ("dvc.yaml", "synthetic: data/raw/synthetic", "another: data/raw/another", "fetch@another: is not in dvc.lock"),
        ("reports/pipeline_rf/metrics.json", '"value": 0.', '"value": 1.', "output reports/pipeline_rf/metrics.json has changed"),
    ],
)
def test_a_stale_lock_is_named(built: Path, tmp_path: Path, path: str, old: str, new: str, reason: str) -> None:
    clone = _copy_without_data(built, tmp_path)
    edit(clone / path, {old: new})
    assert reason in run(clone, "isoform", "stale", status=1)


def _copy_without_data(built: Path, tmp_path: Path) -> Path:
    return Path(
        shutil.copytree(built, tmp_path / "clone", ignore=shutil.ignore_patterns("cache", "*.parquet", "*.joblib", "*.pt"))
    )


def _network_folder(repository: Path) -> Path:
    return Path("models", TORCH, f"v{get_param(repository, f'{NETWORK}.version')}")


def _trace(built: Path, stage: str) -> dict[str, list[str]]:
    arguments = command(lock(built), stage).split()[3:]
    name = "-".join(argument.replace("/", "_") for argument in arguments)
    trace: dict[str, list[str]] = json.loads((built.parent / "traces" / f"{name}.json").read_text())
    return trace


def _has_code(path: Path) -> bool:
    """Tell whether a module is more than a docstring, which decides no result."""
    import ast

    return any(
        not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in ast.parse(path.read_text()).body
    )


def _clone(repository: Path, name: str) -> Path:
    folder = repository.parent / name
    git(repository, "clone", "--quiet", str(repository), str(folder))
    return folder
