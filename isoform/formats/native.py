"""What scikit-learn's compiled code would read without looking, looked at before: nodes, indices and shapes in a pickle.

An altered child index is a crash, a circle an endless loop, one more column a write beyond an array. Each check belongs to a
global of isoform/formats/allowlist.py (checks.py says which) and raises `Refused` for arguments or a state that its class would
not write. Objects come in the order of the file, parts before wholes, and are never changed after: what was checked stays so.
"""

import math
from typing import Any

import numpy as np

from isoform.formats.arrays import require

State = Any
"""dict of attributes; what they are is the question"""


def is_array(found: Any, kinds: str, *shape: int | None) -> bool:
    """Tell whether this is a C-contiguous array of such a kind and shape; `None` is any length."""
    if not isinstance(found, np.ndarray) or found.dtype.kind not in kinds or found.ndim != len(shape):
        return False
    lengths = zip(found.shape, shape, strict=True)
    return bool(found.flags.c_contiguous) and all(wanted is None or length == wanted for length, wanted in lengths)


def is_count(found: Any, least: int = 0) -> bool:
    """Tell whether this is an `int` of at least `least`."""
    return type(found) is int and found >= least


# Trees.


def refuse_tree_arguments(arguments: tuple[Any, ...]) -> None:
    """Raise `Refused` unless these are a number of features, of classes (in an array), and one output."""
    good = len(arguments) == 3 and is_count(arguments[0], 1) and arguments[0] < 2**31 and arguments[2] == 1
    good = good and is_array(arguments[1], "i", 1) and arguments[1].dtype == np.int64 and 1 <= arguments[1][0] < 2**20
    require(good, "makes a tree of no known number of features, classes and outputs")


def refuse_tree_state(made: Any, state: Any) -> None:
    """Raise `Refused` unless the nodes of a `Tree` are a tree over its features."""
    from sklearn.tree._tree import NODE_DTYPE

    require(isinstance(state, dict), "holds a tree without nodes and values")
    nodes = state.get("nodes")
    good = is_array(nodes, "V", None) and nodes.dtype == NODE_DTYPE and nodes.flags.aligned
    require(good and is_array(state.get("values"), "f", len(nodes), None, None), "holds a tree without nodes and values")
    require(state.get("node_count") == len(nodes) and is_count(state.get("max_depth")), "holds a tree of another size")
    leaf = nodes["left_child"] == -1
    refuse_tree_links(nodes["left_child"], nodes["right_child"], leaf)
    require((nodes["right_child"][leaf] == -1).all(), "holds a tree with a leaf that goes on")
    refuse_tree_features(nodes["feature"][~leaf], made.n_features)


def refuse_tree_links(left: np.ndarray, right: np.ndarray, leaf: np.ndarray) -> None:
    """Raise `Refused` unless every node but the first is the child of exactly one node, which stands before it."""
    inner = np.flatnonzero(~leaf)
    children = np.concatenate([left[inner], right[inner]]).astype(np.int64)
    require(len(leaf) and ((children > 0) & (children < len(leaf))).all(), "holds a tree with a node outside the tree")
    require((children > np.tile(inner, 2)).all(), "holds a tree with a circle")
    require((np.bincount(children, minlength=len(leaf))[1:] == 1).all(), "holds a tree with a node of two parents, or none")


def refuse_tree_features(features: np.ndarray, width: int) -> None:
    """Raise `Refused` when a node asks for a feature that the rows do not have."""
    require(((features >= 0) & (features < width)).all(), f"holds a tree that asks for a feature outside the {width}")


def refuse_decision_tree(made: Any, state: State) -> None:
    """Raise `Refused` unless an estimator has a filled `Tree` over as many features as it says."""
    from sklearn.tree._tree import Tree

    tree, width = state.get("tree_"), state.get("n_features_in_")
    good = type(tree) is Tree and tree.node_count > 0 and type(width) is int and tree.n_features == width
    require(good, "holds an estimator whose tree is of other features")


def refuse_mixed_trees(found: Any, width: Any) -> None:
    """Raise `Refused` unless all are decision trees over the same features: an ensemble hands them rows unchecked."""
    from sklearn.tree import BaseDecisionTree

    good = len(found) and all(isinstance(tree, BaseDecisionTree) and vars(tree).get("n_features_in_") == width for tree in found)
    require(good and type(width) is int, "holds an ensemble whose trees are of other features")


