"""pipeline.onnx_sklearn and pipeline.onnx_torch: exported models answer as theirs do where it is hardest."""

import dataclasses
import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from builders import HOSTILE_TEXTS, MODELS, SEED, TABLES, Workspace
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from torch import nn

from isoform import load, networks
from isoform.errors import BadInput
from isoform.formats import joblib, pickle, state_dict
from isoform.formats import onnx as onnx_format
from isoform.loading import Model
from isoform.metadata import Config
from isoform.rows import Columns, canonical, take
from pipeline import estimators, onnx_sklearn, onnx_torch
from pipeline.params import Onnx

PINNED = Onnx(opset=18, ir_version=10)


@pytest.fixture(scope="module")
def pairs(published: Callable[[str], Workspace]) -> dict[str, tuple[Model, Model]]:
    """Each model of the mixed table twice: the reference, and its model.onnx."""
    workspace = published("mixed")
    reference = {"forest": "joblib", "logistic": "joblib", "network": "state_dict"}
    return {
        name: (load(workspace.folder(name), reference[name], trust_pickle=True), load(workspace.folder(name), "onnx"))
        for name in MODELS
    }


def agree(pair: tuple[Model, Model], rows: Any) -> None:
    expected, found = pair[0].predict_proba(rows), pair[1].predict_proba(rows)
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)
    assert np.isfinite(found).all()


# Numbers whose scaled value overflows are in test_formats.py; here, everything that a table may hold.
numbers = st.floats(-1e6, 1e6, width=32) | st.just(float("nan")) | st.sampled_from([0.0, -0.0, 1e-45, float("inf")])
texts = st.sampled_from(["red", "green", "blue", "once", "Łódź", *HOSTILE_TEXTS]) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5
)
tables = st.lists(st.tuples(numbers, numbers, numbers, numbers, texts, texts), min_size=1, max_size=8)


@pytest.mark.parametrize("model", MODELS)
@given(table=tables)
def test_any_row_gets_the_same_answer(model: str, table: list[tuple[Any, ...]], pairs: dict[str, tuple[Model, Model]]) -> None:
    names = ["n0", "n1", "n2", "n3", "c0", "c1"]
    agree(pairs[model], [dict(zip(names, row, strict=True)) for row in table])


def test_a_number_on_a_trees_threshold_goes_the_same_way(pairs: dict[str, tuple[Model, Model]]) -> None:
    forest = pairs["forest"][0].native[-1]
    thresholds = {float(t) for tree in forest.estimators_ for t in tree.tree_.threshold if t != -2}
    near = np.float32(sorted(thresholds))
    values = np.concatenate([near, np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))])
    for name in ("n0", "n1", "n2", "n3"):
        rows = {other: np.zeros(len(values), dtype=np.float32) for other in ("n0", "n1", "n2", "n3")}
        rows |= {"c0": np.full(len(values), "red", dtype=object), "c1": np.full(len(values), "", dtype=object)}
        agree(pairs["forest"], rows | {name: values})


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("model", MODELS)
def test_exporting_twice_gives_the_published_bytes(model: str, table: str, published: Callable[[str], Workspace]) -> None:
    workspace = published(table)
    expected = workspace.file(model, "onnx").read_bytes()
    assert onnx_format.dump(exported(workspace, model)) == expected


def exported(workspace: Workspace, model: str, pinned: Onnx = PINNED) -> onnx.ModelProto:
    config = workspace.config(model)
    if MODELS[model] == "sklearn":
        return onnx_sklearn.export(joblib.load(workspace.file(model, "joblib").read_bytes(), config), config, pinned)
    return onnx_torch.export(state_dict.load(workspace.file(model, "state_dict").read_bytes(), config), config, pinned)


def allowed_opsets() -> list[int]:
    """Return the lowest and the highest opset that params.yaml may name."""
    limits = Onnx.model_fields["opset"].metadata
    return [limit for entry in limits for limit in (getattr(entry, "ge", None), getattr(entry, "le", None)) if limit]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("opset", allowed_opsets())
def test_every_opset_that_params_allow_answers_alike(model: str, opset: int, published: Callable[[str], Workspace]) -> None:
    workspace = published("mixed")
    made = exported(workspace, model, Onnx(opset=opset, ir_version=10))
    assert {entry.domain: entry.version for entry in made.opset_import}[""] == opset
    columns = workspace.test_rows()[0]
    found = onnx_format.infer(onnx_format.load(onnx_format.dump(made)), columns, workspace.config(model))
    np.testing.assert_allclose(found, load(workspace.folder(model)).predict_proba(columns), atol=1e-6, rtol=0)


def test_exporting_does_not_change_the_network(published: Callable[[str], Workspace]) -> None:
    workspace = published("mixed")
    config = workspace.config("network")
    network = state_dict.load(workspace.file("network", "state_dict").read_bytes(), config)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    onnx_torch.export(network, config, PINNED)
    assert all(tensor.equal(before[name]) for name, tensor in network.state_dict().items())


