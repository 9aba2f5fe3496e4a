"""pipeline.publishing and stages.validate: what is published is complete, and what disagrees is not published."""

import contextlib
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from builders import CASES, MODELS, SEED, Workspace, settings
from hypothesis import given
from hypothesis import strategies as st

from isoform.errors import BadInput, CheckFailed, IsoformError
from isoform.formats import full_model, state_dict
from isoform.formats import onnx as onnx_format
from isoform.integrity import sha256
from isoform.loading import read_golden
from isoform.metadata import Metadata
from isoform.networks import build
from isoform.rows import take
from isoform.verification import rows_of
from pipeline import determinism, parity, publishing
from pipeline.publishing import FORMATS_OF, WRITTEN_BY, golden_rows, short

TABLE_FILES = ("roc.csv", "precision_recall.csv", "calibration.csv", "confusion.csv", "residuals.csv")


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_short_number_is_the_same_float32(value: float) -> None:
    assert np.float32(short(np.float32(value))).tobytes() == np.float32(value).tobytes()


def test_a_short_number_has_no_digits_of_float64() -> None:
    assert [repr(short(np.float32(value))) for value in (0.1, 1 / 3, 16777216)] == ["0.1", "0.33333334", "16777216.0"]


def test_golden_rows_are_seeded_rows_and_three_made_ones(published: Callable[[str], Workspace]) -> None:
    workspace = published("mixed")
    columns, config = workspace.test_rows()[0], workspace.config("forest")
    found = golden_rows(columns, config, 3, SEED)
    again = golden_rows(columns, config, 3, SEED)
    drawn = take(columns, parity.sample(columns, 3, SEED))
    for name in columns:
        np.testing.assert_array_equal(found[name], again[name])
        np.testing.assert_array_equal(found[name][:3], drawn[name])
    assert len(found["n0"]) == 6
    assert np.isnan(found["n0"][3])
    assert found["n0"][5] == np.float32(1e30)
    assert found["c0"][3] == ""
    assert found["c0"][4] not in config.categories["c0"]


@pytest.mark.parametrize("table", ["mixed", "text_classes", "numeric", "categorical"])
@pytest.mark.parametrize("model", MODELS)
def test_golden_holds_raw_rows_and_the_references_answers(table: str, model: str, published: Callable[[str], Workspace]) -> None:
    workspace = published(table)
    golden = read_golden(workspace.folder(model), workspace.metadata(model))
    config = workspace.config(model)
    reference = parity.REFERENCE[MODELS[model]]  # type: ignore[index]
    from isoform.formats import open_format

    determinism.seed_torch(SEED, threads=1)  # golden.json's bits are those of `validate`, which holds torch to its kernels
    module = open_format(reference)
    native = module.load(workspace.file(model, reference).read_bytes(), config)
    expected = module.infer(native, rows_of(golden, config), config)
    assert np.array(golden.probabilities, dtype=np.float32).tobytes() == expected.tobytes()
    assert golden.label == [config.classes[i] for i in expected.argmax(axis=1)]
    assert golden.columns == [*config.numeric, *config.categorical]
    assert golden.tolerance == 1e-5


@pytest.mark.parametrize("model", MODELS)
def test_metadata_describes_every_file_of_the_version(model: str, published: Callable[[str], Workspace]) -> None:
    workspace = published("mixed")
    found = workspace.metadata(model)
    names = {entry.path for entry in found.files.values()} | {"metadata.json"}
    on_disk = {path.name for path in workspace.folder(model).iterdir()}
    assert names == {name for name in on_disk if name != "history.csv" and not name.endswith(".sha256")}
    for entry in found.files.values():
        data = (workspace.folder(model) / entry.path).read_bytes()
        assert (entry.bytes, entry.sha256) == (len(data), sha256(data))
    assert list(found.files) == [*FORMATS_OF[MODELS[model]], "config", "golden"]  # type: ignore[index]


@pytest.mark.parametrize("model", MODELS)
def test_metadata_tells_how_far_each_format_lay_from_the_reference(model: str, published: Callable[[str], Workspace]) -> None:
    workspace = published("mixed")
    found = workspace.metadata(model).files
    reference = parity.REFERENCE[MODELS[model]]  # type: ignore[index]
    for name in FORMATS_OF[MODELS[model]]:  # type: ignore[index]
        entry = found[name].parity
        if name == reference:
            assert entry is None
            continue
        assert entry is not None
        assert (entry.reference, entry.label_flips, entry.rows, entry.batches) == (reference, 0, 60, [1, 7])
        assert entry.max_difference <= entry.tolerance == (0 if name in parity.EXACT else 1e-5)
    assert found["config"].parity is None


