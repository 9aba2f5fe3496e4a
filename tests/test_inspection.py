"""isoform.inspect: what a file holds, said without running or believing it."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from builders import CASES, MODELS, Workspace
from safetensors.torch import save

from isoform.errors import BadInput, CheckFailed, IsoformError
from isoform.formats import FORMATS
from isoform.inspection import inspect, size_text
from isoform.integrity import sha256


def lines(path: Path) -> list[str]:
    return list(inspect(path))


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1250, "1.2 kB"),
        (999_900, "999.9 kB"),
        (1_000_000, "1.0 MB"),
        (8_600_000_000, "8600.0 MB"),
    ],
)
def test_sizes_are_decimal(size_bytes: int, text: str) -> None:
    assert size_text(size_bytes) == text


@pytest.mark.parametrize("model", MODELS)
def test_a_version_tells_its_metrics_its_files_and_its_inputs(model: str, published: Callable[[str], Workspace]) -> None:
    workspace = published("mixed")
    found = lines(workspace.folder(model))
    document = workspace.metadata(model)
    assert found[0] == f"{model} 1.0.0  {document.framework}  created 2026-01-02T03:04:05Z"
    text = "\n".join(found)
    assert all(f"  {name:<12} {metric.value:.4f}" in text for name, metric in document.metrics.items())
    assert all(f"{entry.path:<18}" in text and entry.sha256[:12] in text for entry in document.files.values())
    assert "ONNX IR 10, opset ai.onnx 18" in text
    assert "  operators  Add, ArgMax, " in text or "  operators  ArgMax, " in text
    assert "  input   n0                   tensor(float)[N, 1]" in found
    assert "  input   c1                   tensor(string)[N, 1]" in found
    assert "  output  probabilities        tensor(float)[N, 2]" in found
    assert "not here" not in text


def test_a_file_that_was_not_pulled_is_marked(workspace: Workspace) -> None:
    workspace.file("forest", "onnx").unlink()
    found = [line for line in lines(workspace.folder("forest")) if "not here: dvc pull" in line]
    assert len(found) == 1
    assert "model.onnx" in found[0]


@pytest.mark.parametrize(("model", "name"), CASES)
def test_a_file_tells_its_size_and_hash(model: str, name: str, published: Callable[[str], Workspace]) -> None:
    path = published("mixed").file(model, name)
    data = path.read_bytes()
    assert lines(path)[0] == f"{path}  {size_text(len(data))}  sha256 {sha256(data)}"
    assert len(lines(path)) > 1


def test_safetensors_lists_its_tensors(published: Callable[[str], Workspace]) -> None:
    found = lines(published("mixed").file("network", "safetensors"))
    assert "  tensor  net.0.weight                 F32 [8, 8]" in found
    assert any(line.startswith("  metadata  ") for line in found)


@pytest.mark.parametrize(
    "suffix", sorted({Path(entry.filename).suffix for entry in FORMATS.values()} - {".onnx", ".safetensors"})
)
def test_a_pickle_is_never_opened(suffix: str, tmp_path: Path) -> None:
    class Canary:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.mkdir, (tmp_path / "canary",)

    path = tmp_path / f"model{suffix}"
    path.write_bytes(pickle.dumps(Canary()))
    assert lines(path)[1:] == ["  a pickle stream, which is a program: not opened"]
    torch.save(Canary(), path)
    assert lines(path)[1:] == ["  a pickle stream, which is a program: not opened"]
    assert not (tmp_path / "canary").exists()


def header(content: Any) -> bytes:
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"1234567",
        b"\xff" * 8,
        header(b"{"),
        header(b"[" * 100_000),
        header([]),
        header(5),
        header(None),
        header(b'{"a": ' + b"9" * 10_000 + b"}"),
        header(b"\xff\xfe"),
        b"\xff" * 7 + b"\x7f" + b"{}",
    ],
    ids=range(11),
)
def test_what_is_no_safetensors_file_is_one_line(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(data)
    with pytest.raises(CheckFailed, match="is not safetensors"):
        lines(path)


@pytest.mark.parametrize("data", [b"", b"not a model", b"\0" * 100, b"\xff" * 100, b"\x08\x0a"], ids=range(5))
def test_what_is_no_onnx_file_is_one_line(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(IsoformError, match=r"is not ONNX|is cut|IR version None|onnxruntime cannot read it") as caught:
        lines(path)
    assert len(str(caught.value)) < 1000


def test_an_onnx_file_cannot_make_another_file_read(published: Callable[[str], Workspace], tmp_path: Path) -> None:
    model = onnx.load_model_from_string(published("mixed").file("network", "onnx").read_bytes())
    tensor = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    (tmp_path / "secret").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", str(tmp_path / "secret")
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(CheckFailed, match=r"keeps the data of '.*' elsewhere"):
        lines(tmp_path / "model.onnx")


@pytest.mark.parametrize("name", ["\x1b[2Jcleared", "two\nlines", "\u202ereversed", "\x9b31m"])
def test_names_in_a_hostile_file_cannot_steer_the_terminal(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(save({name: torch.zeros(1)}))
    assert all(line.isprintable() for line in lines(path))


def test_a_lone_surrogate_in_a_hostile_file_can_be_printed(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(header(b'{"\\ud800": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}'))
    "\n".join(lines(path)).encode()


def test_names_in_hostile_metadata_cannot_steer_the_terminal(workspace: Workspace) -> None:
    path = workspace.folder("forest") / "metadata.json"
    document = json.loads(path.read_bytes()) | {"framework": "\x1b[2Jcleared"}
    path.write_text(json.dumps(document))
    assert all(line.isprintable() for line in lines(workspace.folder("forest")))


@pytest.mark.parametrize("name", ["model.txt", "model", "metadata.json"])
def test_a_file_of_another_kind_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(BadInput, match="give a version folder or a model file"):
        lines(tmp_path / name)


def test_a_missing_file_and_a_folder_that_is_no_version_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        lines(tmp_path / "absent.onnx")
    with pytest.raises(BadInput, match=r"has no metadata\.json"):
        lines(tmp_path)
