"""What the attributes of an object may be: which holds objects or arrays, and what none may ask for.

A rule here is of an attribute's name, whatever class has it; what one class alone must be stands in native.py.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from isoform.errors import Refused

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

MAX_KEY = 2**16
"""Of a dict, in the file (`class_weight` has labels as keys) or made by scikit-learn of the labels. Larger ones can be chosen to
meet in its table, at the cost of all before."""

DIMENSIONS: dict[str, int] = {
    **dict.fromkeys((
        "a_", "b_", "constant", "constant_value_bounds", "encoded_missing_value", "epsilon_", "feature_range", "fill_value",
        "missing_values", "noise_level_bounds", "noise_variance_", "outlier_label_", "quantile", "radius", "unknown_value",
        "X_max_", "X_min_",
    ), 0),
    **dict.fromkeys((
        "_average_intercept", "_best_intercepts", "_default_to_infrequent_mappings", "_drop_idx_after_grouping",
        "_expanded_class_weight", "_infrequent_indices", "_intercept_", "_n_support", "_num_iter", "_probA", "_probB", "_seeds",
        "_standard_intercept", "_thresholds", "_x_mean", "_x_std", "_y", "_y_mean", "_y_std", "_y_train_mean", "_y_train_std",
        "alpha", "alpha_", "alphas", "bin_thresholds_", "C_", "categories", "categories_", "class_count_", "class_log_prior_",
        "class_prior", "class_prior_", "class_weight_", "classes", "classes_", "criterion_", "Cs", "Cs_", "cv_alphas_",
        "data_max_", "data_min_", "data_range_", "drop_idx_", "estimator_errors_", "estimator_weights_", "estimators_features_",
        "explained_variance_", "explained_variance_ratio_", "feature_names_in_", "hidden_layer_sizes", "inlier_mask_",
        "intercept_", "intercepts_", "is_categorical_", "l1_ratio_", "l1_ratios_", "lambda_", "length_scale", "mean_", "min_",
        "monotonic_cst", "n_bins_non_missing_", "n_samples_seen_", "nodes", "oob_improvement_", "oob_prediction_", "oob_scores_",
        "outliers_", "priors", "priors_", "scale_", "singular_", "singular_values_", "statistics_", "support_", "thresholds",
        "train_score_", "validation_score_", "weights", "X_offset_", "X_scale_", "X_thresholds_", "xbar_", "y_thresholds_",
        "y_train_",
    ), 1),
    **dict.fromkeys((
        "_average_coef", "_baseline_prediction", "_best_coefs", "_dual_coef_", "_fit_X", "_standard_coef", "_x_scores",
        "_y_scores", "alphas_", "binned_left_cat_bitsets", "coef_", "coef_path_", "coefs_", "components_", "constant_",
        "covariance_", "cv_results_", "dual_coef_", "estimators_", "feature_count_", "feature_log_prob_", "L_",
        "length_scale_bounds", "means_", "ms", "oob_decision_function_", "raw_left_cat_bitsets", "rotations_", "scalings_",
        "sigma_", "support_vectors_", "theta_", "var_", "velocities", "vs", "x_loadings_", "x_rotations_", "x_scores_",
        "X_train_", "x_weights_", "y_loadings_", "y_rotations_", "y_scores_", "y_weights_",
    ), 2),
    "mse_path_": 3,
    "scores_": 3,
    "n_iter_": 4,
    "coefs_paths_": 5,
}  # fmt: skip
"""The attributes that hold arrays → how many dimensions one has at most, or each in a list of `LISTS`. No other holds any.

NumPy makes a table of a column and a row: of two that take a megabyte one of terabytes.
"""
LISTS = {
    "_best_coefs", "_best_intercepts", "_default_to_infrequent_mappings", "_infrequent_indices", "alphas", "alphas_",
    "bin_thresholds_", "categories", "categories_", "class_prior", "coef_path_", "coefs_", "coefs_paths_",
    "constant_value_bounds", "covariance_", "Cs", "cv_results_", "estimators_", "estimators_features_", "feature_range",
    "hidden_layer_sizes", "intercepts_", "length_scale", "length_scale_bounds", "monotonic_cst", "ms", "n_iter_",
    "noise_level_bounds", "outlier_label_", "priors", "rotations_", "scalings_", "scores_", "thresholds", "velocities", "vs",
    "weights",
}  # fmt: skip
"""Those of them that may hold a list, tuple or dict of arrays or numbers, and not of lists."""
OBJECTS = {
    "_drop_idx_after_grouping", "categories", "categories_", "classes", "classes_", "drop_idx_", "estimators_",
    "feature_names_in_", "l1_ratio_", "l1_ratios_", "statistics_",
}  # fmt: skip
"""Those of them whose arrays may hold texts or objects; what is computed with the others are numbers of C: a number of Python's
own may have a thousand digits, and a text times a number is a longer text."""
COLUMNS = {"transformers", "transformers_", "_columns"}
"""Lists of what goes to which columns; these may be an array within."""
DTYPES = {"float32", "float64", "int32", "int64"}
"""What the codes of categories may be, by name: the name of a dtype may be as wide as it likes."""

METHOD_NAMES = ("stack_method", "stack_method_", "response_method", "_response_method")
"""The attributes that name a method, to be called when the model answers: `fit` of a Pipeline with a cache unpickles a file."""
ANSWERS = {"auto", "predict", "predict_proba", "decision_function"}
"""The methods that may be named."""


def arguments_of(kind: Any) -> frozenset[str]:
    """Return the names of the arguments that an estimator's class takes, which are attributes as well; of another class none."""
    return frozenset(kind._get_param_names()) if issubclass(kind, BaseEstimator) else frozenset()