BOOSTED = {
    "AbsoluteError": "IdentityLink", "ExponentialLoss": "HalfLogitLink", "HalfBinomialLoss": "LogitLink",
    "HalfMultinomialLoss": "MultinomialLogit", "HalfSquaredError": "IdentityLink", "HuberLoss": "IdentityLink",
    "PinballLoss": "IdentityLink",
}  # fmt: skip
"""The losses of gradient boosting, each with its link."""

MAX_DEGREE = 10
"""Of polynomial features."""


def refuse_forest(made: Any, state: State) -> None:
    """Raise `Refused` unless a forest is a list of trees over its features."""
    trees = state.get("estimators_")
    refuse_mixed_trees(trees if isinstance(trees, list) else [], state.get("n_features_in_"))
    # An answer is made as wide as the forest says, before any tree is asked.
    width = state.get("n_classes_", 1)
    good = state.get("n_outputs_") == 1 and all(tree.tree_.value.shape[1:] == (1, width) for tree in trees)
    require(good, "holds a forest whose trees have other answers")


def refuse_polynomial(made: Any, state: State) -> None:
    """Raise `Refused` for products of so many columns that they are counted for ever, or of columns that nobody fills."""
    least, most, width = state.get("_min_degree"), state.get("_max_degree"), state.get("n_features_in_")
    good = is_count(least) and is_count(most) and least <= most <= MAX_DEGREE
    require(good, f"holds polynomial features of a degree beyond {MAX_DEGREE}")
    alone, constant = state.get("interaction_only"), state.get("include_bias")
    good = type(alone) is bool and type(constant) is bool and is_count(width, 1)
    counts = [made._num_combinations(width, low, most, alone, constant) for low in (least, 0)] if good else []
    good = good and [state.get("n_output_features_"), state.get("_n_out_full")] == counts
    require(good, "holds polynomial features of another number of columns")


def refuse_boosting(made: Any, state: State) -> None:
    """Raise `Refused` unless gradient boosting has a table of trees, with as many columns as the answers that it adds them to."""
    from sklearn.dummy import DummyClassifier, DummyRegressor

    trees, start, loss = state.get("estimators_"), state.get("init_"), state.get("_loss")
    classifies = type(made).__name__ == "GradientBoostingClassifier"
    good = type(loss).__name__ in BOOSTED and type(vars(loss).get("link")).__name__ == BOOSTED[type(loss).__name__]
    require(good, "holds an ensemble with another loss")
    require(is_array(trees, "O", None, None), "holds an ensemble whose trees are of other features")
    refuse_mixed_trees(list(trees.flat), state.get("n_features_in_"))
    require(all(tree.tree_.value.shape[1:] == (1, 1) for tree in trees.flat), "holds a boosted tree with many answers")
    width = 1
    if isinstance(start, str) and start == "zero":
        width = state.get("n_trees_per_iteration_")
    elif classifies and type(start) is DummyClassifier and vars(start).get("_strategy") == "prior":
        prior = vars(start).get("class_prior_")
        require(is_array(prior, "f", None) and len(prior) > 1, "holds an ensemble that begins with no prior")
        width = len(prior) if loss.is_multiclass else 1
    else:
        require(not classifies and type(start) is DummyRegressor, "holds an ensemble that begins with another model")
    require(start == "zero" or vars(start).get("n_outputs_") == 1, "holds an ensemble that begins with another model")
    require(trees.shape[1] == width, "holds a boosted ensemble with another number of answers than of trees an iteration")


def refuse_histogram_tree(made: Any, state: State) -> None:
    """Raise `Refused` unless the nodes of a `TreePredictor` are a tree, with splits at numbers."""
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE

    nodes = state.get("nodes")
    require(is_array(nodes, "V", None) and nodes.dtype == PREDICTOR_RECORD_DTYPE, "holds a tree without nodes and values")
    refuse_tree_links(nodes["left"], nodes["right"], nodes["is_leaf"] != 0)
    require(not nodes["is_categorical"].any(), "holds a tree that splits at categories, and ours split at numbers")


