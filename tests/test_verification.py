"""isoform.verify: every hash, and the golden rows in every format that can be opened here."""

import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from builders import MODELS, Workspace
from onnx import numpy_helper

from isoform.errors import BadInput, CheckFailed
from isoform.formats import FORMATS
from isoform.metadata import to_json
from isoform.verification import Finding, rows_of, verify
from pipeline.publishing import FORMATS_OF


def findings(workspace: Workspace, model: str, **options: Any) -> dict[str, Finding]:
    return {finding.name: finding for finding in verify(workspace.folder(model), **options)}


def bad(found: dict[str, Finding]) -> list[str]:
    return [name for name, finding in found.items() if not finding.ok]


@pytest.mark.parametrize("table", ["mixed", "text_classes", "numeric", "categorical"])
@pytest.mark.parametrize("model", MODELS)
def test_a_published_version_is_good_in_every_format(table: str, model: str, published: Callable[[str], Workspace]) -> None:
    found = findings(published(table), model, trust_pickle=True)
    assert not bad(found)
    assert list(found) == [*FORMATS_OF[MODELS[model]], "config", "golden"]  # type: ignore[index]
    assert all("golden rows replayed" in found[name].text for name in found if name in FORMATS)


def test_formats_that_unpickle_are_only_hashed_without_trust(published: Callable[[str], Workspace]) -> None:
    found = findings(published("mixed"), "forest")
    assert found["joblib"].text == "hash ok, not replayed: it unpickles (add --trust-pickle)"
    assert "6 golden rows replayed" in found["onnx"].text


@pytest.mark.parametrize("name", ["state_dict", "full_model", "checkpoint", "safetensors", "onnx"])
def test_a_flipped_byte_is_found(name: str, workspace: Workspace) -> None:
    path = workspace.file("network", name)
    data = bytearray(path.read_bytes())
    data[-1] ^= 0x80
    path.write_bytes(data)
    found = findings(workspace, "network")
    assert bad(found) == [name]
    assert found[name].text.startswith(f"{path}: sha256 is ")


@pytest.mark.parametrize("document", ["config", "golden"])
def test_a_changed_document_is_found_before_any_model_is_read(document: str, workspace: Workspace) -> None:
    path = workspace.folder("forest") / f"{document}.json"
    path.write_text(path.read_text().swapcase())
    found = findings(workspace, "forest")
    assert bad(found) == list(found) == ["config"]
    assert document in found["config"].text
    assert f"{document}.json: sha256 is" in found["config"].text


def test_a_missing_file_is_bad_unless_only_those_present_are_asked_for(workspace: Workspace) -> None:
    workspace.file("network", "checkpoint").unlink()
    found = findings(workspace, "network")
    assert bad(found) == ["checkpoint"]
    assert "no such file; run 'dvc pull'" in found["checkpoint"].text
    found = findings(workspace, "network", present_only=True)
    assert not bad(found)
    assert found["checkpoint"].text == "absent"


def test_a_missing_document_is_refused_even_so(workspace: Workspace) -> None:
    (workspace.folder("forest") / "golden.json").unlink()
    found = findings(workspace, "forest", present_only=True)
    assert "golden.json: no such file" in found["config"].text


def test_the_model_of_another_name_is_found_by_its_answers(workspace: Workspace) -> None:
    workspace.replace("forest", "onnx", workspace.file("logistic", "onnx").read_bytes())
    found = findings(workspace, "forest")
    assert bad(found) == ["onnx"]
    assert f"{workspace.file('forest', 'onnx')}: golden rows differ by 0." in found["onnx"].text


def test_a_model_that_answers_nan_is_found(workspace: Workspace) -> None:
    model = onnx.load_model_from_string(workspace.file("logistic", "onnx").read_bytes())
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > 1:
            tensor.CopyFrom(numpy_helper.from_array(values * np.float32("nan"), tensor.name))
    for node in model.graph.node:
        for attribute in node.attribute:
            attribute.floats[:] = [float("nan")] * len(attribute.floats)
    workspace.replace("logistic", "onnx", model.SerializeToString())
    assert bad(findings(workspace, "logistic")) == ["onnx"]


