"""Fault 17: little in the file and much when it answers, as what is named twice, doubled or merely counted."""

from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn
from cases import both
from forging import START, attributes, fault, named, text, with_estimator
from harness import Site
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import BaggingClassifier, HistGradientBoostingClassifier, StackingClassifier, VotingClassifier
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, Sum
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

ANSWERS, ATTRIBUTES, LEDGER, POLICY = (f"isoform.formats.{name}" for name in ("answers", "attributes", "ledger", "policy"))
LINE = LogisticRegression()
LARGE = {"n_iter_": np.zeros(50_000)}
"""Bytes, so that a file may count to some thousands."""
COUNTS = dict.fromkeys(("n_targets", "n_outputs_", "n_layers_", "n_output_features_", "_n_out_full"), 50_000)


def one_list(width: int) -> dict[str, list[int]]:
    """Return many columns for each of five transformers, all in one list."""
    return dict.fromkeys("abcde", [0] * 20_000)


def ask_twice(found: Any) -> None:
    """Let all that vote be one."""
    found[-1].estimators_ = [found[-1].estimators_[0]] * 2


def take_columns(*columns: Any, names: str = "abcdefghi", **changes: Any) -> Callable[[Any], None]:
    """Return what puts transformers of these columns before the model; `changes` are attributes made for the number there."""

    def alter(found: Any) -> None:
        width = found[-1].n_features_in_
        scaler = StandardScaler(with_mean=False, with_std=False)
        step = ColumnTransformer([("a", scaler, [*range(width)])]).fit(np.zeros((1, width)))
        step.transformers_ = [
            (name, StandardScaler(with_mean=False, with_std=False).fit(np.zeros((1, width))), taken)
            for name, taken in zip(names, columns or [slice(0, None)], strict=False)
        ]
        vars(step).update({name: change(width) for name, change in changes.items()})
        found.steps.insert(1, ("more", step))

    return alter


def nest(found: Any) -> None:
    """Put the model into a Pipeline of one step, and that into another: each asks for the tags of the next three times."""
    for _ in range(9):
        found.steps[-1] = ("model", Pipeline([found.steps[-1]]))


def nest_argument(found: Any) -> None:
    """Give an ensemble, beside those that it asks, one of ensembles of ensembles, to be asked for its tags alone."""
    inner: Any = LINE
    for _ in range(9):
        inner = BaggingClassifier(inner)
    found[-1].estimators = [("a", inner), *found[-1].estimators[1:]]


def calibrate_twice(found: Any) -> None:
    """Let the mean of two calibrations be that of one."""
    found[-1].calibrated_classifiers_ = [found[-1].calibrated_classifiers_[0]] * 2


def predict_twice(found: Any) -> None:
    """Let all rounds of boosting be the first."""
    found[-1]._predictors = [found[-1]._predictors[0]] * 2


def sum_of_one(found: Any) -> None:
    """Let a model ask the sum of a kernel and itself."""
    process = GaussianProcessRegressor(RBF()).fit(np.zeros((2, found[-1].n_features_in_)), [0.0, 1.0])
    process.kernel_ = Sum(process.kernel_, process.kernel_)
    found.steps[-1] = ("model", process)


def sum_of_sums(found: Any) -> None:
    """Let a model ask one kernel 128 times, by seven sums of a sum and itself."""
    width = found[-1].n_features_in_
    process = GaussianProcessRegressor(RBF()).fit(np.zeros((2, width)), [0.0, 1.0])
    for _ in range(7):
        process.kernel_ = Sum(process.kernel_, process.kernel_)
    found.steps[-1] = ("model", process)


def layers_of_nothing(found: Any) -> None:
    """Give a network fifty times a layer that makes many columns of none, and one that makes none of many."""
    first, nothing = found[-1].coefs_[0][:, :0].copy(), [np.zeros((0, 4000)), np.zeros((4000, 0))]
    found[-1].coefs_ = [first, *nothing * 50, np.zeros((0, 1))]
    found[-1].intercepts_ = [np.zeros(0), *[np.zeros(4000), np.zeros(0)] * 50, np.zeros(1)]
    found[-1].n_layers_ = len(found[-1].coefs_) + 1


