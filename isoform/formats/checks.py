"""Which check belongs to which global of isoform/formats/allowlist.py: before it is called, and before its state is set."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from isoform.errors import Refused
from isoform.formats import arrays, native
from isoform.formats.arrays import require


def exactly(*expected: Any) -> Callable[[tuple[Any, ...]], None]:
    """Return a check for these very arguments; a type stands for a number of it, a text for the class of that name."""

    def same(found: Any, wanted: Any) -> bool:
        """Tell whether an argument is the one expected."""
        if isinstance(found, type):
            return bool(found.__name__ == wanted)
        return type(found) is wanted or (type(found) is type(wanted) and bool(found == wanted))

    def check(arguments: tuple[Any, ...]) -> None:
        """Refuse other arguments."""
        good = len(arguments) == len(expected) and all(map(same, arguments, expected))
        require(good, f"calls a function with {len(arguments)} arguments that it is not to be called with")

    return check


def check_dtype(arguments: tuple[Any, ...]) -> None:
    """Refuse a dtype but for a known name, not aligned, copied."""
    arrays.refuse_dtype(arguments[0] if len(arguments) == 3 and arguments[1:] == (False, True) else None)


def check_slice(arguments: tuple[Any, ...]) -> None:
    """Refuse anything but whole numbers."""
    require(len(arguments) == 3 and all(type(one) in (int, type(None)) for one in arguments), "holds an odd slice")


def check_named(*names: str) -> Callable[[tuple[Any, ...]], None]:
    """Return a check for one argument, which is a class of one of these names or an object of such a class."""

    def check(arguments: tuple[Any, ...]) -> None:
        """Refuse an argument of another class."""
        good = len(arguments) == 1
        kind = arguments[0] if good and isinstance(arguments[0], type) else type(arguments[0] if good else None)
        require(kind.__name__ in names, f"calls a function with something else than {' or '.join(names)}")

    return check


LOSS = "sklearn._loss._loss"
ARGUMENTS: dict[str, Callable[[tuple[Any, ...]], None]] = {
    "builtins.slice": check_slice,
    "numpy.dtype": check_dtype,
    "numpy._core.multiarray._reconstruct": exactly("ndarray", (0,), b"b"),
    "numpy._core.multiarray.scalar": arrays.refuse_scalar,
    "numpy._core.numeric._frombuffer": arrays.refuse_buffer,
    "numpy.random._pickle.__bit_generator_ctor": check_named("MT19937", "PCG64"),
    "numpy.random._pickle.__generator_ctor": check_named("PCG64"),
    "numpy.random._pickle.__randomstate_ctor": check_named("MT19937"),
    "numpy.random.bit_generator.__pyx_unpickle_SeedSequence": exactly("SeedSequence", int, None),
    f"{LOSS}.CyHalfTweedieLoss": exactly(float),
    f"{LOSS}.CyHalfTweedieLossIdentity": exactly(float),
    f"{LOSS}.CyHuberLoss": exactly(float),
    f"{LOSS}.CyPinballLoss": exactly(float),
    f"{LOSS}.__pyx_unpickle_CyHalfMultinomialLoss": exactly("CyHalfMultinomialLoss", int, ()),
    "sklearn.tree._tree.Tree": native.refuse_tree_arguments,
    "sklearn.neighbors._kd_tree.newObj": exactly("KDTree"),
    "sklearn.metrics._dist_metrics.newObj": check_named("EuclideanDistance64", "ManhattanDistance64"),
}
"""What a call is given; whatever is not here is called without arguments."""

RAW_STATES: dict[str, Callable[[Any, Any], None]] = {
    "numpy.dtype": arrays.refuse_dtype_state,
    "numpy._core.multiarray._reconstruct": arrays.refuse_array_state,
    "numpy.random._pickle.__bit_generator_ctor": arrays.refuse_bit_generator_state,
    "numpy.random._pickle.__randomstate_ctor": arrays.refuse_random_state,
    "numpy.random.bit_generator.__pyx_unpickle_SeedSequence": arrays.refuse_seed_state,
    "sklearn.tree._tree.Tree": native.refuse_tree_state,
    "sklearn.neighbors._kd_tree.newObj": native.refuse_neighbour_tree,
    "sklearn.metrics._dist_metrics.newObj": native.refuse_metric_state,
}
"""The states that are no attributes: what is called and is not here gets none."""

ENSEMBLE = "sklearn.ensemble"
HISTOGRAM = f"{ENSEMBLE}._hist_gradient_boosting"
STATES: dict[str, Callable[[Any, dict[str, Any]], None]] = {
    "sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis": native.refuse_quadratic,
    "sklearn.ensemble._voting.VotingClassifier": native.refuse_hard_votes,
    "sklearn.preprocessing._encoders.OneHotEncoder": native.refuse_one_hot,
    "sklearn.preprocessing._encoders.OrdinalEncoder": native.refuse_ordinal,
    "sklearn.preprocessing._label.LabelBinarizer": native.refuse_label_binarizer,
    "sklearn.multiclass.OneVsRestClassifier": native.refuse_one_against_rest,
    "sklearn.isotonic.IsotonicRegression": native.refuse_steps,
    "sklearn.preprocessing._polynomial.PolynomialFeatures": native.refuse_polynomial,
    f"{HISTOGRAM}.predictor.TreePredictor": native.refuse_histogram_tree,
    **{f"sklearn.tree._classes.{kind}Tree{task}": native.refuse_decision_tree
       for kind in ("Decision", "Extra") for task in ("Classifier", "Regressor")},
    **{f"{ENSEMBLE}._forest.{kind}{task}": native.refuse_forest
       for kind in ("RandomForest", "ExtraTrees") for task in ("Classifier", "Regressor")},
    **{f"{ENSEMBLE}._gb.GradientBoosting{task}": native.refuse_boosting for task in ("Classifier", "Regressor")},
    **{f"{HISTOGRAM}.gradient_boosting.HistGradientBoosting{task}": native.refuse_histogram_boosting
       for task in ("Classifier", "Regressor")},
    **{f"sklearn.neighbors._{module}.{kind}Neighbors{task}": native.refuse_neighbours
       for kind in ("K", "Radius") for module, task in (("classification", "Classifier"), ("regression", "Regressor"))},
    **{f"sklearn.svm._classes.{name}": native.refuse_support_vectors for name in ("SVC", "NuSVC", "SVR", "NuSVR")},
}  # fmt: skip
"""The classes whose attributes reach compiled code that believes them."""

RANDOM = {"random_state", "_random_state", "_rng", "_feature_subsample_rng"}
PLACES: dict[str, set[str]] = {
    "BaseEstimator": {
        "steps", "transformers", "transformers_", "remainder", "estimator", "estimator_", "estimators", "estimators_",
        "named_estimators_", "final_estimator", "final_estimator_", "init", "init_", "calibrators", "_bin_mapper",
        "_preprocessor", "_label_binarizer", "label_binarizer_", "_label_encoder", "le_", "owner",
    },
    "LabelBinarizer": {"_label_binarizer", "label_binarizer_"},  # and nowhere else an estimator is
    "Bunch": {"named_estimators_"},
    "_CalibratedClassifier": {"calibrated_classifiers_"},
    "Kernel": {"kernel", "kernel_", "k1", "k2"},
    "BaseLoss": {"_loss", "_base_loss"},
    "CyLossFunction": {"closs", "_loss_function_"},
    "CyHalfMultinomialLoss": {"closs"},
    "BaseLink": {"link"},
    "Interval": {"interval_y_true", "interval_y_pred"},
    "Tree": {"tree_"},
    "TreePredictor": {"_predictors"},
    "KDTree": {"_tree"},
    "BaseOptimizer": {"_optimizer"},
    "RandomState": RANDOM,
    "Generator": RANDOM,
    "_BaseScorer": {"scoring", "_curve_scorer", "owner"},
    "function": {"_score_func"},
    "MetadataRequest": {"_metadata_request"},
    "MethodMetadataRequest": {
        "fit", "partial_fit", "predict", "predict_proba", "predict_log_proba", "decision_function", "score", "split", "transform",
        "inverse_transform",
    },
    "type": {"dtype", "subclass"},
}  # fmt: skip
"""A class, or its base → the attributes that may hold objects of it, in a list, too; all other attributes hold plain values.
Of several entries that of the nearest base counts.