def test_a_network_in_training_mode_is_exported_without_dropout(published: Callable[[str], Workspace]) -> None:
    workspace = published("mixed")
    config = workspace.config("network")
    network = state_dict.load(workspace.file("network", "state_dict").read_bytes(), config).train()
    made = onnx_torch.export(network, config, PINNED)
    assert "Dropout" not in {node.op_type for node in made.graph.node}
    assert onnx_format.dump(made) == workspace.file("network", "onnx").read_bytes()


class Reshaping(nn.Module):
    """It asks how many rows there are, which an exporter may take for a constant."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(8.0).reshape(4, 2) / 10)

    def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        rows = numeric.shape[0]
        known = torch.nan_to_num(numeric).clamp(-3, 3)
        return (known.reshape(rows * 4, 1) * self.weight.repeat(rows, 1)).reshape(rows, 4, 2).sum(dim=1)


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 60])
def test_the_number_of_rows_is_not_frozen(rows: int, published: Callable[[str], Workspace]) -> None:
    workspace = published("mixed")
    config = workspace.config("network")
    network = Reshaping()
    session = onnx_format.load(onnx_format.dump(onnx_torch.export(network, config, PINNED)))
    columns = take(workspace.test_rows()[0], slice(rows))
    expected = networks.infer(network, columns, config)
    np.testing.assert_allclose(onnx_format.infer(session, columns, config), expected, atol=1e-6, rtol=0)


class Unexportable(nn.Module):
    """Its way depends on the numbers it gets, which no graph can hold."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 2))

    def forward(self, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        return numeric @ self.weight if float(numeric.sum()) > 0 else numeric @ self.weight * 2


def test_a_network_that_cannot_be_exported_is_one_line(published: Callable[[str], Workspace]) -> None:
    config = published("mixed").config("network")
    with pytest.raises(BadInput, match=r"model 'network': torch cannot export Unexportable .*; use operators that ONNX has"):
        onnx_torch.export(Unexportable(), config, PINNED)


class Odd(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier that skl2onnx has no converter for."""

    def fit(self, rows: Any, labels: Any) -> "Odd":
        self.classes_ = np.unique(labels)
        return self

    def predict_proba(self, rows: Any) -> np.ndarray:
        return np.full((len(rows), 2), 0.5)

    def predict(self, rows: Any) -> np.ndarray:
        return np.full(len(rows), self.classes_[0])


def in_place_of_the_forest(workspace: Workspace, estimator: Any) -> Pipeline:
    """Return the forest's Pipeline with another estimator, fitted."""
    columns, labels = workspace.train_rows()
    forest: Pipeline = joblib.load(workspace.file("forest", "joblib").read_bytes(), workspace.config("forest"))
    return Pipeline([forest.steps[0], ("model", estimator.fit(forest[0].transform(pd.DataFrame(columns)), labels))])


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        (Odd(), "Odd has no ONNX converter"),
        (VotingClassifier([("a", LogisticRegression()), ("b", Odd())], voting="soft"), "Odd has no ONNX converter"),
        (StackingClassifier([("a", Odd())], cv=2), "Odd has no ONNX converter"),
        (CalibratedClassifierCV(Odd(), cv=2), "Odd has no ONNX converter"),
        (CalibratedClassifierCV(method="temperature", cv=2), r"skl2onnx cannot convert CalibratedClassifierCV \("),
        (GaussianProcessClassifier(), "GaussianProcessClassifier uses operators of com.microsoft, which not every runtime has"),
    ],
    ids=["alone", "voting", "stacking", "calibrated", "method", "operators"],
)
def test_an_estimator_without_a_converter_is_one_line(estimator: Any, reason: str, published: Callable[[str], Workspace]) -> None:
    workspace = published("mixed")
    made = in_place_of_the_forest(workspace, estimator)
    with pytest.raises(BadInput, match=f"model 'forest': .*{reason}.*; choose another estimator, docs/compatibility.md lists"):
        onnx_sklearn.export(made, workspace.config("forest"), PINNED)