def test_metadata_holds_what_the_document_asks_for(published: Callable[[str], Workspace]) -> None:
    workspace = published("text_classes")
    found = workspace.metadata("network")
    schema = workspace.schema()
    assert (found.model_name, found.version, found.framework) == ("network", "1.0.0", "pytorch")
    assert found.created_at == "2026-01-02T03:04:05Z"
    assert found.metrics.keys() == {"accuracy", "f1", "roc_auc", "log_loss", "brier"}
    assert found.training_config["seed"] == SEED
    assert found.training_config["hyperparameters"] == settings("mixed")["models"]["torch"]["network"]["hyperparameters"]
    assert [(entry.name, entry.shape, entry.dtype) for entry in found.input_schema] == [
        *((name, [None, 1], "float32") for name in schema.numeric),
        *((name, [None, 1], "string") for name in schema.categorical),
    ]
    assert [(entry.name, entry.shape, entry.dtype) for entry in found.output_schema] == [
        ("label", [None], "string"),
        ("probabilities", [None, 3], "float32"),
    ]
    assert (found.data.train_rows, found.data.test_rows) == (240, 60)
    assert (found.data.train_sha256, found.data.test_sha256) == (schema.train_sha256, schema.test_sha256)


@pytest.mark.parametrize("kind", ["sklearn", "torch"])
def test_the_environment_names_platform_and_libraries(kind: Any, published: Callable[[str], Workspace]) -> None:
    found = publishing.describe_environment(kind, published("mixed").read_params())
    assert {"platform", "python", "numpy", "onnx", "onnxruntime"} <= found.keys()
    assert found["platform"] == "Linux x86_64 with AVX2"
    assert re.fullmatch(r"3\.\d+", found["python"])
    assert not any("+" in version for version in found.values())


def test_a_document_that_a_reader_would_refuse_is_not_built(published: Callable[[str], Workspace]) -> None:
    workspace = published("mixed")
    settings = workspace.read_params()
    arguments: dict[str, Any] = {"contents": {}, "parities": {}}
    config, schema = workspace.config("forest"), workspace.schema()
    assert isinstance(publishing.build_metadata("sklearn", config, settings, schema, metrics={}, **arguments), Metadata)
    with pytest.raises((ValueError, IsoformError), match="f1"):
        publishing.build_metadata("sklearn", config, settings, schema, metrics={"f1": 0.5}, **arguments)  # type: ignore[dict-item]


def swapped(data: bytes) -> bytes:
    """Return the model with the two columns of its probabilities exchanged."""
    model = onnx.load_model_from_string(data)
    last = next(node for node in model.graph.node if node.output[0] == "probabilities")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 0]), "/swap"))
    last.op_type = "Gather"
    last.input.append("/swap")
    last.attribute.append(onnx.helper.make_attribute("axis", 1))
    return onnx_format.dump(model)


def mislabelled(data: bytes) -> bytes:
    """Return the model with the right probabilities and the classes in the wrong order."""
    model = onnx.load_model_from_string(data)
    classes = next(constant for constant in model.graph.initializer if constant.name == "/answer/classes")
    classes.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(classes)[::-1].copy(), classes.name))
    return onnx_format.dump(model)


def infinite(data: bytes) -> bytes:
    """Return the model without the node that turns infinity into a missing number: no held-out row shows it."""
    model = onnx.load_model_from_string(data)
    node = next(node for node in model.graph.node if node.op_type == "Where" and "/rows/nan" in node.input)
    node.op_type, node.input[:] = "Identity", [node.input[2]]
    return onnx_format.dump(model)


def untrained(workspace: Workspace) -> Any:
    return build(workspace.config("network").network).eval()


SABOTAGES: dict[str, tuple[str, str, Callable[[Workspace], bytes]]] = {
    "the model of another name": ("forest", "onnx", lambda w: w.file("logistic", "onnx").read_bytes()),
    "columns exchanged": ("logistic", "onnx", lambda w: swapped(w.file("logistic", "onnx").read_bytes())),
    "columns exchanged in a network": ("network", "onnx", lambda w: swapped(w.file("network", "onnx").read_bytes())),
    "a row policy that lets infinity through": ("network", "onnx", lambda w: infinite(w.file("network", "onnx").read_bytes())),
    "labels exchanged": ("forest", "onnx", lambda w: mislabelled(w.file("forest", "onnx").read_bytes())),
    "another pickle": ("forest", "pickle", lambda w: w.file("logistic", "pickle").read_bytes()),
    "other weights": ("network", "full_model", lambda w: full_model.dump(untrained(w))),
    "another reference": ("network", "state_dict", lambda w: state_dict.dump(untrained(w).state_dict())),
}