def refuse_histogram_boosting(made: Any, state: State) -> None:
    """Raise `Refused` unless the trees of histogram boosting ask for its features only, all of them numbers."""
    from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor

    rounds, width = state.get("_predictors"), state.get("n_features_in_")
    trees = [tree for trees in rounds for tree in trees] if isinstance(rounds, list) else []
    good = all(type(tree) is TreePredictor and "nodes" in vars(tree) for tree in trees) and type(width) is int
    require(good and trees, "holds an ensemble whose trees are of other features")
    for tree in trees:
        refuse_tree_features(tree.nodes["feature_idx"][tree.nodes["is_leaf"] == 0], width)
    require(state.get("_preprocessor") is None and not state.get("_in_fit"), "holds an ensemble with categories")


# Neighbours.


def refuse_metric_state(made: Any, state: Any) -> None:
    """Raise `Refused` unless a distance is one without weights."""
    good = isinstance(state, tuple) and len(state) == 3 and is_array(state[1], "f", 1) and is_array(state[2], "f", 1, 1)
    require(good and isinstance(state[0], float), "holds a distance with weights")


def refuse_neighbour_tree(made: Any, state: Any) -> None:
    """Raise `Refused` unless the nodes of a `KDTree` are those that it builds of its points."""
    from sklearn.metrics import DistanceMetric
    from sklearn.neighbors import KDTree

    good = isinstance(state, tuple) and len(state) == 13 and is_array(state[0], "f", None, None) and state[0].dtype == np.float64
    good = good and is_count(state[4], 1) and type(state[11]).__name__ in ("EuclideanDistance64", "ManhattanDistance64")
    good = good and all(is_count(number) for number in state[4:11]) and state[12] is None
    require(good and state[0].size and np.isfinite(state[0]).all(), "holds a tree of neighbours without points")
    metric = DistanceMetric.get_metric(type(state[11]).__name__.removesuffix("Distance64").lower())
    expected = KDTree(state[0], leaf_size=state[4], metric=metric).__getstate__()
    same = all(
        isinstance(state[i], np.ndarray) and state[i].dtype == expected[i].dtype and np.array_equal(state[i], expected[i])
        for i in (1, 2, 3)
    )
    require(same and state[5:7] == expected[5:7], "holds a tree of neighbours that is not the tree of its points")


def refuse_neighbours(made: Any, state: State) -> None:
    """Raise `Refused` unless points, labels and tree belong together, and the distance is one that needs no code."""
    from sklearn.neighbors import KDTree

    points, tree, labels, wanted = state.get("_fit_X"), state.get("_tree"), state.get("_y"), state.get("n_neighbors")
    good = is_array(points, "f", None, None) and len(points) > 0
    good = good and is_count(state.get("n_features_in_")) and state["n_features_in_"] == points.shape[1]
    good = good and is_count(state.get("n_samples_fit_")) and state["n_samples_fit_"] == len(points)
    good = good and (
        (is_count(wanted, 1) and wanted <= len(points)) or (wanted is None and type(made).__name__.startswith("Radius"))
    )
    radius = state.get("radius")
    good = good and (radius is None or (isinstance(radius, float | int) and math.isfinite(radius)))
    good = good and state.get("outputs_2d_", False) is False
    good = good and isinstance(labels, np.ndarray) and labels.dtype.kind in "if" and labels.shape[:1] == points.shape[:1]
    if "classes_" in state and good:
        classes = state["classes_"]
        good = isinstance(classes, np.ndarray) and is_array(labels, "i", None) and ((labels >= 0) & (labels < len(classes))).all()
        outlier = state.get("outlier_label_")
        good = good and (outlier is None or (isinstance(outlier, list) and all(one in classes.tolist() for one in outlier)))
    require(good, "holds neighbours whose points and labels do not belong together")
    good = state.get("effective_metric_") in ("euclidean", "manhattan") and state.get("metric_params") is None
    good = good and state.get("metric") in ("minkowski", "euclidean", "manhattan") and not state.get("effective_metric_params_")
    require(good and state.get("weights") in ("uniform", "distance"), "holds neighbours by a distance that is not allowed")
    if state.get("_fit_method") == "kd_tree":
        good = type(tree) is KDTree and tree.data.shape == points.shape
    else:
        good = state.get("_fit_method") == "brute" and tree is None
    require(good, "holds neighbours without the tree of their points")


# Support vectors, one-hot codes, isotonic calibration.


