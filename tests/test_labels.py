"""isoform.labels: one rule from probabilities to a label, which no rounding of an exact tie can upset."""

import dataclasses
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from test_onnx_graph import CONFIG, PINNED

from isoform.formats import onnx as onnx_format
from isoform.formats import pickle as pickle_format
from isoform.labels import TIE, labels, most_probable
from isoform.metadata import Config
from pipeline import estimators, onnx_sklearn, parity
from pipeline.onnx_graph import assemble


def test_the_most_probable_class_is_the_label_of_tied_ones_the_first() -> None:
    rows = [[0.1, 0.7, 0.2], [0.4, 0.2, 0.4], [0.2, 0.4, 0.4], [0.4, 0.4 + 0.9 * TIE, 0.2], [0.4, 0.4 + 1.1 * TIE, 0.2]]
    assert most_probable(np.array(rows, dtype=np.float32)).tolist() == [1, 0, 1, 0, 1]


def test_a_tie_is_twice_what_formats_may_differ_by() -> None:
    assert TIE == 2 * parity.TOLERANCE


@pytest.mark.parametrize("classes", [[3, 5], ["no", "ano"], [False, True]])
def test_a_label_is_a_class(classes: list[Any]) -> None:
    config = dataclasses.replace(CONFIG, classes=classes)
    assert labels(np.array([[0.1, 0.9], [0.5, 0.5]]), config).tolist() == [classes[1], classes[0]]


def test_no_rows_have_no_labels() -> None:
    assert most_probable(np.empty((0, 3), dtype=np.float32)).tolist() == []


@given(
    tied=st.lists(st.booleans(), min_size=2, max_size=6).filter(any),
    noise=st.lists(st.floats(-1, 1), min_size=6, max_size=6),
)
def test_an_exact_tie_has_the_same_label_in_every_format_that_agrees(tied: list[bool], noise: list[float]) -> None:
    exact = np.where(tied, 1 / sum(tied), 0).astype(np.float32)[None]
    found = (exact.astype(np.float64) + 0.99 * parity.TOLERANCE * np.array(noise[: len(tied)])).astype(np.float32)
    assert most_probable(found).tolist() == most_probable(exact).tolist() == [tied.index(True)]


def identity() -> ort.InferenceSession:
    """Return a model whose probabilities are its two numbers."""
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1]) for name in "ab"]
    outputs = [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["N", 2])]
    core = helper.make_graph([helper.make_node("Concat", ["a", "b"], ["p"], axis=1)], "core", inputs, outputs)
    config = dataclasses.replace(CONFIG, categorical=[], categories={})
    model = helper.make_model(core, opset_imports=[helper.make_opsetid("", 18)])
    return onnx_format.load(onnx_format.dump(assemble(model, config, PINNED, joined=False, answer="p")))


@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.integers(-400, 400)), min_size=1, max_size=20))
def test_the_graph_has_the_same_rule_to_the_last_bit(rows: list[tuple[float, int]]) -> None:
    first = np.array([row[0] for row in rows], dtype=np.float32)
    second = (first.astype(np.float64) + TIE + np.array([row[1] for row in rows]) * 2.0**-26).astype(np.float32)
    found = onnx_format.predict(SESSION, {"a": first, "b": second})
    assert found.tolist() == labels(np.stack([first, second], axis=1), CONFIG).tolist()
    assert onnx_format.predict(SESSION, {"a": second, "b": first}).tolist() == [
        10 if b >= a - np.float32(TIE) else 20 for a, b in zip(first, second, strict=True)
    ]


SESSION = identity()


def fitted(dataset: Any, **arguments: Any) -> tuple[Any, Config, dict[str, np.ndarray]]:
    """Return a forest, and rows in which columns of different rows are mixed: the trees are of many minds."""
    import pandas as pd

    x, y = dataset.data.astype(np.float32), dataset.target
    names = [f"n{i}" for i in range(x.shape[1])]
    columns = ColumnTransformer([("numeric", estimators.ordinal()[0], names)])
    pipeline = make_pipeline(columns, RandomForestClassifier(random_state=0, **arguments))
    pipeline.fit(pd.DataFrame(x[::2], columns=names), y[::2])
    config = dataclasses.replace(CONFIG, numeric=names, categorical=[], categories={}, classes=sorted(set(y.tolist())))
    rng = np.random.default_rng(0)
    return pipeline, config, {name: rng.choice(x[:, i], 3000) for i, name in enumerate(names)}


@pytest.mark.parametrize(
    ("dataset", "arguments"),
    [(load_breast_cancer, {"n_estimators": 50}), (load_digits, {"n_estimators": 10, "min_samples_leaf": 3})],
)
def test_a_forest_whose_trees_tie_has_the_same_labels_in_onnx(dataset: Any, arguments: dict[str, int]) -> None:
    pipeline, config, rows = fitted(dataset(), **arguments)
    session = onnx_format.load(onnx_format.dump(onnx_sklearn.export(pipeline, config, PINNED)))
    expected, found = pickle_format.infer(pipeline, rows, config), onnx_format.infer(session, rows, config)
    tied = np.sort(expected, axis=1)
    assert (tied[:, -1] - tied[:, -2] < 1e-6).sum() > 20, "rows that tie"
    assert (expected.argmax(axis=1) != found.argmax(axis=1)).any(), "the largest alone would be another class in ONNX"
    assert np.abs(expected - found).max() < 1e-6
    assert (labels(expected, config) == labels(found, config)).all()
    assert (onnx_format.predict(session, rows) == labels(expected, config)).all()
