"""The contract of every format: the same bytes each time it is written, the same answers wherever it is read."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import builders
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from builders import CASES, MODELS, REPOSITORY, TABLES, Workspace, dumpable, hostile, python
from google.protobuf.message import Message

from isoform.formats import FORMATS, FormatModule, checkpoint, full_model, open_format, safetensors, state_dict
from isoform.labels import labels
from isoform.loading import answer
from isoform.metadata import Config
from isoform.networks import NETWORKS, SimpleClassifier
from isoform.rows import Columns, canonical, count, take
from isoform.verification import difference
from pipeline.parity import EXACT, REFERENCE, tolerance
from pipeline.publishing import FORMATS_OF

TORCH_FORMATS = ["state_dict", "full_model", "checkpoint", "safetensors"]


@dataclass(frozen=True)
class Case:
    """One format of one model of one table."""

    workspace: Workspace
    model: str
    name: str

    @cached_property
    def config(self) -> Config:
        return self.workspace.config(self.model)

    @property
    def module(self) -> FormatModule:
        return open_format(self.name)

    @cached_property
    def data(self) -> bytes:
        return self.workspace.file(self.model, self.name).read_bytes()

    @cached_property
    def native(self) -> Any:
        return self.module.load(self.data, self.config)

    def ask(self, columns: Columns, native: Any = None) -> np.ndarray:
        return answer(self.module, native or self.native, columns, self.config)

    def difference(self, found: np.ndarray, expected: np.ndarray) -> float:
        """Return how far answers lie apart, in the units of the tolerance."""
        return difference(found, expected, self.workspace.schema().target_scale)

    @cached_property
    def reference(self) -> "Case":
        return Case(self.workspace, self.model, REFERENCE[MODELS[self.model]])  # type: ignore[index]

    @cached_property
    def rows(self) -> Columns:
        return self.workspace.test_rows()[0]


def cases(names: Callable[[str], bool] = lambda name: True) -> Any:
    found = [(table, model, name) for table in TABLES for model, name in CASES if names(name)]
    return pytest.mark.parametrize("case", found, ids="-".join, indirect=True)


@pytest.fixture(scope="module")
def case(request: pytest.FixtureRequest, published: Callable[[str], Workspace]) -> Case:
    table, model, name = request.param
    return Case(published(table), model, name)


def test_every_format_is_the_format_of_some_model() -> None:
    assert {name for names in FORMATS_OF.values() for name in names} == set(FORMATS)
    assert {name for name, entry in FORMATS.items() if not entry.safe} == {"joblib", "pickle", "full_model"}
    assert all(FORMATS[name].module == f"isoform.formats.{name}" for name in FORMATS)


@cases()
def test_dumping_twice_gives_the_same_bytes(case: Case) -> None:
    model = dumpable(case.name, case.data, case.config)
    first = case.module.dump(model)
    assert all(case.module.dump(model) == first for _ in range(5))


# A pickle also records which strings are one object in memory, and loading does not restore that.
@cases(lambda name: FORMATS[name].safe)
def test_what_was_read_is_written_as_it_was(case: Case) -> None:
    assert case.module.dump(dumpable(case.name, case.data, case.config)) == case.data


@cases(lambda name: name in ("joblib", "pickle"))
def test_the_pickle_protocol_is_the_pinned_one(case: Case) -> None:
    dumped = case.module.dump(dumpable(case.name, case.data, case.config))
    assert case.data[:2] == dumped[:2] == b"\x80\x05"


@cases()
def test_it_answers_as_the_reference_does(case: Case) -> None:
    found, expected = case.ask(case.rows), case.reference.ask(case.rows)
    limit = 0 if case.name in EXACT else 1e-5
    assert case.difference(found, expected) <= limit
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()
    assert tolerance(case.name) <= 1e-5


@cases()
def test_two_loads_and_two_calls_are_equal_to_the_last_bit(case: Case) -> None:
    again = case.module.load(case.data, case.config)
    answers = [case.ask(case.rows), case.ask(case.rows), case.ask(case.rows, again), case.ask(case.rows, again)]
    assert len({found.tobytes() for found in answers}) == 1


@cases()
def test_answers_are_float32_probabilities_of_each_class_or_one_prediction(case: Case) -> None:
    found = case.ask(case.rows)
    assert type(found) is np.ndarray
    assert found.dtype == np.float32
    assert found.shape == (count(case.rows), case.config.width)
    assert np.isfinite(found).all()
    if case.config.task == "classification":
        assert (found >= 0).all()
        np.testing.assert_allclose(found.sum(axis=1, dtype=np.float64), 1, atol=1e-6)


@cases()
def test_no_rows_get_no_answers(case: Case) -> None:
    found = case.ask(take(case.rows, slice(0)))
    assert (found.shape, found.dtype) == ((0, case.config.width), np.float32)


@cases()
def test_hostile_rows_get_the_references_finite_answers(case: Case) -> None:
    rows = hostile(case.config)
    found, expected = case.ask(rows), case.reference.ask(rows)
    assert np.isfinite(found).all()
    if case.config.task == "classification":
        np.testing.assert_allclose(found.sum(axis=1, dtype=np.float64), 1, atol=1e-6)
    assert case.difference(found, expected) <= 1e-5


@cases()
def test_batches_of_every_size_give_the_same_answers(case: Case) -> None:
    rows = take(case.rows, np.arange(1000) % count(case.rows))
    whole = case.ask(rows)
    limit = 1e-6  # a sum over a batch may round by its size
    for size in (1, 2, 7):
        parts = [case.ask(take(rows, slice(start, start + size))) for start in range(0, 14, size)]
        assert case.difference(np.concatenate(parts), whole[: len(np.concatenate(parts))]) <= limit
    for part in (whole, case.ask(take(rows, slice(500)))):
        assert case.difference(part, case.reference.ask(rows)[: len(part)]) <= 1e-5


@cases()
def test_the_callers_rows_are_not_changed(case: Case) -> None:
    before = {name: column.copy() for name, column in case.rows.items()}
    case.ask(case.rows)
    for name, column in case.rows.items():
        np.testing.assert_array_equal(column, before[name])


@cases(lambda name: name in TORCH_FORMATS)
def test_a_network_comes_back_in_eval_and_answers_without_gradients(case: Case) -> None:
    assert not any(module.training for module in case.native.modules())
    with torch.enable_grad():
        assert case.ask(case.rows).shape == (count(case.rows), case.config.width)
    assert all(parameter.grad is None for parameter in case.native.parameters())


def checkpoint_of(case: Case, state: dict[str, torch.Tensor]) -> dict[str, Any]:
    """Return the published checkpoint with another state_dict."""
    return state_dict.read(case.workspace.file(case.model, "checkpoint").read_bytes()) | {"model_state_dict": state}


@pytest.mark.parametrize("name", TORCH_FORMATS)
def test_a_network_that_was_saved_in_training_comes_back_in_eval(name: str, published: Callable[[str], Workspace]) -> None:
    case = Case(published("mixed"), "network", name)
    network = case.module.load(case.data, case.config).train()
    saved = {
        "state_dict": network.state_dict(),
        "safetensors": network.state_dict(),
        "full_model": network,
        "checkpoint": checkpoint_of(case, network.state_dict()),
    }[name]
    again = case.module.load(case.module.dump(saved), case.config)
    assert not any(module.training for module in again.modules())
    assert case.ask(case.rows, again).tobytes() == case.ask(case.rows).tobytes()


class Tied(SimpleClassifier):
    """Two text columns that share one embedding, and an output layer that shares its bias with the hidden one."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.features.embeddings[1].weight = self.features.embeddings[0].weight
        self.net[3].weight = self.net[0].weight


