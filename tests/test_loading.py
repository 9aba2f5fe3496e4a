"""isoform.load: verify first, then parse what was verified, and unpickle only what was asked for by name."""

import dataclasses
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from builders import CASES, MODELS, REPOSITORY, Workspace, dumpable, python

import isoform
from isoform import load, metadata
from isoform.errors import BadInput, CheckFailed, IsoformError
from isoform.formats import FORMATS, open_format
from isoform.integrity import sha256
from isoform.labels import labels
from isoform.rows import Columns
from isoform.verification import verify

SAFE_TORCH = ["onnx", "safetensors", "state_dict", "checkpoint"]
UNPICKLING = [(model, name) for model, name in CASES if not FORMATS[name].safe]


class Canary:
    """Unpickled, it leaves a folder behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.path,)


def canary_bytes(name: str, path: Path) -> bytes:
    """Return a file of the format that runs code when it is unpickled."""
    if name in ("joblib", "pickle"):
        return pickle.dumps(Canary(path))
    return open_format("full_model").dump(Canary(path))


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_the_public_names_are_these() -> None:
    assert sorted(isoform.__all__) == ["IsoformError", "Model", "__version__", "load"]
    assert all(getattr(isoform, name) for name in isoform.__all__)
    with pytest.raises(AttributeError, match="no attribute 'missing'"):
        isoform.missing  # noqa: B018


@pytest.mark.parametrize(("model", "name"), CASES)
def test_every_format_is_loaded_by_its_name_and_answers_alike(
    model: str, name: str, published: Callable[[str], Workspace]
) -> None:
    workspace = published("mixed")
    found = load(workspace.folder(model), format=name, trust_pickle=True)
    plain = load(str(workspace.folder(model)))
    rows = workspace.test_rows()[0]
    assert (found.format, found.metadata.model_name) == (name, model)
    np.testing.assert_allclose(found.predict_proba(rows), plain.predict_proba(rows), atol=2e-5, rtol=0)
    assert found.predict(rows).tolist() == plain.predict(rows).tolist()


@pytest.mark.parametrize("shape", ["columns", "records", "frame"])
def test_rows_may_come_in_any_shape(shape: str, published: Callable[[str], Workspace]) -> None:
    workspace = published("mixed")
    rows = workspace.test_rows()[0]
    frame = pd.DataFrame(rows)
    asked = {"columns": rows, "records": frame.to_dict("records"), "frame": frame.assign(extra=1)}[shape]
    model = load(workspace.folder("network"))
    assert model.predict_proba(asked).tobytes() == model.predict_proba(rows).tobytes()


def test_predict_gives_the_class_itself(published: Callable[[str], Workspace]) -> None:
    workspace = published("text_classes")
    model = load(workspace.folder("forest"))
    rows = workspace.test_rows()[0]
    assert set(model.predict(rows)) <= {"no", "perhaps", "yes"}
    assert model.predict([]).tolist() == []


def test_of_equal_probabilities_the_first_class_is_given(published: Callable[[str], Workspace]) -> None:
    config = dataclasses.replace(published("mixed").config("forest"), classes=["b", "a", "c"])
    assert labels(np.array([[0.4, 0.4, 0.2], [0.2, 0.4, 0.4]]), config).tolist() == ["b", "a"]


def test_rows_that_do_not_fit_are_refused(published: Callable[[str], Workspace]) -> None:
    model = load(published("mixed").folder("forest"))
    with pytest.raises(BadInput, match="column 'n0'"):
        model.predict({"n1": [1]})


def test_the_safest_format_that_is_there_is_taken(workspace: Workspace) -> None:
    for name in SAFE_TORCH:
        assert load(workspace.folder("network")).format == name
        workspace.file("network", name).unlink()
    with pytest.raises(CheckFailed, match="none of its safe formats is here; run 'dvc pull', or name a format"):
        load(workspace.folder("network"))


@pytest.mark.parametrize(("model", "name"), CASES)
def test_a_flipped_byte_is_refused(model: str, name: str, workspace: Workspace) -> None:
    spoil(workspace.file(model, name))
    with pytest.raises(CheckFailed, match=r"sha256 is|holds \d+ bytes"):
        load(workspace.folder(model), format=name, trust_pickle=True)


@pytest.mark.parametrize("model", MODELS)
def test_a_changed_config_is_refused(model: str, workspace: Workspace) -> None:
    spoil(workspace.folder(model) / "config.json")
    with pytest.raises(CheckFailed, match=r"config\.json: sha256 is"):
        load(workspace.folder(model))


@pytest.mark.parametrize(("model", "name"), UNPICKLING)
def test_code_in_a_file_runs_neither_unasked_nor_on_trust(model: str, name: str, workspace: Workspace, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    workspace.replace(model, name, canary_bytes(name, canary))
    with pytest.raises(BadInput, match=f"format '{name}' unpickles.*trust_pickle=True"):
        load(workspace.folder(model), format=name)
    load(workspace.folder(model))
    assert not canary.exists()
    with pytest.raises(IsoformError):
        load(workspace.folder(model), format=name, trust_pickle=True)
    assert not canary.exists()
    if name == "full_model":
        torch.load(workspace.file(model, name), weights_only=False)
    elif name == "joblib":
        joblib.load(workspace.file(model, name))
    else:
        pickle.loads(workspace.file(model, name).read_bytes())
    assert canary.exists(), "the canary must be able to sing"


@pytest.mark.parametrize(("model", "name"), UNPICKLING)
def test_a_pickle_of_something_else_is_one_line(model: str, name: str, workspace: Workspace) -> None:
    content = {"model": "of another kind"}
    dump = open_format("full_model").dump if name == "full_model" else partial(pickle.dumps, protocol=5)
    workspace.replace(model, name, dump(content))
    expected = "is another object" if name == "full_model" else rf"{name} cannot read it|holds a dict, not a Pipeline"
    with pytest.raises(IsoformError, match=expected):
        load(workspace.folder(model), format=name, trust_pickle=True)


@pytest.mark.parametrize(("model", "name"), UNPICKLING)
def test_code_does_not_run_before_the_hash_is_compared(model: str, name: str, workspace: Workspace, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    workspace.file(model, name).write_bytes(canary_bytes(name, canary))
    with pytest.raises(CheckFailed, match=r"sha256 is|holds \d+ bytes"):
        load(workspace.folder(model), format=name, trust_pickle=True)
    assert not canary.exists()


@pytest.mark.parametrize("name", ["safetensors", "state_dict", "checkpoint", "onnx"])
def test_code_in_a_safe_format_never_runs(name: str, workspace: Workspace, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for data in (open_format("full_model").dump({"model_state_dict": Canary(canary)}), pickle.dumps(Canary(canary))):
        workspace.replace("network", name, data)
        with pytest.raises(IsoformError):  # tests/faults has the reasons
            load(workspace.folder("network"), format=name, trust_pickle=True)
    assert not canary.exists()


def test_without_a_format_nothing_is_ever_unpickled(workspace: Workspace, tmp_path: Path) -> None:
    workspace.replace("forest", "joblib", canary_bytes("joblib", tmp_path / "canary"))
    workspace.file("forest", "onnx").unlink()
    for trust in (False, True):
        with pytest.raises(CheckFailed, match="none of its safe formats is here"):
            load(workspace.folder("forest"), trust_pickle=trust)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(("model", "name"), CASES)
def test_a_file_that_is_no_model_is_one_line_even_when_its_hash_is_right(model: str, name: str, workspace: Workspace) -> None:
    whole = workspace.file(model, name).read_bytes()
    for data in (
        b"",
        b"\0" * 100,
        b"not a model",
        b"\x80\x05.",
        b"PK\x03\x04",
        b"\xff" * 64,
        b"[" * 5000,
        whole[: len(whole) // 2],
    ):
        workspace.replace(model, name, data)
        with pytest.raises(IsoformError) as caught:  # tests/faults has the reasons
            load(workspace.folder(model), format=name, trust_pickle=True)
        assert str(caught.value).startswith(str(workspace.file(model, name)))
        assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", ["state_dict", "safetensors"])
def test_weights_of_another_network_are_one_line(name: str, workspace: Workspace, published: Callable[[str], Workspace]) -> None:
    workspace.replace("network", name, published("numeric").file("network", name).read_bytes())
    with pytest.raises(CheckFailed, match=r"lacks the tensor 'features\.embeddings"):
        load(workspace.folder("network"), format=name)


@pytest.mark.parametrize("name", ["absent", "config", "golden", "../onnx", "joblib"])
def test_a_format_that_the_version_lacks_lists_what_it_has(name: str, published: Callable[[str], Workspace]) -> None:
    folder = published("mixed").folder("network")
    with pytest.raises(BadInput, match="give one of state_dict, full_model, checkpoint, safetensors, onnx"):
        load(folder, format=name, trust_pickle=True)


def edit(workspace: Workspace, change: Callable[[Any], None]) -> Path:
    path = workspace.folder("forest") / "metadata.json"
    document = json.loads(path.read_bytes())
    change(document)
    path.write_text(json.dumps(document))
    return path.parent


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "", ".", "..", "a/b", "a/../model.onnx", "x\0y"])
def test_a_file_outside_the_folder_is_not_read(path: str, workspace: Workspace, tmp_path: Path) -> None:
    folder = edit(workspace, lambda document: document["files"]["onnx"].update(path=path))
    (folder.parent / "x").write_bytes((folder / "model.onnx").read_bytes())
    with pytest.raises(BadInput):
        load(folder, format="onnx")


def test_a_linked_file_is_not_read(workspace: Workspace, tmp_path: Path) -> None:
    path = workspace.file("forest", "onnx")
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    with pytest.raises(BadInput, match="cannot be opened"):
        load(workspace.folder("forest"))


@pytest.mark.parametrize("entry", ["config", "onnx"])
def test_an_entry_that_is_missing_is_one_line(entry: str, workspace: Workspace) -> None:
    folder = edit(workspace, lambda document: document["files"].pop(entry))
    with pytest.raises((BadInput, CheckFailed)):
        load(folder)


def test_a_config_that_does_not_fit_is_one_line(workspace: Workspace) -> None:
    workspace.replace("forest", "config", b'{"model_name": "x"}')
    with pytest.raises(BadInput, match=r"config\.json: \$\.task is missing"):
        load(workspace.folder("forest"))


@pytest.mark.parametrize("library", ["torch", "safetensors", "onnxruntime", "joblib", "sklearn"])
def test_a_library_that_is_not_there_is_one_line_that_says_what_to_install(
    library: str, monkeypatch: pytest.MonkeyPatch, published: Callable[[str], Workspace]
) -> None:
    model, name, action = {
        "torch": ("network", "state_dict", r"pip install 'isoform\[torch\]'"),
        "safetensors": ("network", "safetensors", r"pip install 'isoform\[torch\]'"),
        "onnxruntime": ("network", "onnx", "pip install onnxruntime"),
        "joblib": ("forest", "joblib", r"pip install 'isoform\[sklearn\]'"),
        "sklearn": ("forest", "pickle", r"pip install 'isoform\[sklearn\]'"),
    }[library]
    for loaded in [entry for entry in sys.modules if entry.startswith(("isoform.formats.", "isoform.networks", f"{library}."))]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(BadInput, match=f"format '{name}': needs {library}, which is not installed; {action}"):
        load(published("mixed").folder(model), format=name, trust_pickle=True)


def test_loading_onnx_imports_nothing_but_numpy_and_onnxruntime(published: Callable[[str], Workspace], tmp_path: Path) -> None:
    code = """