Such an object is asked and called by scikit-learn, which takes it to be of that kind: a bare tree in the place of an estimator
reads beyond the row. The names are those of reviewed classes, or of their bases: nothing else is ever made.
"""

COUNTS = (
    "n_classes", "n_classes_", "n_outputs_", "n_targets", "n_trees_per_iteration_", "n_layers_", "n_output_features_",
    "_n_out_full",
)  # fmt: skip
"""The attributes that say how wide a table is to be made; something of 8 bytes stands in the file for each of what they count."""

DIMENSIONS = {
    "intercept_": 1, "intercepts_": 1, "coef_": 2, "coefs_": 2, "mean_": 1, "scale_": 1, "min_": 1, "statistics_": 1,
    "components_": 2, "explained_variance_": 1, "noise_variance_": 0, "class_prior_": 1, "class_log_prior_": 1,
    "feature_log_prob_": 2, "theta_": 2, "var_": 2, "epsilon_": 0, "priors_": 1, "means_": 2, "rotations_": 2, "scalings_": 2,
    "xbar_": 1, "estimator_weights_": 1, "X_train_": 2, "L_": 2, "alpha_": 1, "_y_train_mean": 1, "_y_train_std": 1,
    "_x_mean": 1, "_y_mean": 1, "_predict_1_mean": 1, "_x_std": 1, "_y_std": 1, "a_": 0, "b_": 0, "constant_": 2, "quantile": 0,
    "X_min_": 0, "X_max_": 0, "classes_": 1, "missing_values": 0, "radius": 0,
}  # fmt: skip
"""What an answer is computed with → how many dimensions it has at most, or each in a list of `LISTS`.

