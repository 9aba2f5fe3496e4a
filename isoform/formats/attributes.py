"""What the attributes of an object may be: which holds objects, arrays or counts, and what none may ask for.

A rule here is of an attribute's name, whatever class has it; what one class alone must be stands in native.py.
"""

from collections.abc import Callable, Iterable
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

COUNTS = (
    "n_classes", "n_classes_", "n_outputs_", "n_targets", "n_trees_per_iteration_", "n_layers_", "n_output_features_",
    "_n_out_full",
)  # fmt: skip
"""The attributes that say how wide a table is to be made; something of 8 bytes stands in the file for each of what they count."""

DIMENSIONS = {
    **dict.fromkeys(("a_", "b_", "epsilon_", "missing_values", "noise_variance_", "quantile", "radius", "X_max_", "X_min_"), 0),
    **dict.fromkeys((
        "_average_intercept", "_best_intercepts", "_default_to_infrequent_mappings", "_drop_idx_after_grouping",
        "_expanded_class_weight", "_infrequent_indices", "_intercept_", "_is_categorical_remapped", "_n_support", "_num_iter",
        "_probA", "_probB", "_sample_weight", "_seeds", "_standard_intercept", "_thresholds", "_x_mean", "_x_std", "_y",
        "_y_mean", "_y_std", "_y_train_mean", "_y_train_std", "alpha_", "bin_thresholds_", "C_", "categories_", "class_count_",
        "class_log_prior_", "class_prior_", "class_weight_", "classes", "classes_", "constant_value_bounds", "criterion_", "Cs_",
        "cv_alphas_", "data_max_", "data_min_", "data_range_", "drop_idx_", "estimator_errors_", "estimator_weights_",
        "estimators_features_", "explained_variance_", "explained_variance_ratio_", "feature_names_in_", "inlier_mask_",
        "intercept_", "intercepts_", "is_categorical_", "l1_ratio_", "l1_ratios_", "lambda_", "length_scale", "mean_", "min_",
        "n_bins_non_missing_", "n_samples_seen_", "nodes", "noise_level_bounds", "oob_improvement_", "oob_scores_",
        "outlier_label_", "outliers_", "priors_", "scale_", "singular_", "singular_values_", "statistics_", "support_",
        "train_score_", "validation_score_", "X_offset_", "X_scale_", "X_thresholds_", "xbar_", "y_thresholds_", "y_train_",
    ), 1),
    **dict.fromkeys((
        "_average_coef", "_baseline_prediction", "_best_coefs", "_dual_coef_", "_fit_X", "_standard_coef", "_x_scores",
        "_y_scores", "alphas_", "binned_left_cat_bitsets", "coef_", "coefs_", "components_", "constant_", "covariance_",
        "dual_coef_", "estimators_", "feature_count_", "feature_log_prob_", "L_", "length_scale_bounds", "means_", "ms",
        "oob_decision_function_", "oob_prediction_", "raw_left_cat_bitsets", "rotations_", "scalings_", "sigma_",
        "support_vectors_", "theta_", "var_", "velocities", "vs", "x_loadings_", "x_rotations_", "x_scores_", "X_train_",
        "x_weights_", "y_loadings_", "y_rotations_", "y_scores_", "y_weights_",
    ), 2),
    **dict.fromkeys(("coef_path_", "cv_results_", "mse_path_"), 3),
    **dict.fromkeys(("coefs_paths_", "n_iter_", "scores_"), 5),
}  # fmt: skip
"""The attributes that hold arrays → how many dimensions one has at most, or each in a list of `LISTS`. No other holds any.

NumPy makes a table of a column and a row: of two that take a megabyte one of terabytes. What is an argument of its class may
besides be an array of one dimension, or a list of such.
"""
LISTS = {
    "_best_coefs", "_best_intercepts", "_default_to_infrequent_mappings", "_infrequent_indices", "alphas_", "bin_thresholds_",
    "categories_", "coef_path_", "coefs_", "coefs_paths_", "constant_value_bounds", "covariance_", "cv_results_", "estimators_",
    "estimators_features_", "intercepts_", "length_scale_bounds", "ms", "n_iter_", "noise_level_bounds", "outlier_label_",
    "rotations_", "scalings_", "scores_", "velocities", "vs",
}  # fmt: skip

METHOD_NAMES = ("stack_method", "stack_method_", "response_method", "_response_method")
"""The attributes that name a method, to be called when the model answers: `fit` of a Pipeline with a cache unpickles a file."""
ANSWERS = {"auto", "predict", "predict_proba", "decision_function"}


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
        for kind in kinds_of(value) - {np.ndarray}:
            if name not in next((PLACES[base.__name__] for base in kind.__mro__ if base.__name__ in PLACES), ()):
                raise Refused(f"holds a {kind.__name__} as {str(name)[:80]}, where none belongs")


def refuse_misplaced_arrays(made: Any, state: dict[str, Any], kinds_of: Callable[[Any], frozenset[type]]) -> None:
    """Raise `Refused` for an array in an attribute that holds none, or of more dimensions than it has there."""
    arguments = made._get_param_names() if isinstance(made, BaseEstimator) else ()
    for name, value in state.items():
        if name in DIMENSIONS:
            for one in _parts(value) if name in LISTS else [value]:
                refuse_more_dimensions(name, one, DIMENSIONS[name])
        elif np.ndarray in kinds_of(value):
            if name not in arguments:
                raise Refused(f"holds an array as {name[:80]}, where none belongs")
            for one in _parts(value):
                if np.ndarray in kinds_of(one):
                    refuse_more_dimensions(name, one, 1)


def _parts(value: Any) -> Iterable[Any]:
    """Return what a list, tuple or dict holds, or the value alone."""
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list | tuple) else [value]


def refuse_more_dimensions(name: str, found: Any, limit: int) -> None:
    """Raise `Refused` for more dimensions than scikit-learn gives this attribute, and for what NumPy would make an array of."""
    plain = found is None or isinstance(found, float | int | str | np.number | np.bool_ | BaseEstimator)
    if not (plain or (isinstance(found, np.ndarray) and found.ndim <= limit)):
        what = f"of {found.ndim} dimensions" if isinstance(found, np.ndarray) else f"that is a {type(found).__name__}"
        raise Refused(f"holds {name[:80]} {what}")


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
    handle_unknown = state.get("handle_unknown")
    if isinstance(handle_unknown, str) and handle_unknown == "warn":
        raise Refused("reports while it answers (handle_unknown)")


def refuse_threads(state: dict[str, Any]) -> None:
    """Raise `Refused` for an estimator that would answer on many threads or processes; ours answer on one."""
    if state.get("n_jobs") not in (None, 1):
        raise Refused(f"asks for {str(state['n_jobs'])[:20]} threads")
