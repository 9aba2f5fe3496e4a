"""Converters of our own, where skl2onnx's refuse or answer wrongly; importing this module registers them.

What they mend, each of them proved by tests/test_onnx_converters.py:

- HistGradientBoosting*: skl2onnx hands NumPy booleans and integers to a protobuf that refuses them, rounds thresholds
  to the nearest float32, so that a number just at one goes astray, and forgets the inverse link of a Poisson or gamma loss.
- LinearDiscriminantAnalysis of two classes: it takes softmax([-d, d]) for sigmoid(d).
- Voting*: it refuses weights in a list, and the default of an argument that matters to `transform` alone.

Shapes: N rows, K raw scores a row.
"""

import copy
from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx import update_registered_converter
from skl2onnx._supported_operators import sklearn_operator_name_map
from skl2onnx.common._registration import get_converter
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes, calculate_linear_regressor_output_shapes
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, VotingClassifier, VotingRegressor


def convert_hist_gradient_boosting(scope: Any, operator: Any, container: Any) -> None:
    """Add raw scores, float32 [N, K], then what the loss makes of them: a number, or a label and probabilities."""
    model = operator.raw_operator

    def node(op_type: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        output = output or scope.get_unique_variable_name(op_type.lower())
        container.add_node(op_type, inputs, [output], name=scope.get_unique_operator_name(op_type), **attributes)
        return output

    raw = node("TreeEnsembleRegressor", operator.input_full_names, op_domain="ai.onnx.ml", **_ensemble(model))
    if not hasattr(model, "classes_"):
        inverse_link = {"IdentityLink": "Identity", "LogLink": "Exp"}[type(model._loss.link).__name__]
        node(inverse_link, [raw], operator.outputs[0].full_name)
        return
    label, answer = (output.full_name for output in operator.outputs)
    binary = len(model.classes_) == 2
    scores = node("Concat", [node("Neg", [raw]), raw], axis=1) if binary else raw
    if container.get_options(model, {"raw_scores": False})["raw_scores"]:
        node("Identity", [scores], answer)
    else:
        node("Sigmoid", [scores], answer) if binary else node("Softmax", [scores], answer, axis=1)
    classes, is_text = scope.get_unique_variable_name("classes"), isinstance(model.classes_[0], str)
    dtype = TensorProto.STRING if is_text else TensorProto.INT64
    container.add_initializer(classes, dtype, [len(model.classes_)], [c if is_text else int(c) for c in model.classes_])
    node("Gather", [classes, node("ArgMax", [scores], axis=1, keepdims=0)], label, axis=0)


def _ensemble(model: Any) -> dict[str, Any]:
    """Return the attributes of the TreeEnsembleRegressor that gives the model's raw scores."""
    trees = [tree for iteration in model._predictors for tree in iteration]
    nodes = np.concatenate([tree.nodes for tree in trees])
    if nodes["is_categorical"].any():
        raise NotImplementedError("it splits on categories; leave categorical_features out")
    sizes = [len(tree.nodes) for tree in trees]
    tree_ids = np.repeat(np.arange(len(trees)), sizes)
    node_ids = np.concatenate([np.arange(size) for size in sizes])
    is_leaf = nodes["is_leaf"].astype(bool)
    return {
        "n_targets": model.n_trees_per_iteration_,
        "base_values": np.ravel(model._baseline_prediction).astype(np.float32),
        "nodes_treeids": tree_ids.tolist(),
        "nodes_nodeids": node_ids.tolist(),
        "nodes_featureids": nodes["feature_idx"].tolist(),
        "nodes_modes": np.where(is_leaf, "LEAF", "BRANCH_LEQ").tolist(),
        "nodes_values": round_down(nodes["num_threshold"]),
        "nodes_truenodeids": nodes["left"].tolist(),
        "nodes_falsenodeids": nodes["right"].tolist(),
        "nodes_missing_value_tracks_true": nodes["missing_go_to_left"].astype(int).tolist(),
        "target_treeids": tree_ids[is_leaf].tolist(),
        "target_nodeids": node_ids[is_leaf].tolist(),
        "target_ids": (tree_ids[is_leaf] % model.n_trees_per_iteration_).tolist(),
        "target_weights": nodes["value"][is_leaf].astype(np.float32),
    }


def round_down(thresholds: np.ndarray) -> np.ndarray:
    """Return for each float64 t the largest float32 w ≤ t: for every float32 x, x ≤ w exactly when x ≤ t."""
    with np.errstate(over="ignore"):
        nearest = thresholds.astype(np.float32)
    down: np.ndarray = np.where(nearest > thresholds, np.nextafter(nearest, np.float32(-np.inf)), nearest)
    return down


def convert_discriminant_analysis(scope: Any, operator: Any, container: Any) -> None:
    """Halve the scores d of two classes: softmax([-d/2, d/2]) is sigmoid(d)."""
    model = operator.raw_operator
    if len(model.classes_) == 2 and not container.get_options(model, {"raw_scores": False})["raw_scores"]:
        operator.raw_operator = copy.copy(model)
        operator.raw_operator.coef_, operator.raw_operator.intercept_ = model.coef_ / 2, model.intercept_ / 2
    ORIGINAL[type(model)](scope, operator, container)


def convert_voting(scope: Any, operator: Any, container: Any) -> None:
    """Give skl2onnx the two arguments as it expects them."""
    model = operator.raw_operator = copy.copy(operator.raw_operator)
    weights = model._weights_not_none
    model.weights = None if weights is None else np.array(weights)
    model.flatten_transform = False
    ORIGINAL[type(model)](scope, operator, container)


MENDED = {
    HistGradientBoostingClassifier: (convert_hist_gradient_boosting, calculate_linear_classifier_output_shapes),
    HistGradientBoostingRegressor: (convert_hist_gradient_boosting, calculate_linear_regressor_output_shapes),
    LinearDiscriminantAnalysis: (convert_discriminant_analysis, calculate_linear_classifier_output_shapes),
    VotingClassifier: (convert_voting, calculate_linear_classifier_output_shapes),
    VotingRegressor: (convert_voting, calculate_linear_regressor_output_shapes),
}
ORIGINAL = {kind: get_converter(sklearn_operator_name_map[kind]) for kind in MENDED}
for _kind, (_converter, _shapes) in MENDED.items():
    _options = ORIGINAL[_kind].get_allowed_options()
    update_registered_converter(_kind, f"Isoform{_kind.__name__}", _shapes, _converter, options=_options)
