"""stages.validate against the ways in which exporters go wrong: each is blocked, with its own reason.

Where the held-out rows alone would let it through, the test says so: then it is the hostile rows that block it.
"""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from builders import CATEGORICAL, NUMERIC, SEED, Workspace, frame, start
from onnx import ModelProto, TensorProto, helper, numpy_helper
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from isoform import networks
from isoform.errors import CheckFailed
from isoform.formats import FORMATS
from isoform.formats import joblib as joblib_format
from isoform.formats import onnx as onnx_format
from isoform.formats import pickle as pickle_format
from pipeline import estimators, hostile, jumps, onnx_sklearn, parity, records

HELD_OUT = r"format 'onnx', test row \d+: answers \[.*, (joblib|state_dict) answers"
"""A held-out row as it is."""
HOSTILE = r"format 'onnx', test row \d+ with {} = {}.*: answers \[.*, (joblib|state_dict) answers"
"""A held-out row with a hostile value in a column."""
NUMBER = r"-?\d[\d.e-]*"


def refused(workspace: Workspace, model: str, reason: str) -> str:
    """Validate the model, expect `reason`, and return the error with which it is not published."""
    with pytest.raises(CheckFailed, match=reason) as caught:
        workspace.validate(model)
    assert not (workspace.folder(model) / "metadata.json").exists()
    line = str(caught.value)
    assert line.startswith("format 'onnx'")
    assert line.endswith("; correct its exporter; nothing was published")
    return line


def passes_without_hostile_rows(workspace: Workspace, model: str) -> bool:
    """Tell whether the held-out rows alone would have let the model through."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hostile, "cases", lambda columns, config, rows: [(rows[0], {})])
        patch.setattr(jumps, "cases", lambda *arguments: [])
        try:
            workspace.validate(model)
        except CheckFailed:
            return False
    return True


def edit(workspace: Workspace, model: str, change: Callable[[ModelProto], None]) -> None:
    """Change model.onnx into what a worse exporter would have written."""
    made = onnx.load_model_from_string(workspace.file(model, "onnx").read_bytes())
    change(made)
    workspace.write(model, "onnx", onnx_format.dump(made))


def node(made: ModelProto, operator: str, output: str = "") -> Any:
    return next(node for node in made.graph.node if node.op_type == operator and output in node.output[0])


def attribute(found: Any, name: str) -> Any:
    return next(attribute for attribute in found.attribute if attribute.name == name)


def set_attribute(found: Any, name: str, value: int) -> None:
    others = [attribute for attribute in found.attribute if attribute.name != name]
    del found.attribute[:]
    found.attribute.extend([*others, helper.make_attribute(name, value)])


def fit(workspace: Workspace, estimator: Any, preprocessing: tuple[Any, Any] | None = None) -> None:
    """Put a Pipeline of another estimator in the place of the forest, and convert it by the project's own stage."""
    import pandas as pd

    columns, labels = workspace.train_rows()
    numeric, categorical = preprocessing or estimators.ordinal()
    front = ColumnTransformer([("numeric", numeric, NUMERIC), ("categorical", categorical, CATEGORICAL)])
    pipeline = Pipeline([("columns", front), ("model", estimator)]).fit(pd.DataFrame(columns), labels)
    contents = {"joblib": joblib_format.dump(pipeline), "pickle": pickle_format.dump(pipeline)}
    records.write(workspace.folder("forest"), "train", {FORMATS[name].filename: data for name, data in contents.items()})
    workspace.convert("forest")


# A wrong converter


def test_a_converter_that_is_wrong_without_flipping_a_label_is_blocked(workspace: Workspace) -> None:
    fit(workspace, CalibratedClassifierCV(LogisticRegression(), method="isotonic", cv=3), estimators.onehot(sparse=False))
    assert re.search(r"; \d+ of 60 rows differ by more than 1e-05, 0 in the label", refused(workspace, "forest", HELD_OUT))