def refuse_support_vectors(made: Any, state: State) -> None:
    """Raise `Refused` unless the arrays of a support vector machine have the sizes that libsvm takes for granted."""
    vectors, counts, width = state.get("support_vectors_"), state.get("_n_support"), state.get("n_features_in_")
    odd = f"holds a {type(made).__name__} whose arrays do not belong together"
    require(is_count(width, 1) and is_array(vectors, "f", None, width) and is_array(counts, "i", None), odd)
    rows, classes, classifies = len(vectors), len(counts), "SVC" in type(made).__name__
    pairs = classes * (classes - 1) // 2
    good = classes > 1 and (counts >= 0).all() and (counts.sum() == rows if classifies else (counts == rows).all())
    good = good and is_array(state.get("support_"), "i", rows) and is_array(state.get("_dual_coef_"), "f", classes - 1, rows)
    good = good and (classes == len(state.get("classes_", ())) if classifies else classes == 2)
    good = good and is_array(state.get("_intercept_"), "f", pairs) and rows > 0
    good = good and any(all(is_array(state.get(name), "f", size) for name in ("_probA", "_probB")) for size in (0, pairs))
    require(good and "_impl" not in state, odd)
    good = state.get("kernel") in ("linear", "poly", "rbf", "sigmoid") and state.get("_sparse") is False
    require(good, f"holds a {type(made).__name__} with a kernel that is not allowed")


def are_categories(categories: Any) -> bool:
    """Tell whether these are lists of categories: texts, at most one of them missing, or numbers that rise.

    Texts are looked up in a dict; numbers are searched by bisection, and a column is written where they are found.
    """
    if not isinstance(categories, list) or not all(isinstance(values, np.ndarray) and values.ndim == 1 for values in categories):
        return False
    return all(map(_is_searchable, categories))


def _is_searchable(values: np.ndarray) -> bool:
    if values.dtype.kind == "O":
        others = [value for value in values if type(value) is not str]  # what is missing
        return len(others) < 2 and all(value is None or (type(value) is float and math.isnan(value)) for value in others)
    return values.dtype.kind == "U" or bool((values[1:] > values[:-1]).all())  # a difference may wrap around


def refuse_ordinal(made: Any, state: State) -> None:
    """Raise `Refused` for categories that are none."""
    require(are_categories(state.get("categories_")), "holds ordinal codes of odd categories")


def refuse_one_hot(made: Any, state: State) -> None:
    """Raise `Refused` unless there is a column for each code that categories get, of which rare ones share one."""
    refuse_dropped(state)
    categories, columns = state.get("categories_"), state.get("_n_features_outs")
    good = are_categories(categories) and isinstance(columns, list) and all(map(is_count, columns))
    require(good and columns == _code_counts(state), "holds one-hot codes with other columns than categories")


def refuse_dropped(state: State) -> None:
    """Raise `Refused` for one-hot codes without one category: of a new value they warn, or they do not answer."""
    kept = state.get("drop") is None and state.get("_drop_idx_after_grouping") is None
    require(kept, "holds one-hot codes that drop a category")


def _code_counts(state: State) -> list[int]:
    """Return how many codes the categories of each column get; -1 for what scikit-learn would not write."""
    counts = [len(values) for values in state["categories_"]]
    enabled = state.get("_infrequent_enabled", False)
    if enabled is False:
        return counts
    rare, codes = state.get("_infrequent_indices"), state.get("_default_to_infrequent_mappings")
    if enabled is not True or not all(isinstance(part, list) and len(part) == len(counts) for part in (rare, codes)):
        return [-1]
    return [*map(_code_count, counts, rare, codes)]


def _code_count(count: int, rare: Any, codes: Any) -> int:
    if rare is None and codes is None:
        return count
    good = is_array(rare, "i", None) and len(rare) and is_array(codes, "i", count)
    good = good and all((part >= 0).all() and (part < count).all() for part in (rare, codes))
    return int(codes.max()) + 1 if good else -1


def refuse_steps(made: Any, state: State) -> None:
    """Raise `Refused` unless an isotonic regression has as many values as thresholds."""
    x, y = state.get("X_thresholds_"), state.get("y_thresholds_")
    require(is_array(x, "f", None) and is_array(y, "f", len(x)) and len(x), "holds steps without as many values")
