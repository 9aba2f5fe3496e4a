"""Fault 21: objects that an allowlist must name, with nodes, indices and sizes that compiled code would follow anywhere."""

from collections.abc import Callable
from typing import Any

import numpy as np
from builders import NUMERIC
from cases import both
from forging import WRITERS, Forged, fault, forged, good, with_estimator, with_forest, with_nodes, with_tree
from harness import Site
from sklearn._loss.link import IdentityLink
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KDTree, KNeighborsClassifier
from sklearn.neighbors._kd_tree import newObj
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import LabelEncoder, OrdinalEncoder, PolynomialFeatures
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import Bunch

NATIVE, ATTRIBUTES, ARRAYS = (f"isoform.formats.{name}" for name in ("native", "attributes", "arrays"))
LEDGER, POLICY = (f"isoform.formats.{name}" for name in ("ledger", "policy"))


FAR = 10_000
"""Columns; of more than these there would have to be something in the file."""


def widen(found: Any) -> None:
    """Let every tree but the first, the only one that boosting asks for its width, ask for a feature far beyond the row."""

    def ask(state: dict[str, Any]) -> None:
        state["nodes"]["feature"][state["nodes"]["left_child"] >= 0] = FAR

    for tree in np.ravel(found.estimators_)[1:]:
        width, classes, outputs = tree.tree_.__reduce__()[1]
        tree.tree_, tree.n_features_in_ = forged(tree.tree_, ask, width + FAR, classes, outputs), width + FAR


def boast(found: Any) -> None:
    """Let a forest say that it answers with 33 million classes."""
    found.n_classes_ = 1 << 25


def multiply(found: Any) -> None:
    """Put products of a billion columns each in front of the model."""
    products = PolynomialFeatures(interaction_only=True).fit(np.zeros((3, found[-1].n_features_in_)))
    products._max_degree = 10**9
    found.steps.insert(1, ("products", products))


def overstate(found: Any) -> None:
    """Leave a column of products unfilled, and weigh it by nothing: a NaN or an infinity there would be in the answer."""
    products = PolynomialFeatures(1, include_bias=False).fit(np.zeros((3, found[-1].n_features_in_)))
    products._n_out_full = products.n_output_features_ = products.n_output_features_ + 1
    found.steps.insert(1, ("products", products))
    found[-1].n_features_in_, found[-1].coef_ = products._n_out_full, np.pad(found[-1].coef_, ((0, 0), (0, 1)))


def tabulate(found: Any) -> None:
    """Give a linear model three thousand classes, each with an intercept in a row of its own."""
    found[-1].coef_ = np.zeros((3000, found[-1].coef_.shape[1]))
    found[-1].intercept_ = np.zeros((3000, 1))


def outgrow(found: Any) -> None:
    """Let the tree of an estimator ask for a feature a billion beyond the row that the estimator lets pass."""
    width = found[-1].n_features_in_
    widen(Bunch(estimators_=[None, found[-1]]))
    found[-1].n_features_in_ = width


def inflate(found: Any) -> None:
    """Give a dummy, which asks nothing of a row, answers to 200 million classes."""
    found[-1].n_classes_ = 200_000_000


def pass_through_nothing(found: Any) -> None:
    """Widen a row to ten million columns of nothing, and back, between two layers."""
    network, wide = found[-1], 10_000_000
    network.coefs_ = [np.zeros((network.n_features_in_, 0)), np.zeros((0, wide)), np.zeros((wide, 0)), np.zeros((0, 1))]
    network.intercepts_ = [np.zeros(0), np.zeros(1), np.zeros(0), np.zeros(1)]
    network.n_layers_ = 5


def many_outputs(found: Any) -> None:
    """Let a tree copy the numbers of classes of sixteen million answers, where there is one."""
    tree = found.estimators_[0]
    width, classes, _ = tree.tree_.__reduce__()[1]
    tree.tree_ = forged(tree.tree_, lambda state: None, width, classes, 1 << 24)


def bare(found: Any) -> None:
    """Have a tree asked that is in no estimator, which would check the row."""
    widen(Bunch(estimators_=[None, *found[-1].estimators_]))
    found[-1].estimators_, found[-1].stack_method_ = [found[-1].estimators_[0].tree_], ["predict"]