import sys
from isoform import load
model = load(sys.argv[1])
print(model.predict([{"n0": 1, "n1": None, "n2": 0, "n3": 2, "c0": "red", "c1": ""}]).tolist())
heavy = ["torch", "sklearn", "pandas", "joblib", "onnx", "pydantic", "yaml", "pyarrow", "scipy", "safetensors", "pipeline", "dvc"]
print(sorted(set(heavy) & set(sys.modules)))
"""
    done = python("-c", code, str(published("mixed").folder("network")), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] in ("[0]", "[1]")
    assert done.stdout.splitlines()[1] == "[]"


def test_the_first_answer_waits_for_no_module_that_it_can_do_without(
    published: Callable[[str], Workspace], tmp_path: Path
) -> None:
    code = """
import sys
import numpy, onnxruntime
theirs = set(sys.modules)
from isoform import load
load(sys.argv[1]).predict([{"n0": 1, "n1": None, "n2": 0, "n3": 2, "c0": "red", "c1": ""}])
ours = set(sys.modules) - theirs
print(sorted(name for name in ours if "site-packages" in (getattr(sys.modules[name], "__file__", None) or "")))
print(sorted(ours & {"logging", "tempfile", "glob", "fcntl", "shutil", "random", "numpy.ma", "isoform.frames", "isoform.tables"}))
"""
    done = python("-c", code, str(published("mixed").folder("network")), cwd=tmp_path)
    assert done.stdout.splitlines() == ["[]", "[]"], done.stderr


def test_importing_isoform_imports_nothing(tmp_path: Path) -> None:
    code = "import sys, isoform; print(sorted({'numpy', 'onnxruntime', 'isoform.loading'} & set(sys.modules)))"
    assert python("-c", code, cwd=tmp_path).stdout == "[]\n"


def test_a_model_says_what_it_is(published: Callable[[str], Workspace]) -> None:
    workspace = published("mixed")
    model = load(workspace.folder("network"), format="safetensors")
    data = workspace.file("network", "safetensors").read_bytes()
    assert model.metadata == metadata.read(workspace.folder("network"))
    assert model.metadata.files["safetensors"].sha256 == sha256(data)
    assert model.config.classes == [0, 1]
    rows: Columns = workspace.test_rows()[0]
    dumped = dumpable("safetensors", data, model.config)
    assert all(tensor.equal(model.native.state_dict()[name]) for name, tensor in dumped.items())
    assert model.predict_proba(rows).dtype == np.float32


def skewed(workspace: Workspace, model: str, library: str) -> Path:
    path = workspace.folder(model) / "metadata.json"
    document = json.loads(path.read_bytes())
    document["environment"][library] = "0.0.1"
    path.write_text(json.dumps(document))
    return path.parent


@pytest.mark.parametrize(("model", "name"), UNPICKLING)
def test_a_pickle_of_other_library_versions_is_refused_or_on_request_warned_of(
    model: str, name: str, workspace: Workspace, caplog: pytest.LogCaptureFixture
) -> None:
    library = "torch" if name == "full_model" else "scikit-learn"
    folder = skewed(workspace, model, library)
    with pytest.raises(CheckFailed, match=rf"records {library} 0\.0\.1, .* is installed; install {library}==0\.0\.1"):
        load(folder, format=name, trust_pickle=True)
    assert load(folder).format == "onnx", "other formats are bound to nothing"
    caplog.clear()
    assert load(folder, format=name, trust_pickle=True, allow_version_skew=True).format == name
    assert f"records {library} 0.0.1" in caplog.text


@pytest.mark.parametrize("trust", [True, False])
def test_verify_tells_of_other_library_versions_where_it_would_unpickle(trust: bool, workspace: Workspace) -> None:
    folder = skewed(workspace, "forest", "numpy")
    bad = {finding.name for finding in verify(folder, trust_pickle=trust) if finding.error}
    assert bad == ({"joblib", "pickle"} if trust else set())
    assert not any(finding.error for finding in verify(folder, trust_pickle=trust, allow_version_skew=True))


def test_a_file_under_the_name_of_another_format_is_refused(workspace: Workspace) -> None:
    folder = edit(workspace, lambda document: document["files"]["onnx"].update(document["files"]["joblib"]))
    with pytest.raises(BadInput, match=r"says that 'onnx' is pipeline\.joblib, and it is model\.onnx"):
        load(folder, format="onnx")


def test_a_version_behind_a_link_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(workspace.folder("forest"))
    with pytest.raises(BadInput, match="linked: is a symbolic link; name the folder itself, "):
        load(tmp_path / "linked")
    (tmp_path / "parent").symlink_to(workspace.folder("forest").parent)
    assert load(tmp_path / "parent" / "v1.0.0").format == "onnx"


def test_a_model_that_is_loaded_leaves_nothing_in_the_home_folder(published: Callable[[str], Workspace], tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    script = f"from isoform import load; load({str(published('mixed').folder('network'))!r}).predict([])"
    bare = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(REPOSITORY)}  # without CI, where it is off anyway

    def run(**environment: str) -> None:
        subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=bare | environment, check=True, timeout=120)

    run()
    assert list(home.rglob("*")) == []
    run(ORT_DISABLE_TELEMETRY="0")
    assert list(home.rglob("deviceid")), "this onnxruntime would have left nothing anyway: the variable is not needed any more"