def labels(*values: Any, dtype: Any = object) -> Callable[[Any], None]:
    """Return what gives a model that is asked by another these labels."""
    return lambda found: setattr(found[-1].estimators_[0], "classes_", np.array(values, dtype=dtype))


def codes_of_one_list(site: Site) -> bytes:
    """Return encoders, each of eleven bytes, whose categories are all the same list of one array a hundred times."""
    four = (4000).to_bytes(4, "little")
    array = named("numpy._core.multiarray", "_reconstruct") + named("numpy", "ndarray") + b"K\x00\x85C\x01b\x87R"
    dtype = (
        named("numpy", "dtype") + text("O8") + b"\x89\x88\x87R(K\x03" + text("|") + b"NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x3ftb"
    )
    state = b"(K\x01J" + four + b"\x85" + dtype + b"\x89](" + b"h\x00" * 4000 + b"etb\x94"
    names = b"".join(text(name) + b"\x94" for name in ("categories_", "_sklearn_version", sklearn.__version__))
    encoder = named("sklearn.preprocessing._encoders", "OrdinalEncoder") + b"\x94"
    made = text("a") + b"\x94" + array + state + b"](" + b"h\x01" * 100 + b"e\x94" + names + encoder
    return START + b"(" + made + b"h\x06)\x81}(h\x03h\x02h\x04h\x05ub" * 300 + b"t."