NumPy makes a table of a column and a row: of two that take a megabyte one of terabytes.
"""
LISTS = {"coefs_", "intercepts_", "rotations_", "scalings_"}

METHOD_NAMES = ("stack_method", "stack_method_", "response_method", "_response_method")
"""The attributes that name a method, to be called when the model answers: `fit` of a Pipeline with a cache unpickles a file."""
ANSWERS = {"auto", "predict", "predict_proba", "decision_function"}

UNFITTED = {"_sklearn_version", "_metadata_request"}
"""Attributes that an estimator has before `fit`; all others that begin or end with _ come from it."""


def refuse_arguments(key: str, arguments: Any) -> None:
    """Raise `Refused` for arguments of the global `key` that it is not to be called with."""
    require(isinstance(arguments, tuple), f"calls {key} without a tuple of arguments")
    check = ARGUMENTS.get(key)
    if check:
        check(arguments)
    else:
        require(arguments == (), f"calls {key} with arguments, and it takes none")


def refuse_state(key: str, made: Any, state: Any) -> None:
    """Raise `Refused` for a state that an object made by the global `key` is not to get."""
    if key in RAW_STATES:
        RAW_STATES[key](made, state)
        return
    require(type(state) is dict and all(type(name) is str and name for name in state), f"sets an odd state of a {key}")
    refuse_shadow(made, state)
    refuse_threads(state)
    refuse_reports(state)
    refuse_output_config(state)
    refuse_cache(state)
    refuse_method_names(state)
    refuse_more_dimensions(state)
    fitted = any(name[0] == "_" or name[-1] == "_" for name in state.keys() - UNFITTED)
    if key in STATES and (fitted or not isinstance(made, BaseEstimator)):
        STATES[key](made, state)


def refuse_shadow(made: Any, state: dict[str, Any]) -> None:
    """Raise `Refused` for an attribute that would stand before one of its class: what methods do and constants say must hold.

    One with a name of Python's own, `__array_interface__` say, would be followed by whoever is given the object.
    """
    arguments = made._get_param_names() if isinstance(made, BaseEstimator) else ()
    for name in state.keys() - arguments:
        if name.startswith("__") or any(name in vars(kind) for kind in type(made).__mro__):
            raise Refused(f"sets the attribute {name[:80]} of a {type(made).__name__}, which belongs to its class")


def refuse_misplaced(state: dict[str, Any], kinds_of: Callable[[Any], frozenset[type]]) -> None:
    """Raise `Refused` for an object in an attribute where none of its kind belongs; `kinds_of` looks into containers."""
    for name, value in state.items():
        for kind in kinds_of(value):
            if name not in next((PLACES[base.__name__] for base in kind.__mro__ if base.__name__ in PLACES), ()):
                raise Refused(f"holds a {kind.__name__} as {str(name)[:80]}, where none belongs")


def refuse_counts(state: dict[str, Any], size_bytes: int) -> None:
    """Raise `Refused` for a number of answers or columns that the file is too small for: tables are made as wide as it says."""
    for name in COUNTS:
        count = state.get(name)
        if count is None:
            continue
        good = isinstance(count, int | np.integer) and 0 <= count <= size_bytes // 8
        if name == "n_classes_" and "classes_" in state:
            good = getattr(state["classes_"], "shape", None) == (count,)
        if not good:
            raise Refused(f"holds {str(count)[:20]} as {name}, and nothing of that number")


def refuse_method_names(state: dict[str, Any]) -> None:
    """Raise `Refused` for the name of a method that does something else than answer."""
    for name in METHOD_NAMES:
        given = state.get(name, [])
        for method in given if isinstance(given, list | tuple) else [given]:
            if not (isinstance(method, str) and method in ANSWERS):
                raise Refused(f"asks an estimator by the method {str(method)[:80]!r}")


def refuse_cache(state: dict[str, Any]) -> None:
    """Raise `Refused` for a folder where a Pipeline would keep, and unpickle, what its steps have made."""
    if state.get("memory") is not None:
        raise Refused("keeps its steps in a folder")


def refuse_more_dimensions(state: dict[str, Any]) -> None:
    """Raise `Refused` for more dimensions than scikit-learn gives these, and for what is neither value nor array."""
    for name in DIMENSIONS.keys() & state.keys():
        found = state[name]
        for one in found if name in LISTS and isinstance(found, list) else [found]:
            is_value = one is None or isinstance(one, float | int | str | np.number)
            if not (is_value or (isinstance(one, np.ndarray) and one.ndim <= DIMENSIONS[name])):
                what = f"of {one.ndim} dimensions" if isinstance(one, np.ndarray) else f"that is a {type(one).__name__}"
                raise Refused(f"holds {name} {what}")


def refuse_output_config(state: dict[str, Any]) -> None:
    """Raise `Refused` for an estimator that answers with another library's tables, each column with a name of the file's."""
    config = state.get("_sklearn_output_config", {})
    if not (type(config) is dict and all(type(kind) is str and kind == "default" for kind in config.values())):
        raise Refused("answers with tables of another library")


def refuse_reports(state: dict[str, Any]) -> None:
    """Raise `Refused` for an estimator that reports while it answers: what a program prints is its own."""
    verbose = state.get("verbose")
    if verbose is not None and not (isinstance(verbose, int | float) and verbose == 0):
        raise Refused("reports while it answers (verbose)")


def refuse_threads(state: dict[str, Any]) -> None:
    """Raise `Refused` for an estimator that would answer on many threads or processes; ours answer on one."""
    if state.get("n_jobs") not in (None, 1):
        raise Refused(f"asks for {str(state['n_jobs'])[:20]} threads")