def test_a_converter_that_misreads_a_nested_estimator_is_blocked(workspace: Workspace) -> None:
    # skl2onnx is off by a half where a calibrated estimator is a Pipeline of its own.
    scaled = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    fit(workspace, CalibratedClassifierCV(scaled, method="sigmoid", cv=3), estimators.onehot(sparse=False))
    refused(workspace, "forest", HELD_OUT)


def test_a_softmax_over_the_batch_is_blocked(workspace: Workspace) -> None:
    edit(workspace, "network", lambda made: set_attribute(node(made, "Softmax"), "axis", 0))
    refused(workspace, "network", r"test row 0: answers .*, which lie outside \[0, 1\] or do not sum to 1; 60 of 60 rows")


def test_a_softmax_whose_classes_are_exchanged_is_blocked(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(networks, "answer", lambda output, task: torch.softmax(output, dim=1).flip(1))
        workspace.convert("network")
    refused(workspace, "network", HELD_OUT)


# A batch frozen at the example's


ROWS_OF: dict[str, Callable[[torch.Tensor], int]] = {"shape": lambda numeric: numeric.shape[0], "len": len}
"""Two ways for a network to use the number of rows. torch's exporter makes a constant of the second, whatever it is told."""


@pytest.mark.parametrize(("rows", "careless"), [("shape", False), ("shape", True), ("len", False)])
def test_a_batch_frozen_at_the_examples_is_blocked(
    rows: str, careless: bool, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    export, forward = torch.onnx.export, networks.SimpleClassifier.forward

    def counting(self: Any, numeric: torch.Tensor, categories: torch.Tensor) -> torch.Tensor:
        return forward(self, numeric, categories) + torch.zeros(ROWS_OF[rows](numeric), 2)

    def without_dynamic_shapes(*arguments: Any, **options: Any) -> Any:
        return export(*arguments, **options | {"dynamic_shapes": None})

    with monkeypatch.context() as patch:
        patch.setattr(networks.SimpleClassifier, "forward", counting)
        if careless:
            patch.setattr(torch.onnx, "export", without_dynamic_shapes)
        workspace.convert("network")
    if (rows, careless) == ("shape", False):
        workspace.validate("network")
    else:
        refused(workspace, "network", r"its output 'label' is tensor\(int64\) \[2\]; expected tensor\(int64\) \[N\] for any N")


@pytest.mark.parametrize("model", ["forest", "logistic", "network"])
def test_a_batch_frozen_in_the_signature_is_blocked(model: str, workspace: Workspace) -> None:
    def freeze(made: ModelProto) -> None:
        for tensor in made.graph.input:
            tensor.type.tensor_type.shape.dim[0].dim_value = 2

    edit(workspace, model, freeze)
    refused(workspace, model, r"its input 'n0' is tensor\(float\) \[2, 1\]; expected tensor\(float\) \[N, 1\] for any N")


def test_an_answer_that_is_right_in_small_batches_only_is_blocked(workspace: Workspace) -> None:
    def limit(made: ModelProto) -> None:
        """Add to the answers 1e-4 a hundred rows: nothing in batches of 60."""
        answer = node(made, "Identity", "probabilities")
        made.graph.initializer.append(numpy_helper.from_array(np.float32([100]), "/hundred"))
        made.graph.initializer.append(numpy_helper.from_array(np.float32([1e-4, -1e-4]), "/off"))
        source = answer.input[0]
        added = [
            helper.make_node("Shape", [source], ["/shape"], end=1),
            helper.make_node("Cast", ["/shape"], ["/rows"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["/rows", "/hundred"], ["/hundreds"]),
            helper.make_node("Cast", ["/hundreds"], ["/whole"], to=TensorProto.INT64),
            helper.make_node("Cast", ["/whole"], ["/factor"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["/factor", "/off"], ["/error"]),
        ]
        made.graph.node.extend(added)
        made.graph.node.append(helper.make_node("Add", [source, "/error"], ["probabilities"]))
        made.graph.node.remove(answer)

    edit(workspace, "network", limit)
    settings = workspace.read_params().model_dump()
    settings["evaluation"]["parity_batches"] = [1, 1000]
    workspace.write_params(settings)
    refused(workspace, "network", HELD_OUT)


def test_a_graph_that_cannot_take_no_rows_is_blocked(workspace: Workspace) -> None:
    def read_the_first_row(made: ModelProto) -> None:
        answer = node(made, "Identity", "probabilities")
        made.graph.initializer.append(numpy_helper.from_array(np.array([0]), "/first"))
        made.graph.initializer.append(numpy_helper.from_array(np.float32(0), "/nothing"))
        added = [
            helper.make_node("Gather", [answer.input[0], "/first"], ["/row"], axis=0),
            helper.make_node("Mul", ["/row", "/nothing"], ["/zeros"]),
            helper.make_node("Add", [answer.input[0], "/zeros"], ["probabilities"]),
        ]
        made.graph.node.remove(answer)
        made.graph.node.extend(added)

    edit(workspace, "network", read_the_first_row)
    refused(workspace, "network", r"format 'onnx': failed on a batch of no rows \(")


# An encoder outside the graph, or in it and wrong


@pytest.mark.parametrize("model", ["forest", "network"])
def test_an_encoder_left_outside_the_graph_is_blocked(model: str, workspace: Workspace) -> None:
    def leave_out(made: ModelProto) -> None:
        for name in CATEGORICAL:
            column = next(tensor for tensor in made.graph.input if tensor.name == name)
            column.type.tensor_type.elem_type = TensorProto.INT64
        for encoder in [node for node in made.graph.node if node.op_type == "LabelEncoder"]:
            encoder.CopyFrom(helper.make_node("Identity", list(encoder.input), list(encoder.output)))

    edit(workspace, model, leave_out)
    refused(workspace, model, r"its input 'c0' is tensor\(int64\) \['N', 1\]; expected tensor\(string\) \[N, 1\]")


@pytest.mark.parametrize("model", ["forest", "network"])
def test_an_unseen_value_that_becomes_a_known_one_is_blocked(model: str, workspace: Workspace) -> None:
    # For a forest the first and the unknown lie on the same side of every threshold: there it becomes the last one.
    known = 3 if model == "forest" else 1
    edit(workspace, model, lambda made: set_attribute(node(made, "LabelEncoder"), "default_int64", known))
    assert passes_without_hostile_rows(workspace, model)
    refused(workspace, model, HOSTILE.format("c0", "'"))


def test_a_value_of_training_that_no_held_out_row_holds_and_that_is_encoded_wrongly_is_blocked(workspace: Workspace) -> None:
    columns, _ = workspace.test_rows()
    rare = [value for value in workspace.config("network").categories["c1"] if value not in set(columns["c1"])]
    assert rare == ["once"]

    def misspell(made: ModelProto) -> None:
        keys = attribute(node(made, "LabelEncoder", "1"), "keys_strings")
        keys.strings[list(keys.strings).index(b"once")] = b"onze"

    edit(workspace, "network", misspell)
    assert passes_without_hostile_rows(workspace, "network")
    refused(workspace, "network", HOSTILE.format("c1", "'once'"))


def test_an_encoder_that_ignores_case_and_space_is_blocked(workspace: Workspace) -> None:
    def lenient(made: ModelProto) -> None:
        encoder = node(made, "LabelEncoder")
        keys, values = attribute(encoder, "keys_strings"), attribute(encoder, "values_int64s")
        for key, value in list(zip(keys.strings, values.ints, strict=True)):
            if key:
                keys.strings.extend([key.upper(), b" " + key])
                values.ints.extend([value, value])

    edit(workspace, "network", lenient)
    assert passes_without_hostile_rows(workspace, "network")
    refused(workspace, "network", HOSTILE.format("c0", "'"))


def test_a_graph_that_fails_on_a_value_unseen_in_training_is_blocked(workspace: Workspace) -> None:
    def strict(made: ModelProto) -> None:
        """Have the unseen index point behind the embedding's end."""
        set_attribute(node(made, "LabelEncoder"), "default_int64", 10_000)

    edit(workspace, "network", strict)
    assert passes_without_hostile_rows(workspace, "network")
    refused(workspace, "network", r"format 'onnx', test row \d+ with c0 = .*: failed on all rows at once \(")


# The row policy


@pytest.mark.parametrize("model", ["forest", "logistic", "network"])
def test_infinities_that_reach_the_model_are_blocked(model: str, workspace: Workspace) -> None:
    def let_through(made: ModelProto) -> None:
        for policy in [node for node in made.graph.node if "/rows/nan" in node.input]:
            policy.CopyFrom(helper.make_node("Identity", [policy.input[2]], list(policy.output)))

    edit(workspace, model, let_through)
    assert passes_without_hostile_rows(workspace, model)
    refused(workspace, model, HOSTILE.format(r"n\d", "-?(inf|1e[+]300|3.4028235677973366e[+]38)"))


def test_an_answer_that_is_not_finite_for_one_hostile_row_alone_is_blocked(workspace: Workspace) -> None:
    columns, _ = workspace.test_rows()
    row = next(i for i in parity.sample(columns, hostile.ROWS, SEED) if not np.isnan(columns["n1"][i]))

    def spoil(made: ModelProto) -> None:
        answer = node(made, "Identity", "probabilities")
        constants = {"/n0": 1e38, "/n1": columns["n1"][row]}
        for name, value in constants.items():
            made.graph.initializer.append(numpy_helper.from_array(np.array(value, dtype=np.float32), name))
        made.graph.node.extend(
            [
                helper.make_node("Equal", ["n0", "/n0"], ["/is_n0"]),
                helper.make_node("Equal", ["n1", "/n1"], ["/is_n1"]),
                helper.make_node("And", ["/is_n0", "/is_n1"], ["/is_that_row"]),
                helper.make_node("Where", ["/is_that_row", "/rows/nan", answer.input[0]], ["probabilities"]),
            ]
        )
        made.graph.node.remove(answer)

    edit(workspace, "forest", spoil)
    assert passes_without_hostile_rows(workspace, "forest")
    refused(workspace, "forest", rf"test row {row} with n0 = 1e\+38: answers \[nan, nan\], which is not finite.*; 1 of \d+ rows")


# Thresholds


def moved(direction: float) -> Callable[[ModelProto], None]:
    def change(made: ModelProto) -> None:
        values = attribute(node(made, "TreeEnsembleClassifier"), "nodes_values")
        values.floats[:] = np.nextafter(np.array(values.floats, dtype=np.float32), np.float32(direction))

    return change


def strictly(made: ModelProto) -> None:
    modes = attribute(node(made, "TreeEnsembleClassifier"), "nodes_modes")
    modes.strings[:] = [b"BRANCH_LT" if mode == b"BRANCH_LEQ" else mode for mode in modes.strings]


@pytest.mark.parametrize("change", [moved(np.inf), moved(-np.inf), strictly], ids=["above", "below", "less, not less or equal"])
def test_thresholds_off_by_one_float32_are_blocked(change: Callable[[ModelProto], None], workspace: Workspace) -> None:
    edit(workspace, "forest", change)
    assert passes_without_hostile_rows(workspace, "forest")
    refused(workspace, "forest", HOSTILE.format(r"n\d", NUMBER))


def test_float64_thresholds_rounded_to_the_nearest_float32_are_blocked(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("skl2onnx.common.tree_ensemble.sklearn_threshold", lambda exact, *_: np.float32(exact))
        fit(workspace, RandomForestClassifier(20, random_state=0))
    assert passes_without_hostile_rows(workspace, "forest")
    refused(workspace, "forest", HOSTILE.format(r"n\d", NUMBER))


@pytest.mark.parametrize("careless", [True, False])
def test_a_forest_behind_a_scaler_that_rounds_otherwise_is_blocked(
    careless: bool, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        if careless:  # as skl2onnx scales by itself: it multiplies by the inverse
            right = onnx_sklearn._options
            patch.setattr(onnx_sklearn, "_options", lambda *arguments: right(*arguments) | {StandardScaler: {"div": "std"}})
        fit(workspace, RandomForestClassifier(20, random_state=0), estimators.onehot(sparse=False))
    assert passes_without_hostile_rows(workspace, "forest")
    if careless:
        refused(workspace, "forest", HOSTILE.format(r"n\d", NUMBER))
    else:
        workspace.validate("forest")


# Labels


@pytest.mark.parametrize("trees", [2, 20])
def test_a_label_that_is_another_at_ties_only_is_blocked(trees: int, workspace: Workspace) -> None:
    fit(workspace, RandomForestClassifier(trees, random_state=0))

    def untied(made: ModelProto) -> None:
        if trees == 2:
            set_attribute(node(made, "ArgMax"), "select_last_index", 1)
        else:  # as the largest alone decides: this sum of 20 weights rounds to more than a half
            node(made, "ArgMax").input[0] = node(made, "Identity", "probabilities").input[0]

    workspace.validate("forest")
    edit(workspace, "forest", untied)
    refused(
        workspace,
        "forest",
        r"test row \d+.*: its label is (0, joblib's 1|1, joblib's 0) of \[0\.5, 0\.5\]; \d+ of \d+ rows are wrong",
    )


def test_a_label_of_another_type_is_blocked(workspace: Workspace) -> None:
    def to_text(made: ModelProto) -> None:
        classes = next(constant for constant in made.graph.initializer if constant.name == "/answer/classes")
        classes.CopyFrom(numpy_helper.from_array(np.array(["0", "1"], dtype=object), classes.name))
        made.graph.output[0].type.tensor_type.elem_type = TensorProto.STRING

    edit(workspace, "forest", to_text)
    refused(workspace, "forest", r"its output 'label' is tensor\(string\) \['N'\]; expected tensor\(int64\) \[N\]")


# Predictions


@pytest.fixture
def regression(tmp_path: Any) -> Workspace:
    """A forest that predicts numbers of either sign, spread by about a thousand."""
    table = frame("mixed")
    table["y"] = 1e3 * (table["n0"].fillna(0) + (table["c0"] == "red"))
    workspace = start(tmp_path / "regression", "mixed", table, task="regression")
    workspace.prepare()
    workspace.folder("forest").mkdir(parents=True)
    fit(workspace, RandomForestRegressor(10, random_state=0))
    return workspace


def off(by: float) -> Callable[[ModelProto], None]:
    def change(made: ModelProto) -> None:
        answer = node(made, "Identity", "prediction")
        made.graph.initializer.append(numpy_helper.from_array(np.float32(by), "/off"))
        answer.CopyFrom(helper.make_node("Add", [answer.input[0], "/off"], ["prediction"]))

    return change


def test_a_prediction_is_held_to_the_tolerance_in_units_of_its_scale(regression: Workspace) -> None:
    exported = regression.file("forest", "onnx").read_bytes()
    edit(regression, "forest", off(0.005))
    regression.validate("forest")
    found = regression.metadata("forest").files["onnx"].parity
    assert found is not None
    assert found.max_difference == pytest.approx(0.005 / regression.schema().target_scale, rel=0.05)
    regression.write("forest", "onnx", exported)
    edit(regression, "forest", off(0.05))
    line = refused(
        regression, "forest", r"format 'onnx', test row \d+: answers \[-?\d+\.\d+\], joblib answers \[-?\d+\.\d+\]; 60 of 60"
    )
    assert "label" not in line


def test_a_regressions_thresholds_off_by_one_float32_are_blocked(regression: Workspace) -> None:
    def change(made: ModelProto) -> None:
        values = attribute(node(made, "TreeEnsembleRegressor"), "nodes_values")
        values.floats[:] = np.nextafter(np.array(values.floats, dtype=np.float32), np.float32(np.inf))

    edit(regression, "forest", change)
    assert passes_without_hostile_rows(regression, "forest")
    refused(regression, "forest", HOSTILE.format(r"n\d", NUMBER))