@pytest.fixture
def tied(monkeypatch: pytest.MonkeyPatch) -> tuple[torch.nn.Module, Config]:
    monkeypatch.setitem(NETWORKS, "Tied", Tied)
    arguments = {"numeric": 2, "cardinalities": [3, 3], "classes": 6, "hidden": 6, "embedding": 2, "dropout": 0.1}
    network = Tied(**arguments).eval()
    config = Config(
        model_name="tied",
        task="classification",
        builder="Tied",
        hyperparameters={},
        numeric=["a", "b"],
        categorical=["c", "d"],
        categories={"c": list("xyz"), "d": list("xyz")},
        classes=list(range(6)),
        network=builders.metadata.Network(class_name="Tied", arguments=arguments),
    )
    return network, config


@pytest.mark.parametrize("module", [safetensors, state_dict, full_model])
def test_tied_tensors_survive(module: Any, tied: tuple[torch.nn.Module, Config]) -> None:
    network, config = tied
    rows = canonical({"a": [1, 2], "b": [3, None], "c": ["x", "z"], "d": ["", "y"]}, config.numeric, config.categorical)
    again = module.load(module.dump(network if module is full_model else network.state_dict()), config)
    assert module.infer(again, rows, config).tobytes() == full_model.infer(network, rows, config).tobytes()
    assert again.features.embeddings[0].weight is again.features.embeddings[1].weight
    assert again.state_dict().keys() == network.state_dict().keys()