@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_a_format_that_answers_otherwise_is_refused_and_nothing_is_published(sabotage: str, workspace: Workspace) -> None:
    model, name, change = SABOTAGES[sabotage]
    workspace.write(model, name, change(workspace))
    with pytest.raises(CheckFailed, match=r"format '.*', test row \d+( with .*)?: (answers|its label) .*nothing was published"):
        workspace.validate(model)
    assert not (workspace.folder(model) / "metadata.json").exists()


@pytest.mark.parametrize("name", FORMATS_OF["torch"])
def test_a_damaged_format_is_one_line_and_nothing_is_published(name: str, workspace: Workspace) -> None:
    workspace.write("network", name, workspace.file("network", name).read_bytes()[:500])
    with pytest.raises(IsoformError, match=rf"format '{name}': .+; correct its exporter; nothing was published"):
        workspace.validate("network")
    assert not (workspace.folder("network") / "metadata.json").exists()


@pytest.mark.parametrize(("model", "name"), CASES)
def test_a_file_that_is_not_the_one_its_stage_recorded_is_refused_unparsed(model: str, name: str, workspace: Workspace) -> None:
    path = workspace.file(model, name)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckFailed, match=rf"{path.name}: sha256 is \w{{12}}…, {WRITTEN_BY[name]}\.sha256 says \w{{12}}…;"):
        workspace.validate(model)
    with pytest.raises(CheckFailed) if name in ("joblib", "state_dict") else contextlib.nullcontext():
        workspace.convert(model)


@pytest.mark.parametrize("name", FORMATS_OF["sklearn"])
def test_a_missing_format_is_refused_and_nothing_is_published(name: str, workspace: Workspace) -> None:
    workspace.file("forest", name).unlink()
    with pytest.raises(IsoformError, match="no such file"):
        workspace.validate("forest")
    assert not (workspace.folder("forest") / "metadata.json").exists()


def test_held_out_rows_that_changed_are_refused_and_nothing_is_published(workspace: Workspace) -> None:
    path = workspace.root / "data" / "prepared" / "test.parquet"
    path.write_bytes((workspace.root / "data" / "prepared" / "train.parquet").read_bytes())
    with pytest.raises(CheckFailed, match="sha256 is"):
        workspace.validate("forest")
    assert not (workspace.folder("forest") / "metadata.json").exists()


@pytest.mark.parametrize("model", MODELS)
def test_publishing_again_writes_the_same_bytes(model: str, workspace: Workspace) -> None:
    folders = [workspace.folder(model), workspace.root / "reports" / model]
    before = {path: path.read_bytes() for folder in folders for path in folder.iterdir()}
    workspace.validate(model)
    assert {path: path.read_bytes() for folder in folders for path in folder.iterdir()} == before


def test_a_publishing_that_breaks_off_publishes_nothing(workspace: Workspace) -> None:
    (workspace.folder("forest") / "golden.json").unlink()
    (workspace.folder("forest") / "golden.json").mkdir()
    with pytest.raises(BadInput, match=r"golden\.json: cannot be written"):
        workspace.validate("forest")
    assert not (workspace.folder("forest") / "metadata.json").exists()


@pytest.mark.parametrize("model", MODELS)
def test_metadata_is_written_last(model: str, workspace: Workspace) -> None:
    times = {path.name: path.stat().st_mtime_ns for path in workspace.folder(model).iterdir()}
    workspace.validate(model)
    after = {path.name: path.stat().st_mtime_ns for path in workspace.folder(model).iterdir()}
    written = sorted((after[name], name) for name in after if after[name] != times[name])
    assert [name for _, name in written] == ["config.json", "golden.json", "metadata.json"]


@pytest.mark.parametrize("model", MODELS)
def test_reports_hold_the_metrics_and_the_tables_behind_the_plots(model: str, published: Callable[[str], Workspace]) -> None:
    workspace = published("mixed")
    folder = workspace.root / "reports" / model
    more = {"loss.csv"} if MODELS[model] == "torch" else set()
    assert {path.name for path in folder.iterdir()} == {"metrics.json", *TABLE_FILES, *more}
    raw = json.loads((workspace.folder(model) / "metadata.json").read_bytes())
    assert json.loads((folder / "metrics.json").read_bytes()) == raw["metrics"]
    for name in TABLE_FILES:
        header, *rows = (folder / name).read_text().splitlines()
        assert all(row.count(",") == header.count(",") for row in rows)


def test_accuracy_is_that_of_the_published_model_on_the_held_out_rows(published: Callable[[str], Workspace]) -> None:
    from isoform import load

    workspace = published("mixed")
    columns, labels = workspace.test_rows()
    for model in MODELS:
        found = (load(workspace.folder(model)).predict(columns) == labels).mean()
        assert workspace.metadata(model).metrics["accuracy"].value == pytest.approx(found, abs=1e-6)