def parts_of(value: Any) -> Iterable[Any]:
    """Return what a list, tuple or dict holds, or the value alone."""
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else [value]


def refuse_shadow(made: Any, state: dict[str, Any]) -> None:
    """Raise `Refused` for an attribute that would stand before one of its class: what methods do and constants say must hold.

    One with a name of Python's own, `__array_interface__` say, would be followed by whoever is given the object.
    """
    for name in state.keys() - arguments_of(type(made)):
        if name.startswith("__") or any(name in vars(kind) for kind in type(made).__mro__):
            raise Refused(f"sets the attribute {name[:80]} of a {type(made).__name__}, which belongs to its class")


def refuse_misplaced(state: dict[str, Any], kinds_of: Callable[[Any], frozenset[type]]) -> None:
    """Raise `Refused` for an object in an attribute where none of its kind belongs; `kinds_of` looks into containers.

    Arrays are left to `refuse_misplaced_arrays`.
    """
    for name, value in state.items():
        for kind in kinds_of(value) - {np.ndarray}:
            if name not in next((PLACES[base.__name__] for base in kind.__mro__ if base.__name__ in PLACES), ()):
                raise Refused(f"holds a {kind.__name__} as {name[:80]}, where none belongs")


def refuse_misplaced_arrays(state: dict[str, Any], kinds_of: Callable[[Any], frozenset[type]]) -> None:
    """Raise `Refused` for an array in an attribute that holds none."""
    for name in state.keys() - DIMENSIONS.keys() - COLUMNS:
        if np.ndarray in kinds_of(state[name]):
            raise Refused(f"holds an array as {name[:80]}, where none belongs")


def refuse_more_dimensions(state: dict[str, Any]) -> None:
    """Raise `Refused` for more dimensions than scikit-learn gives an attribute, and for what NumPy would make an array of."""
    for name, one in _where_arrays_are(state):
        is_value = one is None or isinstance(one, float | int | str | np.number | np.bool_)
        is_array = isinstance(one, np.ndarray) and one.ndim <= DIMENSIONS[name]
        if not (is_value or is_array or (name == "estimators_" and isinstance(one, BaseEstimator))):
            what = f"of {one.ndim} dimensions" if isinstance(one, np.ndarray) else f"that is a {type(one).__name__}"
            raise Refused(f"holds {name} {what}")


def refuse_objects(state: dict[str, Any]) -> None:
    """Raise `Refused` for texts or objects in an array that an answer is computed with."""
    for name, one in _where_arrays_are(state):
        if isinstance(one, np.ndarray) and one.dtype.kind in "OU" and name not in OBJECTS:
            raise Refused(f"holds {name} of dtype {one.dtype}, and no numbers")


def _where_arrays_are(state: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in DIMENSIONS.keys() & state.keys():
        for one in parts_of(state[name]) if name in LISTS else [state[name]]:
            yield name, one


def refuse_odd_dtype(made: Any, state: dict[str, Any]) -> None:
    """Raise `Refused` for an estimator whose codes are no numbers: a dtype may be a table itself."""
    found = state.get("dtype") if isinstance(made, BaseEstimator) else None
    if isinstance(found, str):
        good = found in DTYPES
    else:
        good = found is None or isinstance(found, type) or (isinstance(found, np.dtype) and found.kind in "biuf")
    if not good:
        raise Refused(f"makes codes of dtype {str(found)[:80]}")


def refuse_odd_classes(state: dict[str, Any]) -> None:
    """Raise `Refused` for labels that do not rise, or that scikit-learn would take long to put into a dict."""
    for name in ("classes", "classes_"):
        values = state.get(name)
        if not (isinstance(values, np.ndarray) and values.ndim == 1):
            continue
        if values.dtype.kind == "O":
            found = values.tolist()
            kinds = set(map(type, found))
            good = kinds <= {str} or (kinds <= {bool, int} and all(-MAX_KEY < one < MAX_KEY for one in found))
            good = good and all(a < b for a, b in itertools.pairwise(found))
        else:
            good = values.dtype.kind in "biufU" and bool((values[1:] > values[:-1]).all())
        if not good:
            raise Refused(f"holds {name} that do not rise, or are no labels")


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


def refuse_warnings(state: dict[str, Any]) -> None:
    """Raise `Refused` for codes that warn of each value that is new to them."""
    handle_unknown = state.get("handle_unknown")
    if isinstance(handle_unknown, str) and handle_unknown == "warn":
        raise Refused("warns while it answers (handle_unknown)")


def refuse_threads(state: dict[str, Any]) -> None:
    """Raise `Refused` for an estimator that would answer on many threads or processes; ours answer on one."""
    jobs = state.get("n_jobs")
    if not (jobs is None or (isinstance(jobs, int) and jobs == 1)):
        raise Refused(f"asks for {str(state['n_jobs'])[:20]} threads")