def test_tied_tensors_are_stored_once_in_safetensors(tied: tuple[torch.nn.Module, Config]) -> None:
    data = safetensors.dump(tied[0].state_dict())
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert "features.embeddings.1.weight" not in header
    assert json.loads(header["__metadata__"]["isoform"])["tied"] == {
        "features.embeddings.1.weight": "features.embeddings.0.weight",
        "net.3.weight": "net.0.weight",
    }
    assert safetensors.read(data).keys() == tied[0].state_dict().keys()


def test_views_of_one_storage_are_not_taken_for_the_same_tensor() -> None:
    storage = torch.arange(12.0)
    model = {"first": storage[:6], "second": storage[6:], "turned": storage.view(3, 4).t(), "empty": torch.zeros(0)}
    found = safetensors.read(safetensors.dump(model))
    assert all(found[name].equal(tensor) for name, tensor in model.items())


HASHES = """
import hashlib, json, sys
sys.path.insert(0, sys.argv[1])
import stages, builders
from pathlib import Path
from isoform.formats import FORMATS, open_format
workspace, found = builders.Workspace(Path(sys.argv[2])), {}
for model, name in builders.CASES:
    if not FORMATS[name].safe:
        continue
    data = workspace.file(model, name).read_bytes()
    dumped = open_format(name).dump(builders.dumpable(name, data, workspace.config(model)))
    found[f"{model} {name}"] = hashlib.sha256(dumped).hexdigest()
print(json.dumps(found))
"""


def test_another_process_writes_the_same_bytes(published: Callable[[str], Workspace], tmp_path: Path) -> None:
    workspace = published("mixed")
    done = python("-c", HASHES, str(REPOSITORY / "tests"), str(workspace.root), cwd=tmp_path, PYTHONHASHSEED="1")
    assert done.returncode == 0, done.stderr
    expected = {}
    for model, name in CASES:
        case = Case(workspace, model, name)
        if not FORMATS[name].safe:
            continue  # trained, not loaded, it is the same too: test_determinism.py
        dumped = case.module.dump(dumpable(name, case.data, case.config))
        expected[f"{model} {name}"] = hashlib.sha256(dumped).hexdigest()
    assert json.loads(done.stdout) == expected


def test_the_checkpoints_network_is_the_state_dicts(published: Callable[[str], Workspace]) -> None:
    case = Case(published("mixed"), "network", "checkpoint")
    state = state_dict.read(case.data)["model_state_dict"]
    published_state = state_dict.read(case.reference.data)
    assert state.keys() == published_state.keys()
    assert all(state[name].equal(tensor) for name, tensor in published_state.items())
    assert checkpoint.load(case.data, case.config).state_dict().keys() == state.keys()


# What holds for model.onnx alone: any runtime must get from the bare file what isoform gives.


def onnx_cases() -> Any:
    return cases(lambda name: name == "onnx")


def feeds(config: Config) -> dict[str, np.ndarray]:
    """Return the hostile rows as they are, ±inf included, one [N, 1] input per column."""
    made = {name: np.array(builders.HOSTILE_NUMBERS, dtype=np.float32).reshape(-1, 1) for name in config.numeric}
    return made | {name: np.array(builders.HOSTILE_TEXTS, dtype=object).reshape(-1, 1) for name in config.categorical}