def test_a_model_with_other_inputs_is_found(workspace: Workspace, published: Callable[[str], Workspace]) -> None:
    workspace.replace("forest", "onnx", published("categorical").file("forest", "onnx").read_bytes())
    assert bad(findings(workspace, "forest")) == ["onnx"]


def test_a_model_with_other_classes_is_found(workspace: Workspace, published: Callable[[str], Workspace]) -> None:
    workspace.replace("forest", "onnx", published("text_classes").file("forest", "onnx").read_bytes())
    assert bad(findings(workspace, "forest")) == ["onnx"]


def test_a_file_that_is_no_model_is_found(workspace: Workspace) -> None:
    workspace.replace("network", "safetensors", b"not a model")
    found = findings(workspace, "network")
    assert bad(found) == ["safetensors"]
    assert "says that its header has" in found["safetensors"].text


def edit_golden(workspace: Workspace, change: Callable[[Any], None]) -> None:
    document = json.loads((workspace.folder("forest") / "golden.json").read_bytes())
    change(document)
    workspace.replace("forest", "golden", json.dumps(document).encode())


def test_golden_answers_that_differ_are_found(workspace: Workspace) -> None:
    edit_golden(workspace, lambda golden: golden["probabilities"][1].reverse())
    assert bad(findings(workspace, "forest", trust_pickle=True)) == ["joblib", "pickle", "onnx"]


def test_classes_in_another_order_are_found_in_every_format(workspace: Workspace) -> None:
    document = json.loads((workspace.folder("network") / "config.json").read_bytes())
    document["classes"].reverse()
    workspace.replace("network", "config", json.dumps(document).encode())
    found = findings(workspace, "network")
    assert {"safetensors", "onnx"} <= set(bad(found))
    assert "6 labels differ" in found["onnx"].text


@pytest.mark.parametrize(
    "change",
    [
        lambda golden: golden["probabilities"].pop(),
        lambda golden: golden["probabilities"][0].append(0.5),
        lambda golden: golden["rows"].pop(),
        lambda golden: golden["rows"][0].pop(),
        lambda golden: golden["columns"].pop(),
        lambda golden: golden["rows"][0].__setitem__(0, "text"),
    ],
)
def test_golden_rows_of_another_shape_are_one_line(workspace: Workspace, change: Callable[[Any], None]) -> None:
    edit_golden(workspace, change)
    try:
        found = findings(workspace, "forest")
    except (BadInput, CheckFailed):
        return
    assert bad(found) == ["onnx"]


def test_a_library_that_is_missing_is_neither_good_nor_bad(
    monkeypatch: pytest.MonkeyPatch, published: Callable[[str], Workspace]
) -> None:
    for loaded in [entry for entry in sys.modules if entry.startswith(("isoform.formats.", "isoform.networks", "torch."))]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, "torch", None)
    found = findings(published("mixed"), "network")
    assert not bad(found)
    assert found["state_dict"].text == "hash ok, not replayed: needs torch, which is not installed (pip install 'isoform[torch]')"
    assert "golden rows replayed" in found["onnx"].text


def test_a_folder_that_is_no_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"has no metadata\.json"):
        list(verify(tmp_path))


def test_golden_rows_are_canonical_columns(published: Callable[[str], Workspace]) -> None:
    workspace = published("mixed")
    golden = json.loads((workspace.folder("forest") / "golden.json").read_bytes())
    from isoform.loading import read_golden

    read = read_golden(workspace.folder("forest"), workspace.metadata("forest"))
    assert json.loads(to_json(read)) == golden
    columns = rows_of(read, workspace.config("forest"))
    assert list(columns) == golden["columns"]
    assert columns["c0"].tolist() == [row[4] for row in golden["rows"]]


def test_a_finding_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Finding("onnx", "").text = "other"  # type: ignore[misc]