def narrow(found: Any) -> None:
    """Leave histogram trees one column of the rows, by what would encode categories."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    found[-1]._preprocessor = ColumnTransformer([("one", encoder, [0])]).fit(np.zeros((3, found[-1].n_features_in_)))


def weigh(found: Any) -> None:
    """Give a distance weights of three columns."""
    tree = found[-1]._tree
    metric = forged(tree.__getstate__()[11], lambda state: (state[0], np.ones(3), np.ones((3, 3))))
    found[-1]._tree = forged(tree, lambda state: (*state[:11], metric, state[12]))


def level(found: Any) -> None:
    """Leave an isotonic calibration one step for all its thresholds: it would answer the same to every row."""
    steps = found[-1].calibrated_classifiers_[0].calibrators[0]
    steps.y_thresholds_ = steps.y_thresholds_[:1]


def other_model(site: Site) -> bytes:
    """Return what is no Pipeline and answers like the one that it holds."""
    inner = good(site)
    model: Any = VotingClassifier([("inner", inner)], voting="soft")
    model.estimators_, model.classes_, model.le_ = [inner], inner.classes_, LabelEncoder().fit(inner.classes_)
    model.feature_names_in_ = inner.feature_names_in_
    return WRITERS[site.format](model)


def swap_columns(found: Any) -> None:
    """Let the Pipeline say that it was fitted on the same columns in another order."""
    names = found.feature_names_in_
    found[0].feature_names_in_ = np.array([names[1], names[0], *names[2:]], dtype=object)


def swap_classes(found: Any) -> None:
    """Let the forest give the probability of each class as that of the other."""
    found[-1].classes_ = found[-1].classes_[::-1].copy()


def forget_columns(found: Any) -> None:
    del found[0].feature_names_in_


def forget_inner_columns(found: Any) -> None:
    """Let what fills gaps say that it was fitted on an array, and be given a table."""
    del found[0].transformers_[0][1].feature_names_in_


def name_inner_columns(found: Any) -> None:
    """Let a model that is given an array, inside another, say that it was fitted on a table."""
    inner = found[-1].estimators_[0]
    inner.feature_names_in_ = np.array([f"n{at}" for at in range(inner.n_features_in_)], dtype=object)


def demand(found: Any) -> None:
    """Let a linear model ask for a column more than it is given."""
    found[-1].n_features_in_ += 1


def overflow(found: Any) -> None:
    """Let a linear model answer with NaN."""
    found[-1].intercept_ = np.array([np.nan])


def with_pipeline(alter: Callable[[Any], None]) -> Callable[[Site], bytes]:
    """Return a maker of the good Pipeline altered."""

    def make(site: Site) -> bytes:
        found = good(site)
        alter(found)
        return WRITERS[site.format](found)

    return make


def empty(found: Any) -> None:
    """Leave a tree as it is before it has nodes."""
    found.estimators_[0].tree_ = Forged(*found.estimators_[0].tree_.__reduce__()[:2])


def hollow(found: Any) -> None:
    """Leave a tree of neighbours as it is before it has points."""
    found[-1]._tree = Forged(newObj, (KDTree,))


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
STACK = StackingClassifier([("tree", DecisionTreeClassifier(max_depth=3))], cv=2)
HISTOGRAM = HistGradientBoostingClassifier(max_iter=3, random_state=0)
FORESTS = [
    *fault(21, "a node outside the tree", with_nodes(left_child=(0, 1 << 40)), "with a node outside the tree", LINKS),
    *fault(21, "a node before the tree", with_nodes(right_child=(0, -(1 << 30))), "with a node outside the tree", LINKS),
    *fault(21, "a circle", with_nodes(left_child=(1, 1), right_child=(1, 1)), "holds a tree with a circle", LINKS, timeout_s=5.0),
    *fault(21, "a node of two parents", with_nodes(right_child=(0, 1)), "with a node of two parents, or none", LINKS),
    *fault(21, "a feature outside the row", with_nodes(feature=(0, 1 << 40)), "asks for a feature outside the 6", FEATURES),
    *fault(21, "a feature before the row", with_nodes(feature=(0, -(1 << 40))), "asks for a feature outside the 6", FEATURES),
    *fault(21, "more nodes than there are", with_tree(grow), "holds a tree of another size", f"{NATIVE}:refuse_tree_state"),
    *fault(21, "a tree without nodes", with_forest(empty), "holds a Tree that never gets a state", f"{LEDGER}:refuse_hollow"),
    *fault(
        21,
        "answers that the file is too small for",
        with_estimator(DummyClassifier(strategy="uniform"), inflate),
        "holds 200000000 as n_classes_, and nothing of that number",
        "isoform.formats.counts:refuse_counts",
        "pickle",
    ),
    *fault(
        21,
        "layers of nothing",
        with_estimator(MLPClassifier((2, 2), max_iter=1), pass_through_nothing),
        "holds an array of nothing, 10000000 long",
        f"{ARRAYS}:refuse_wide_nothing",
    ),
    *fault(
        21,
        "a tree without points",
        with_estimator(KNeighborsClassifier(algorithm="kd_tree"), hollow),
        "holds a KDTree that never gets a state",
        f"{LEDGER}:refuse_hollow",
        "pickle",
    ),
    *fault(
        21,
        "a tree wider than its estimator",
        with_estimator(DecisionTreeClassifier(), outgrow),
        "an estimator whose tree is of other",
        f"{NATIVE}:refuse_decision_tree",
    ),
    *fault(
        21,
        "boosting with more columns by its loss",
        with_estimator(BOOSTING, lambda found: setattr(found[-1]._loss, "is_multiclass", True)),
        "sets the attribute is_multiclass of a HalfBinomialLoss",
        f"{ATTRIBUTES}:refuse_shadow",
        "pickle",
    ),
    *fault(
        21,
        "boosting with another link",
        with_estimator(BOOSTING, lambda found: setattr(found[-1]._loss, "link", IdentityLink())),
        "holds an ensemble with another loss",
        f"{NATIVE}:refuse_boosting",
        "pickle",
    ),
    *fault(
        21,
        "products that nobody fills",
        with_estimator(LogisticRegression(), overstate),
        "holds polynomial features of another number of columns",
        f"{NATIVE}:refuse_polynomial",
        "pickle",
    ),
    *fault(21, "a forest of wider trees", with_forest(widen), "an ensemble whose trees are of other", f"{NATIVE}:refuse_forest"),
    *fault(21, "a forest of more answers", with_forest(boast), "whose trees have other", f"{NATIVE}:refuse_forest", "pickle"),
    *fault(
        21,
        "a table of intercepts",
        with_estimator(LogisticRegression(), tabulate),
        "holds intercept_ of 2 dimensions",
        f"{ATTRIBUTES}:refuse_more_dimensions",
        "pickle",
    ),
    *fault(
        21,
        "endless products",
        with_estimator(LogisticRegression(), multiply),
        "holds polynomial features of a degree beyond 10",
        f"{NATIVE}:refuse_polynomial",
        "pickle",
        timeout_s=5.0,
    ),
    *fault(
        21,
        "boosting of wider trees",
        with_estimator(BOOSTING, lambda found: widen(found[-1])),
        "an ensemble whose trees are of other",
        f"{NATIVE}:refuse_mixed_trees",
        "pickle",
    ),
    *fault(
        21,
        "a tree of more answers than it has classes for",
        with_forest(many_outputs),
        "makes a tree of no known number of features, classes and outputs",
        f"{NATIVE}:refuse_tree_arguments",
        "pickle",
    ),
    *fault(
        21,
        "histogram trees behind fewer columns",
        with_estimator(HISTOGRAM, narrow),
        "holds an ensemble with categories",
        f"{NATIVE}:refuse_histogram_boosting",
        "pickle",
    ),
    *fault(
        21,
        "a distance with weights",
        with_estimator(KNeighborsClassifier(), weigh),
        "holds a distance with weights",
        f"{NATIVE}:refuse_metric_state",
        "pickle",
    ),
    *fault(
        21,
        "one step for all thresholds",
        with_estimator(CalibratedClassifierCV(LogisticRegression(), method="isotonic", cv=2), level),
        "holds steps without as many values",
        f"{NATIVE}:refuse_steps",
        "pickle",
    ),
    *fault(
        21,
        "a model around the Pipeline",
        other_model,
        "holds a VotingClassifier, not a Pipeline",
        f"{POLICY}:refuse_other_model",
        "pickle",
    ),
    *fault(
        21,
        "a Pipeline of columns in another order",
        with_pipeline(swap_columns),
        r"^was fitted on the columns \['n1', 'n0', .*\], which are not those of config\.json$",
        f"{POLICY}:refuse_other_columns",
    ),
    *fault(
        21,
        "a Pipeline of classes in another order",
        with_pipeline(swap_classes),
        "^holds classes_ that do not rise, or are no labels$",
        f"{ATTRIBUTES}:refuse_odd_classes",
    ),
    *fault(
        21,
        "a Pipeline of other classes",
        with_pipeline(lambda found: setattr(found[-1], "classes_", np.array([0, 2]))),
        r"^was fitted on the classes \[0, 2\], which are not those of config\.json$",
        f"{POLICY}:refuse_other_columns",
    ),
    *fault(
        21,
        "a Pipeline of no columns",
        with_pipeline(forget_columns),
        "^does not say which columns and classes it was fitted on ",
        f"{POLICY}:refuse_other_columns",
    ),
    *fault(
        21,
        "a step that was fitted without names",
        with_pipeline(forget_inner_columns),
        "^holds a SimpleImputer that was fitted without names of columns, to be asked with them$",
        f"{POLICY}:refuse_other_names",
    ),
    *fault(
        21,
        "a step within a step that was fitted on names",
        with_estimator(STACK, name_inner_columns),
        "^holds a .* that was fitted on names of columns, to be asked without them$",
        f"{POLICY}:refuse_other_names",
    ),
    *fault(
        21,
        "steps of nothing",
        with_pipeline(lambda found: setattr(found[0], "transformers_", [("numeric", Pipeline([("nothing",)]), NUMERIC)])),
        "^holds steps that cannot be followed ",
        f"{POLICY}:refuse_other_names",
    ),
    *fault(
        21,
        "a model of more columns than it is given",
        with_estimator(LogisticRegression(), demand),
        r"^cannot answer a row \(ValueError: X has \d+ features, but ",
        f"{POLICY}:refuse_mute",
    ),
    *fault(
        21,
        "an answer of NaN",
        with_estimator(LogisticRegression(), overflow),
        r"^answers a row with \[nan, nan\], of shape \(1, 2\)$",
        f"{POLICY}:refuse_mute",
    ),
    *fault(
        21,
        "a method replaced",
        with_forest(lambda forest: setattr(forest, "_validate_X_predict", np.float32)),
        "holds a type as _validate_X_predict, where none belongs",
        f"{ATTRIBUTES}:refuse_misplaced {ATTRIBUTES}:refuse_shadow",
    ),
    *fault(
        21,
        "a tree in the place of an estimator",
        with_estimator(STACK, bare),
        "holds a Tree as estimators_, where none belongs",
        f"{ATTRIBUTES}:refuse_misplaced",
    ),
    *fault(
        21,
        "a model that is fitted when it answers",
        with_estimator(STACK, lambda found: setattr(found[-1], "stack_method_", ["fit"])),
        "asks an estimator by the method 'fit'",
        f"{ATTRIBUTES}:refuse_method_names",
        "pickle",
    ),
    *fault(
        21,
        "a folder of pickles",
        with_estimator(LogisticRegression(), lambda found: setattr(found, "memory", "cache")),
        "keeps its steps in a folder",
        f"{ATTRIBUTES}:refuse_cache",
        "pickle",
    ),
    *fault(
        21,
        "5000 threads",
        with_forest(lambda forest: setattr(forest, "n_jobs", 5000)),
        "asks for 5000 threads",
        f"{ATTRIBUTES}:refuse_threads",
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
        with_estimator(KNeighborsClassifier(algorithm="brute", metric="manhattan"), mislabel),
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


test_it_is_held, test_it_is_not_held_without_its_guard = both(FORESTS)