def test_scaling_rounds_as_scikit_learn_rounds(published: Callable[[str], Workspace]) -> None:
    """A tree behind scaled columns tells apart what differs in the last bit."""
    workspace = published("mixed")
    config = workspace.config("forest")
    rng = np.random.default_rng(0)
    below = {name: rng.uniform(size=2000).astype(np.float32) for name in config.numeric}
    rows = {name: np.concatenate([column, np.nextafter(column, np.float32(1))]) for name, column in below.items()}
    rows |= {name: np.full(4000, "red", dtype=object) for name in config.categorical}
    labels = np.repeat([0, 1], 2000)
    entry = workspace.read_params().model("sklearn", "forest")
    onehot = entry.model_copy(update={"preprocessing": "onehot", "hyperparameters": {"n_estimators": 3}})
    fitted = estimators.fit("forest", estimators.build("forest", onehot, workspace.schema(), SEED), rows, labels, 1)
    session = onnx_format.load(onnx_format.dump(onnx_sklearn.export(fitted, config, PINNED)))
    expected = pickle.infer(fitted, rows, config)
    np.testing.assert_allclose(onnx_format.infer(session, rows, config), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("model", MODELS)
def test_nothing_is_computed_that_no_output_needs(model: str, published: Callable[[str], Workspace]) -> None:
    """An exporter's own label, say, which is dropped, fails on a batch of no rows where the probabilities do not."""
    classifier = MLPClassifier([4], max_iter=1, random_state=0)
    workspace = published("mixed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        made = onnx_sklearn.export(in_place_of_the_forest(workspace, classifier), workspace.config("forest"), PINNED)
    for graph in (made.graph, exported(workspace, model).graph):
        needed = {output.name for output in graph.output} | {name for node in graph.node for name in node.input}
        assert all(needed.intersection(node.output) for node in graph.node)
    session = onnx_format.load(onnx_format.dump(made))
    none = take(workspace.test_rows()[0], slice(0))
    assert onnx_format.infer(session, none, workspace.config("forest")).shape == (0, 2)


NAMES = {
    "letters": ["a b", "A", "a", "ž, 日本", "q\"uo'te", "x.1"],
    "clashes": ["variable", "float_input", "column_1", "lowest", "cat", "mean"],
}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("kind", ["forest", "logistic", "network"])
def test_columns_of_any_name_are_exported(kind: str, names: list[str], published: Callable[[str], Workspace]) -> None:
    """Exporters make names of their own from an input's: none may clash or be cut."""
    workspace = published("mixed")
    renamed = dict(zip(["n0", "n1", "n2", "n3", "c0", "c1"], names, strict=True))
    config = rename(workspace.config(kind), renamed)
    rows = {renamed[name]: column for name, column in workspace.test_rows()[0].items()}
    if kind == "network":
        native = state_dict.load(workspace.file(kind, "state_dict").read_bytes(), config)
        made, expected = onnx_torch.export(native, config, PINNED), networks.infer(native, rows, config)
    else:
        made, expected = refitted(workspace, kind, config, renamed, rows)
    session = onnx_format.load(onnx_format.dump(made))
    assert [entry.name for entry in session.get_inputs()] == list(renamed.values())
    np.testing.assert_allclose(onnx_format.infer(session, rows, config), expected, atol=1e-5, rtol=0)


def rename(config: Config, names: dict[str, str]) -> Config:
    return dataclasses.replace(
        config,
        numeric=[names[name] for name in config.numeric],
        categorical=[names[name] for name in config.categorical],
        categories={names[name]: values for name, values in config.categories.items()},
    )


def refitted(
    workspace: Workspace, kind: str, config: Config, names: dict[str, str], rows: Columns
) -> tuple[onnx.ModelProto, np.ndarray]:
    columns, labels = workspace.train_rows()
    schema = dataclasses.replace(
        workspace.schema(), numeric=config.numeric, categorical=config.categorical, categories=config.categories
    )
    model = estimators.build(kind, workspace.read_params().model("sklearn", kind), schema, SEED)
    fitted = estimators.fit(kind, model, {names[name]: column for name, column in columns.items()}, labels, 1)
    return onnx_sklearn.export(fitted, config, PINNED), pickle.infer(fitted, rows, config)


def test_exporting_is_quiet(published: Callable[[str], Workspace], capfd: pytest.CaptureFixture[str], caplog: Any) -> None:
    workspace = published("mixed")
    capfd.readouterr()
    with caplog.at_level(logging.INFO):
        for model in MODELS:
            exported(workspace, model)
    assert capfd.readouterr() == ("", "")
    assert [record.message for record in caplog.records if record.name.startswith(("torch.onnx", "onnx"))] == []


def test_canonical_rows_are_what_the_graph_makes_of_raw_ones(pairs: dict[str, tuple[Model, Model]]) -> None:
    raw = {"n0": [np.inf], "n1": [-np.inf], "n2": [np.nan], "n3": [1.0], "c0": ["unseen"], "c1": [""]}
    config = pairs["network"][1].config
    feeds = {name: np.array(cells, dtype=np.float32 if name[0] == "n" else object).reshape(-1, 1) for name, cells in raw.items()}
    for _, model in pairs.values():
        bare = model.native.run(["probabilities"], feeds)[0]
        assert (
            bare.tobytes()
            == model.module.infer(model.native, canonical(raw, config.numeric, config.categorical), config).tobytes()
        )
