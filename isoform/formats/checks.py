"""Which check belongs to which global of isoform/formats/allowlist.py: before it is called, and before its state is set."""

from collections.abc import Callable
from typing import Any

from sklearn.base import BaseEstimator

from isoform.errors import Refused
from isoform.formats import answers, arrays, attributes, counts, native
from isoform.formats.arrays import require
from isoform.formats.ledger import Ledger


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
    "sklearn.compose._column_transformer.ColumnTransformer": answers.check_columns,
    "sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis": answers.refuse_quadratic,
    "sklearn.ensemble._voting.VotingClassifier": answers.refuse_hard_votes,
    "sklearn.ensemble._stacking.StackingClassifier": answers.refuse_other_final,
    **{f"sklearn.dummy.Dummy{task}": answers.refuse_dummy for task in ("Classifier", "Regressor")},
    "sklearn.gaussian_process._gpr.GaussianProcessRegressor": answers.refuse_many_kernels,
    **{f"sklearn.neural_network._multilayer_perceptron.MLP{task}": answers.refuse_layers for task in ("Classifier", "Regressor")},
    f"{ENSEMBLE}._weight_boosting.AdaBoostClassifier": answers.refuse_other_votes,
    "sklearn.impute._base.SimpleImputer": answers.refuse_gaps,
    **{f"sklearn.gaussian_process.kernels.{kind}": answers.refuse_kernel for kind in ("ConstantKernel", "RBF", "WhiteKernel")},
    "sklearn.preprocessing._encoders.OneHotEncoder": native.refuse_one_hot,
    "sklearn.preprocessing._encoders.OrdinalEncoder": native.refuse_ordinal,
    "sklearn.preprocessing._label.LabelBinarizer": answers.refuse_label_binarizer,
    "sklearn.multiclass.OneVsRestClassifier": answers.refuse_one_against_rest,
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
"""The classes whose attributes reach compiled code that believes them, or that make an answer slow, large or loud."""

UNFITTED = {"_sklearn_version", "_metadata_request", "_sklearn_output_config"}
"""Attributes that an estimator has before `fit`; all others that begin or end with _ come from it."""


def refuse_arguments(key: str, arguments: Any) -> None:
    """Raise `Refused` for arguments of the global `key` that it is not to be called with."""
    require(isinstance(arguments, tuple), f"calls {key} without a tuple of arguments")
    check = ARGUMENTS.get(key)
    if check:
        check(arguments)
    else:
        require(arguments == (), f"calls {key} with arguments, and it takes none")


def refuse_state(key: str, made: Any, state: Any, ledger: Ledger) -> None:
    """Raise `Refused` for a state that an object made by the global `key` is not to get."""
    try:
        _check_state(key, made, state, ledger)
    except Refused:
        raise
    except Exception as error:  # what is there may be anything, and scikit-learn's own code is asked about it
        raise Refused(f"sets a state of a {key} that cannot be followed ({type(error).__name__})") from error


def _check_state(key: str, made: Any, state: Any, ledger: Ledger) -> None:
    if key in RAW_STATES:
        RAW_STATES[key](made, state)
        return
    require(type(state) is dict and all(type(name) is str and name for name in state), f"sets an odd state of a {key}")
    attributes.refuse_misplaced(state, ledger.kinds_of)
    attributes.refuse_shadow(made, state)
    attributes.refuse_threads(state)
    attributes.refuse_reports(state)
    attributes.refuse_warnings(state)
    attributes.refuse_output_config(state)
    attributes.refuse_cache(state)
    attributes.refuse_method_names(state)
    attributes.refuse_misplaced_arrays(state, ledger.kinds_of)
    attributes.refuse_more_dimensions(state)
    attributes.refuse_objects(state)
    attributes.refuse_odd_dtype(made, state)
    fitted = any(name[0] == "_" or name[-1] == "_" for name in state.keys() - UNFITTED)
    if key in STATES and (fitted or not isinstance(made, BaseEstimator)):
        STATES[key](made, state)
    counts.refuse_counts(state, ledger.size)
    counts.refuse_many_columns(state, ledger.size)
    counts.refuse_many_counts(state, ledger)
    counts.refuse_many_products(state, ledger)
    counts.refuse_wide(state, ledger.size)
    attributes.refuse_odd_classes(state)
