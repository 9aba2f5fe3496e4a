"""Fault 21: objects that an allowlist must name, with nodes, indices and sizes that compiled code would follow anywhere."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import try_both_ways, try_without_guard
from forging import Forged, fault, forged, with_estimator, with_forest, with_nodes, with_tree
from harness import Child, Fault, Outcome, Site
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

Record = Callable[[int, str, str, str, Outcome], None]
NATIVE, CHECKS = "isoform.formats.native", "isoform.formats.checks"


def widen(found: Any) -> None:
    """Let every tree ask for a feature a million beyond the row; only the row's width would tell."""

    def ask(state: dict[str, Any]) -> None:
        state["nodes"]["feature"][state["nodes"]["left_child"] >= 0] = 1 << 20

    for tree in found.estimators_:
        width, classes, outputs = tree.tree_.__reduce__()[1]
        tree.tree_, tree.n_features_in_ = forged(tree.tree_, ask, width + (1 << 20), classes, outputs), width + (1 << 20)


def empty(found: Any) -> None:
    """Leave a tree as it is before it has nodes."""
    found.estimators_[0].tree_ = Forged(*found.estimators_[0].tree_.__reduce__()[:2])


def grow(state: dict[str, Any]) -> None:
    state["node_count"] = 1 << 40


def two_columns(found: Any) -> None:
    """Let boosting add up to more columns than there are."""
    found[-1].estimators_ = np.hstack([found[-1].estimators_] * 50)


def alter_histogram(**fields: float) -> Callable[[Any], None]:
    def alter(found: Any) -> None:
        for field, value in fields.items():
            found[-1]._predictors[0][0].nodes[field][0] = value

    return alter


def alter_neighbours(found: Any) -> None:
    found[-1]._tree = forged(found[-1]._tree, lambda state: (state[0], state[1] + (1 << 40), *state[2:]))


def mislabel(found: Any) -> None:
    found[-1]._y = found[-1]._y + (1 << 40)


def miscount(found: Any) -> None:
    """Keep the sum, which is all that scikit-learn compares."""
    found[-1]._n_support = found[-1]._n_support + np.array([1 << 24, -(1 << 24)], dtype=np.int32)


def shift_columns(found: Any) -> None:
    """Let the second text column write a billion columns to the right of where it should."""
    encoder = found[0].named_transformers_["categorical"]
    first, second = encoder._n_features_outs
    encoder._n_features_outs = [first + (1 << 30), second - (1 << 30)]


LINKS, FEATURES = f"{NATIVE}:refuse_tree_links", f"{NATIVE}:refuse_tree_features"
BOOSTING = GradientBoostingClassifier(n_estimators=3, random_state=0)
HISTOGRAM = HistGradientBoostingClassifier(max_iter=3, random_state=0)
FORESTS = [
    *fault(21, "a node outside the tree", with_nodes(left_child=(0, 1 << 40)), "with a node outside the tree", LINKS),
    *fault(21, "a node before the tree", with_nodes(right_child=(0, -(1 << 30))), "with a node outside the tree", LINKS),
    *fault(21, "a circle", with_nodes(left_child=(1, 1), right_child=(1, 1)), "holds a tree with a circle", LINKS, timeout_s=5.0),
    *fault(21, "a node of two parents", with_nodes(right_child=(0, 1)), "with a node of two parents, or none", LINKS),
    *fault(21, "a feature outside the row", with_nodes(feature=(0, 1 << 40)), "asks for a feature outside the 6", FEATURES),
    *fault(21, "a feature before the row", with_nodes(feature=(0, -(1 << 40))), "asks for a feature outside the 6", FEATURES),
    *fault(21, "more nodes than there are", with_tree(grow), "holds a tree of another size", f"{NATIVE}:refuse_tree_state"),
    *fault(
        21, "a tree without nodes", with_forest(empty), "an estimator whose tree is of other", f"{NATIVE}:refuse_decision_tree"
    ),
    *fault(21, "a forest of wider trees", with_forest(widen), "an ensemble whose trees are of other", f"{NATIVE}:refuse_forest"),
    *fault(
        21,
        "a method replaced",
        with_forest(lambda forest: setattr(forest, "_validate_X_predict", np.float32)),
        "sets the attribute _validate_X_predict of a RandomForestClassifier",
        f"{CHECKS}:refuse_shadow",
    ),
    *fault(
        21,
        "5000 threads",
        with_forest(lambda forest: setattr(forest, "n_jobs", 5000)),
        "asks for 5000 threads",
        f"{CHECKS}:refuse_threads",
    ),
    *fault(
        21,
        "boosting with columns beyond the answer",
        with_estimator(BOOSTING, two_columns),
        "another number of answers than of trees an iteration",
        f"{NATIVE}:refuse_boosting",
    ),
    *fault(
        21,
        "a histogram tree's node outside the tree",
        with_estimator(HISTOGRAM, alter_histogram(left=1 << 30)),
        "with a node outside the tree",
        LINKS,
    ),
    *fault(
        21,
        "a histogram tree's feature outside the row",
        with_estimator(HISTOGRAM, alter_histogram(feature_idx=1 << 40)),
        "asks for a feature outside the 6",
        FEATURES,
    ),
    *fault(
        21,
        "a histogram tree's set outside the sets",
        with_estimator(HISTOGRAM, alter_histogram(is_categorical=1, bitset_idx=1 << 30)),
        "holds a tree that splits at categories",
        f"{NATIVE}:refuse_histogram_tree",
    ),
    *fault(
        21,
        "a neighbour outside the points",
        with_estimator(KNeighborsClassifier(), alter_neighbours),
        "is not the tree of its points",
        f"{NATIVE}:refuse_neighbour_tree",
    ),
    *fault(
        21,
        "a neighbour's label outside the classes",
        with_estimator(KNeighborsClassifier(algorithm="brute"), mislabel),
        "points and labels do not belong together",
        f"{NATIVE}:refuse_neighbours",
    ),
    *fault(
        21,
        "support vectors miscounted",
        with_estimator(SVC(probability=True, random_state=0), miscount),
        "holds a SVC whose arrays do not belong together",
        f"{NATIVE}:refuse_support_vectors",
    ),
    *fault(
        21,
        "one-hot codes outside the columns",
        with_estimator(LogisticRegression(), shift_columns, onehot=True),
        "holds one-hot codes with other columns than categories",
        f"{NATIVE}:refuse_one_hot",
    ),
]


@pytest.mark.parametrize("fault", FORESTS, ids=str)
def test_it_is_held(fault: Fault, child: Child, make_site: Callable[[str], Site], record: Record) -> None:
    try_both_ways(fault, child, make_site(fault.format), record)


@pytest.mark.parametrize("fault", FORESTS, ids=str)
def test_it_is_not_held_without_its_guard(fault: Fault, child: Child, make_site: Callable[[str], Site]) -> None:
    try_without_guard(fault, child, make_site(fault.format))