VOTING = VotingClassifier([("a", LINE), ("b", LINE)], voting="soft")
CALIBRATED = CalibratedClassifierCV(LINE, cv=2)
HISTOGRAM = HistGradientBoostingClassifier(max_iter=2)
SHARED, TAGS = f"{POLICY}:refuse_shared", f"{LEDGER}:refuse_many_tags"
NESTS = "^nests estimators whose tags are asked "
NETWORK = MLPClassifier((2,), max_iter=2)
STACK = StackingClassifier([("a", LINE)], LINE, cv=2)
KNOWN = "^holds transformers of no known columns$"
REPEATED = f"{ANSWERS}:refuse_repeated_columns"
CLASSES = f"{ATTRIBUTES}:refuse_odd_classes"
RISE = "^holds classes_ that do not rise, or are no labels$"
LAYERS = "^holds layers that do not belong together$"
WIDE = [
    *fault(
        17,
        "one estimator in two places",
        with_estimator(VOTING, ask_twice),
        "^asks one LogisticRegression in two places$",
        SHARED,
    ),
    *fault(
        17,
        "a million columns",
        with_estimator(STACK, lambda found: setattr(found[-1].estimators_[0], "n_features_in_", 10**6)),
        "^takes 1000000 columns, and nothing of that number$",
        "isoform.formats.counts:refuse_wide",
    ),
    *(
        one
        for title, alter, reason in (
            ("columns taken by lists of lists", take_columns([[0] * 9] * 9), "^takes columns by lists of lists$"),
            ("two transformers of one name", take_columns([0], [1], names="aa"), "^holds two transformers of one name$"),
            ("no number of columns", take_columns(n_features_in_=lambda width: None), KNOWN),
            ("numbers of no columns", take_columns(_transformer_to_input_indices=lambda width: {"a": slice(0, width)}), KNOWN),
            ("a column that is not there", take_columns(_transformer_to_input_indices=lambda width: {"a": [width]}),
             "^takes columns that it does not have$"),
        )
        for one in fault(17, title, with_estimator(LINE, alter), reason, REPEATED)
    ),
    *fault(
        17,
        "a sum of sums",
        with_estimator(LINE, sum_of_sums),
        "^holds a kernel of more than 64$",
        f"{ANSWERS}:refuse_many_kernels",
    ),
    *fault(17, "layers of nothing", with_estimator(NETWORK, layers_of_nothing), LAYERS, f"{ANSWERS}:refuse_layers"),
    *fault(
        17,
        "more layers than weights",
        with_estimator(NETWORK, attributes(n_layers_=4)),
        LAYERS,
        f"{ANSWERS}:refuse_layers",
    ),
    *fault(10, "labels that meet", with_estimator(STACK, labels(0, 1 << 17, 1 << 18)), RISE, CLASSES),
    *fault(10, "labels that are fractions", with_estimator(STACK, labels(0.0, 1.0)), RISE, CLASSES),
    *fault(21, "labels that fall", with_estimator(STACK, labels(1, 0, dtype=int)), RISE, CLASSES),
    *(
        one
        for title, alter in (
            ("columns taken by many slices", take_columns(*[slice(0, None)] * 9, n_features_in_=lambda width: 9000)),
            ("columns taken by many numbers", take_columns(_transformer_to_input_indices=one_list)),
        )
        for one in fault(
            17,
            title,
            with_estimator(LINE, alter),
            r"^counts \d+ answers and columns in all, in a file of \d+ bytes$",
            "isoform.formats.counts:refuse_many_counts",
        )
    ),
    *fault(17, "Pipelines in a Pipeline", with_estimator(LINE, nest), NESTS, TAGS),
    *fault(17, "ensembles in what is not asked", with_estimator(VOTING, nest_argument), NESTS, TAGS),
    *fault(17, "one calibration for many", with_estimator(CALIBRATED, calibrate_twice), "^asks one _Cal.* two places$", SHARED),
    *fault(17, "one tree for many", with_estimator(HISTOGRAM, predict_twice), "^asks one TreePredictor in two places$", SHARED),
    *fault(17, "one kernel twice", with_estimator(LINE, sum_of_one), "^asks one RBF in two places$", SHARED),
    *fault(
        17,
        "counts that are many together",
        with_estimator(LINE, attributes(**LARGE, **COUNTS)),
        r"^counts 2500[0-9]+ answers and columns in all, in a file of \d+ bytes$",
        "isoform.formats.counts:refuse_many_counts",
    ),
    *fault(
        17,
        "many products of many columns",
        with_estimator(LINE, attributes(**LARGE, _max_degree=4, n_output_features_=20_000)),
        "^makes 20000 columns of products of more than 3$",
        "isoform.formats.counts:refuse_many_products",
    ),
    *fault(
        17,
        "two answers of a constant",
        with_estimator(
            StackingClassifier([("a", LINE)], DummyClassifier(strategy="constant", constant=0), cv=2),
            lambda found: setattr(found[-1].final_estimator_, "n_outputs_", 2),
        ),
        "^holds a constant model of more than one answer$",
        f"{ANSWERS}:refuse_dummy",
    ),
    *fault(
        17,
        "a prior wider than its classes",
        with_estimator(
            StackingClassifier([("a", DummyClassifier())], LINE, cv=2),
            lambda found: setattr(found[-1].estimators_[0], "class_prior_", np.zeros(1000)),
        ),
        "^holds a constant model of more than one answer$",
        f"{ANSWERS}:refuse_dummy",
    ),
    *fault(
        21,
        "a stack of classifiers that ends with none",
        with_estimator(STACK, lambda found: setattr(found[-1], "final_estimator_", LinearRegression().fit([[0.0]], [0.0]))),
        "^holds a stack of classifiers that ends with none$",
        f"{ANSWERS}:refuse_other_final",
    ),
    *fault(
        21,
        "a stack of classifiers that ends with a number",
        with_estimator(STACK, lambda found: setattr(found[-1], "final_estimator_", 5)),
        r"^sets a state of a sklearn\.ensemble\._stacking\.StackingClassifier that cannot be followed \(AttributeError\)$",
        f"{ANSWERS}:refuse_other_final",
    ),
    *fault(
        10,
        "codes of one list",
        codes_of_one_list,
        "^makes objects of more than [0-9]+ bytes, the same again and again$",
        f"{LEDGER}:refuse_copies",
        "pickle",
    ),
]  # fmt: skip

test_it_is_held, test_it_is_not_held_without_its_guard = both(WIDE)