@onnx_cases()
def test_the_bare_file_holds_the_row_policy(case: Case) -> None:
    session = ort.InferenceSession(case.data, providers=["CPUExecutionProvider"])
    *label, answers = session.run(None, feeds(case.config))
    expected = case.reference.ask(hostile(case.config))
    assert case.difference(answers, expected) <= 1e-5
    assert answers.tobytes() == case.ask(hostile(case.config)).tobytes()
    assert [found.tolist() for found in label] == (
        [labels(expected, case.config).tolist()] if case.config.task == "classification" else []
    )


@onnx_cases()
def test_its_inputs_are_the_raw_columns_and_its_outputs_those_of_the_contract(case: Case) -> None:
    session = ort.InferenceSession(case.data, providers=["CPUExecutionProvider"])
    label = {"text_classes": "tensor(string)", "boolean": "tensor(bool)"}.get(case.workspace.root.name[10:], "tensor(int64)")
    outputs = {
        "classification": [("label", label, ["N"]), ("probabilities", "tensor(float)", ["N", case.config.width])],
        "regression": [("prediction", "tensor(float)", ["N", 1])],
    }
    assert [(entry.name, entry.type, entry.shape) for entry in session.get_inputs()] == [
        *((name, "tensor(float)", ["N", 1]) for name in case.config.numeric),
        *((name, "tensor(string)", ["N", 1]) for name in case.config.categorical),
    ]
    assert [(entry.name, entry.type, entry.shape) for entry in session.get_outputs()] == outputs[case.config.task]


@pytest.mark.parametrize("model", MODELS)
def test_classes_that_are_text_are_answered_as_text(model: str, published: Callable[[str], Workspace]) -> None:
    case = Case(published("text_classes"), model, "onnx")
    session = ort.InferenceSession(case.data, providers=["CPUExecutionProvider"])
    rows = {name: column.reshape(-1, 1) for name, column in case.rows.items()}
    label = session.run(["label"], rows)[0]
    assert len(set(label.tolist())) > 1 and {type(value) for value in label.tolist()} == {str}
    assert label.tolist() == [case.config.classes[i] for i in case.reference.ask(case.rows).argmax(axis=1)]


def messages(message: Message) -> Iterator[Message]:
    yield message
    for descriptor, value in message.ListFields():
        if descriptor.type == descriptor.TYPE_MESSAGE:
            for child in value if hasattr(value, "__len__") else [value]:
                yield from messages(child)


@onnx_cases()
def test_nothing_of_the_machine_or_the_exporter_is_in_it(case: Case) -> None:
    for message in messages(onnx.load_model_from_string(case.data)):
        present = {descriptor.name for descriptor, _ in message.ListFields()}
        assert not present & {"doc_string", "metadata_props"}
    traces = [str(REPOSITORY), str(Path.home()), str(case.workspace.root), "site-packages", ".py", "Traceback", "pkg."]
    for trace in traces:
        assert trace == "/" or trace.encode() not in case.data, trace


@cases()
def test_no_file_names_a_folder_of_the_machine(case: Case) -> None:
    for trace in (str(REPOSITORY), str(Path.home()), str(case.workspace.root), "site-packages"):
        assert trace == "/" or trace.encode() not in case.data, trace


@onnx_cases()
def test_opset_and_ir_version_are_the_pinned_ones(case: Case) -> None:
    model = onnx.load_model_from_string(case.data)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    assert model.ir_version == 10
    assert opsets[""] == 18
    assert opsets.keys() <= {"", "ai.onnx.ml"}
    assert opsets.get("ai.onnx.ml", 3) <= 3
    assert not model.functions
    assert {node.domain for node in model.graph.node} <= opsets.keys()


@onnx_cases()
def test_its_weights_are_in_it(case: Case) -> None:
    model = onnx.load_model_from_string(case.data)
    assert all(tensor.data_location == onnx.TensorProto.DEFAULT for tensor in model.graph.initializer)
    assert not any(tensor.external_data for tensor in model.graph.initializer)


@onnx_cases()
def test_it_holds_nothing_unused(case: Case) -> None:
    # A runtime would say so on stderr each time it opens the file.
    graph = onnx.load_model_from_string(case.data).graph
    used = {name for node in graph.node for name in node.input}
    assert {tensor.name for tensor in graph.initializer} <= used
    assert {entry.name for entry in graph.input} <= used
