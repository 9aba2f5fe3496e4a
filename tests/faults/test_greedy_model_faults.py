"""Faults 6, 10, 11, 17, 20, 21 and 22: reviewed classes with numbers that run wild, or that take far more than the file holds."""

import copyreg
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn
from builders import CATEGORICAL, NUMERIC, Workspace, frame
from cases import Record, both, try_both_ways, try_without_guard
from forging import START, WIDE, Forged, attributes, fault, named, payload, text, with_estimator, with_forest
from harness import Child, Fault, Site, workspace_site
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, RadiusNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import LabelBinarizer, OneHotEncoder, OrdinalEncoder
from sklearn.tree import DecisionTreeRegressor

ANSWERS, ARRAYS, ATTRIBUTES, NATIVE = (f"isoform.formats.{name}" for name in ("answers", "arrays", "attributes", "native"))
JOBLIB, LEDGER, POLICY = (f"isoform.formats.{name}" for name in ("joblib_unpickling", "ledger", "policy"))
UNPICKLING = "isoform.formats.unpickling"
MISPLACED, DIMENSIONS = f"{ATTRIBUTES}:refuse_misplaced", f"{ATTRIBUTES}:refuse_more_dimensions"


def with_attributes(made: Any, **changes: Any) -> Any:
    """Return an estimator that is pickled with these attributes, also with those that Python or scikit-learn would not write."""
    state = made.__getstate__() | changes
    made.__reduce_ex__ = lambda protocol: (copyreg.__newobj__, (type(made),), state)  # type: ignore[attr-defined]
    return made


def model(make: Callable[[Any], Any]) -> Callable[[Any], None]:
    """Return what puts another model, made from the one that is there, at the end of a Pipeline."""

    def alter(found: Any) -> None:
        found.steps[-1] = ("model", make(found[-1]))

    return alter


# Attributes that are followed, and estimators where none belongs.


def address(found: Any) -> None:
    """Have an intercept say that its numbers lie at the address 16."""
    interface = {"data": (16, False), "shape": (4,), "typestr": "<f8", "version": 3}
    found[-1].intercept_ = [with_attributes(LinearRegression(), __array_interface__=interface)]


def label_codes(*labels: float) -> Callable[[Any], None]:
    """Return what puts codes of labels, these, between one column and the model."""

    def alter(found: Any) -> None:
        column = ColumnTransformer([("one", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["c0"])])
        codes, width = LabelBinarizer().fit(np.arange(len(labels))), len(labels)
        codes.classes_ = np.array(labels, dtype=object if np.isnan(labels).any() else np.float64)
        found.steps[:1] = [("columns", column.fit(frame("mixed")[[*NUMERIC, *CATEGORICAL]])), ("codes", codes)]
        found[-1].n_features_in_, found[-1].coef_ = width, np.zeros((1, width))

    return alter


def of_several_labels(found: Any) -> None:
    """Let one against the rest give each row as many labels as a million intercepts say, within another Pipeline."""
    inner = found[-1].estimators_[0]
    inner.coef_, inner.intercept_ = inner.coef_ * 0, np.ones(1_000_000)
    found.steps[-1] = ("model", Pipeline([("rest", found[-1])]))


def count_votes(found: Any) -> None:
    """Let a majority of labels be counted up to the label 900 million."""
    votes = found[-1].estimators_[0]
    votes.voting = "hard"
    votes.estimators_[0].classes_ = np.array([900_000_000, 900_000_001])
    found[-1].stack_method_ = ["predict"]


# Products of a column and a row.


def outer_quadratic(found: Any) -> None:
    """Scale a rotation of one column by many scalings."""
    found[-1].rotations_, found[-1].scalings_ = [np.ones((WIDE, 1))] * 2, [np.ones(WIDE)] * 2


def outer_gaussian(found: Any) -> None:
    """Subtract a column of means from a row, and divide by a longer column of variances."""
    found[-1].theta_, found[-1].var_ = np.zeros((2, WIDE, 1, 1)), np.ones((2, WIDE, 1, 1, 1))


def outer_multinomial(found: Any) -> Any:
    """Return naive Bayes that adds a column of priors to its row of likelihoods."""
    width = found.n_features_in_
    made = MultinomialNB().fit(np.ones((2, width)), [0, 1])
    made.feature_log_prob_, made.class_log_prior_ = np.ones((WIDE, width)), np.ones((WIDE, 1))
    return made


def column_of_intercepts(found: Any) -> None:
    """Give a linear model many classes, each with an intercept in a row of its own."""
    wide = WIDE // 10  # joblib writes an array anew wherever it stands, and reading a hundred thousand takes seconds
    found[-1].coef_, found[-1].intercept_ = np.zeros((wide, found[-1].coef_.shape[1])), [np.zeros(1)] * wide


def outer_constant(found: Any) -> None:
    """Let a model that answers with one class compare a column of it with all of its classes."""
    dummy = DummyClassifier(strategy="constant", constant=0).fit(np.zeros((2, 1)), [0, 1])
    vars(dummy).update(constant=[[0.0]] * WIDE, classes_=np.arange(WIDE), n_classes_=WIDE)
    found.steps[-1] = ("model", dummy)


def kernel_of(value: Any) -> Callable[[Any], None]:
    """Return what makes this the constant that a kernel is."""
    return lambda found: setattr(found[-1].kernel_, "constant_value", value)


def nested(found: Any) -> None:
    """Let one number of a linear model be a column, and those that it is added to be rows."""
    row, column = np.arange(WIDE, dtype=float), np.zeros((WIDE, 1))
    coef, intercept = np.empty(found[-1].coef_.shape, dtype=object), np.empty(1, dtype=object)
    coef[:], intercept[0] = 0.0, column
    coef[0, 0] = row
    found[-1].coef_, found[-1].intercept_ = coef, intercept


def outer_steps(found: Any) -> None:
    """Bound an isotonic calibration below by a column, and above by a row."""
    steps = found[-1].calibrated_classifiers_[0].calibrators[0]
    steps.X_min_, steps.X_max_ = np.zeros((WIDE, 1)), np.ones(WIDE)


def gaps(width: int) -> SimpleImputer:
    """Return what takes a column of numbers for missing, and compares a row with each of them."""
    return with_attributes(SimpleImputer().fit(np.ones((2, width))), missing_values=np.full((WIDE, 1), np.nan))


def listed_intercepts(found: Any) -> None:
    """Give a linear model many classes, each with an intercept in a list of its own."""
    found[-1].coef_, found[-1].intercept_ = np.zeros((WIDE, found[-1].coef_.shape[1])), [[0.0]] * WIDE


# Tables and texts without end.


def name_columns(found: Any) -> None:
    """Name 5000 columns, each after one of a million letters, in a table of another library."""
    width = found[-1].n_features_in_
    codes = OneHotEncoder(sparse_output=False, handle_unknown="ignore").fit(np.zeros((1, width)))
    codes.categories_ = [np.arange(5000.0), *codes.categories_[1:]]
    codes._n_features_outs = [5000, *codes._n_features_outs[1:]]
    codes.feature_names_in_ = np.array(["A" * 1_000_000, *map(str, range(1, width))], dtype=object)
    codes.set_output(transform="pandas")
    found.steps.insert(1, ("codes", codes))
    found[-1].n_features_in_, found[-1].coef_ = 4999 + width, np.zeros((1, 4999 + width))


def nothing_between(found: Any) -> None:
    """Pass a row through nothing to a table of 400 million numbers."""
    network, wide = found[-1], 20_000
    network.coefs_ = [np.zeros((network.n_features_in_, 0)), np.zeros((wide, 0, wide))]
    network.intercepts_ = [np.zeros(0), np.zeros(1)]


def long_labels(site: Site) -> bytes:
    """Return a model of two labels of 99,999 letters, and ask it for 12,000 rows of them: 4.8 GB."""
    head, *rows = site.rows.read_text().splitlines()
    site.rows.write_text("\n".join([head, *[rows[0]] * 12_000]))
    labels = np.array(["1", "2"], dtype="U99999")
    return with_estimator(LogisticRegression(), attributes(classes_=labels))(site)


# Pickles, opcode by opcode.


def meeting_keys(site: Site) -> bytes:
    """Return a dict of numbers that begin at one place of its table. Such as meet all the way take long to find."""
    return START + b"}(" + b"".join(b"J" + key.to_bytes(4, "little") + b"N" for key in range(1 << 19, 1 << 31, 1 << 19)) + b"u."


def array_copies(site: Site) -> bytes:
    """Return a thousand arrays of one list of 200,000, each of which copies it."""
    arguments = named("numpy", "ndarray") + b"K\x00\x85C\x01b\x87\x94"
    fields = b"(K\x03" + text("|") + b"NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x3ft"
    dtype = named("numpy", "dtype") + text("O8") + b"\x89\x88\x87R" + fields + b"b\x94"
    state = b"(K\x01J" + (200_000).to_bytes(4, "little") + b"\x85h\x02\x89](" + b"N" * 200_000 + b"et\x94"
    reconstruct = named("numpy._core.multiarray", "_reconstruct") + b"\x94"
    return START + b"(" + reconstruct + arguments + dtype + state + b"h\x00h\x01Rh\x03b" * 1000 + b"t."


def tree_copies(site: Site) -> bytes:
    """Return a thousand trees of one state, each of which copies its nodes."""
    rows = np.arange(8000.0)[:, None]
    made_by, arguments, state = DecisionTreeRegressor(random_state=0).fit(rows, rows[::-1, 0] ** 2).tree_.__reduce__()
    return pickle.dumps([Forged(made_by, arguments, state) for _ in range(1000)], protocol=5)


def estimator_in_dtype(site: Site) -> bytes:
    """Return a dtype whose state is an estimator: to say how it differs would ask scikit-learn to print it."""
    return pickle.dumps(Forged(np.dtype, ("f8", False, True), (3, "<", None, None, LinearRegression(), -1, -1, 0)), protocol=5)


def random_states(site: Site) -> bytes:
    """Return 12,000 random states, of five bytes each."""
    make = named("numpy.random._pickle", "__bit_generator_ctor") + b"\x94"
    arguments = named("numpy.random._mt19937", "MT19937") + b"\x85\x94"
    return START + b"(" + make + arguments + b"h\x00h\x01R" * 12_000 + b"t."


def longer_frame(data: bytes, begin: int, more: bytes) -> bytes:
    """Return a file with more bytes at the end of the frame at `begin`, and in it."""
    size = int.from_bytes(data[begin + 1 : begin + 9], "little")
    end = begin + 9 + size
    return data[:begin] + b"\x95" + (size + len(more)).to_bytes(8, "little") + data[begin + 9 : end] + more + data[end:]


def last_frame(more: Callable[[Site], bytes]) -> Callable[[Site], bytes]:
    """Return a maker of the good file with bytes behind its end, in its last frame."""

    def make(site: Site) -> bytes:
        data = site.good
        frames = (at for at in range(len(data) - 9) if data[at] == pickle.FRAME[0])
        begin = next(at for at in frames if int.from_bytes(data[at + 1 : at + 9], "little") == len(data) - at - 9)
        return longer_frame(data, begin, more(site))

    return make


def inner_frame(site: Site) -> bytes:
    """Return the good joblib file with a command in the frame of its first object array, behind its end."""
    return longer_frame(site.good, site.good.index(START + pickle.FRAME, 2) + len(START), payload(site) + b".")


FORGED_LINE = f"{sklearn.__version__}\n\x1b[31merror: forged line"
STACKED = StackingClassifier([("votes", VotingClassifier([("a", LogisticRegression())], voting="soft"))], cv=2)
GREEDY = [
    *fault(
        21,
        "an intercept at an address",
        with_estimator(LogisticRegression(), address),
        "sets the attribute __array_interface__ of a LinearRegression",
        f"{ATTRIBUTES}:refuse_shadow {MISPLACED} {DIMENSIONS}",
    ),
    *fault(
        21,
        "an estimator as intercept",
        with_estimator(LogisticRegression(), attributes(intercept_=[LinearRegression()])),
        "holds a LinearRegression as intercept_, where none belongs",
        MISPLACED,
    ),
    *fault(
        21,
        "codes of labels as a step",
        with_estimator(LogisticRegression(), label_codes(0, 1, 2, 3)),
        "holds a LabelBinarizer as steps, where none belongs",
        MISPLACED,
    ),
    *fault(
        21,
        "labels in no order",
        with_estimator(LogisticRegression(), label_codes(0, np.nan, -5, np.nan, -1)),
        "holds codes of labels that are no table of theirs",
        f"{ANSWERS}:refuse_label_binarizer {MISPLACED}",
    ),
    *fault(
        21,
        "probabilities of several labels",
        with_estimator(
            OneVsRestClassifier(LogisticRegression()),
            lambda found: setattr(found[-1].label_binarizer_, "y_type_", "multilabel-indicator"),
        ),
        "holds codes of labels that are no table of theirs",
        f"{ANSWERS}:refuse_label_binarizer",
    ),
    *fault(
        17,
        "votes for the label 900 million",
        with_estimator(STACKED, count_votes),
        "holds votes that are counted by label",
        f"{ANSWERS}:refuse_hard_votes",
    ),
    *fault(
        17,
        "a rotation of another width than its scalings",
        with_estimator(QuadraticDiscriminantAnalysis(tol=1e-9), outer_quadratic),
        "holds rotations and scalings that do not belong together",
        f"{ANSWERS}:refuse_quadratic",
    ),
    *fault(
        17,
        "a column of priors",
        with_estimator(LogisticRegression(), model(outer_multinomial)),
        "holds class_log_prior_ of 2 dimensions",
        DIMENSIONS,
    ),
    *fault(17, "columns of means", with_estimator(GaussianNB(), outer_gaussian), "holds (theta|var)_ of [45] dim", DIMENSIONS),
    *fault(
        17,
        "a list of lists of intercepts",
        with_estimator(LogisticRegression(), listed_intercepts),
        "holds intercept_ that is a list",
        DIMENSIONS,
    ),
    *fault(
        17,
        "a list of intercepts",
        with_estimator(LogisticRegression(), column_of_intercepts),
        "holds intercept_ that is a list",
        DIMENSIONS,
    ),
    *fault(
        17,
        "a row and a column in arrays of objects",
        with_estimator(LogisticRegression(), nested),
        "^holds an array of arrays or lists$",
        f"{ARRAYS}:refuse_nested",
    ),
    *fault(
        17,
        "bounds of a column and a row",
        with_estimator(CalibratedClassifierCV(LogisticRegression(), method="isotonic", cv=2), outer_steps),
        "holds X_(min|max)_ of [12] dimensions",
        DIMENSIONS,
    ),
    *fault(
        17,
        "a column of radii",
        with_estimator(RadiusNeighborsClassifier(radius=100.0), attributes(radius=np.full((WIDE, 1), 100.0))),
        "holds radius of 2 dimensions",
        DIMENSIONS,
    ),
    *fault(
        17,
        "a column of what is missing",
        with_estimator(LogisticRegression(), lambda found: found.steps.insert(1, ("gaps", gaps(found[-1].n_features_in_)))),
        "holds missing_values of 2 dimensions",
        DIMENSIONS,
    ),
    *fault(
        17,
        "names of a million letters",
        with_estimator(LogisticRegression(), name_columns),
        "answers with tables of another library",
        f"{ATTRIBUTES}:refuse_output_config",
    ),
    *fault(
        21,
        "a forest that reports",
        with_forest(lambda forest: setattr(forest, "verbose", 51)),
        r"reports while it answers \(verbose\)",
        f"{ATTRIBUTES}:refuse_reports",
    ),
    *fault(
        17,
        "a column of constants",
        with_estimator(LogisticRegression(), outer_constant),
        "^holds constant that is a list$",
        DIMENSIONS,
    ),
    *fault(
        17,
        "a column of what no class counts",
        with_estimator(LogisticRegression(), attributes(n_seen_=np.zeros((WIDE, 1)))),
        "^holds an array as n_seen_, where none belongs$",
        f"{ATTRIBUTES}:refuse_misplaced_arrays",
    ),
    *fault(
        17,
        "columns in a list of what no class counts",
        with_estimator(LogisticRegression(), attributes(n_seen_=[(np.zeros(1),)])),
        "^holds an array as n_seen_, where none belongs$",
        f"{ATTRIBUTES}:refuse_misplaced_arrays",
    ),
    *fault(
        17,
        "a column as an argument",
        with_estimator(LogisticRegression(), attributes(tol=np.zeros((WIDE, 1)))),
        "^holds an array as tol, where none belongs$",
        f"{ATTRIBUTES}:refuse_misplaced_arrays",
    ),
    *fault(
        21,
        "neighbours among no points",
        with_estimator(
            KNeighborsClassifier(algorithm="brute", metric="manhattan"),
            attributes(_fit_X=np.zeros((0, 6), dtype=np.float32), _y=np.zeros(0, dtype=np.int64), n_samples_fit_=0),
        ),
        "holds neighbours whose points and labels do not belong together",
        f"{NATIVE}:refuse_neighbours",
    ),
    *fault(
        21,
        "250 million neighbours",
        with_estimator(KNeighborsClassifier(algorithm="brute", metric="manhattan"), attributes(n_neighbors=250_000_000)),
        "holds neighbours whose points and labels do not belong together",
        f"{NATIVE}:refuse_neighbours",
    ),
    *fault(
        17,
        "four billion empty lists",
        with_estimator(LogisticRegression(), attributes(classes_=np.zeros((65536, 65536, 0)))),
        "holds an array of nothing, 4294967296 long",
        f"{ARRAYS}:refuse_wide_nothing",
        timeout_s=5.0,
    ),
    *fault(
        17,
        "a layer of a table of nothing",
        with_estimator(MLPClassifier((2,), max_iter=1), nothing_between),
        "holds an array of nothing, 400000000 long",
        f"{ARRAYS}:refuse_wide_nothing {DIMENSIONS}",
    ),
    *fault(
        21,
        "an estimator in a dtype",
        estimator_in_dtype,
        "holds a dtype f8 with other fields, offsets or flags than that has",
        f"{ARRAYS}:refuse_dtype_state",
        "pickle",
    ),
    *fault(10, "keys that meet", meeting_keys, "holds a dict with a large number as key", f"{UNPICKLING}:refuse_key"),
    *fault(
        10,
        "arrays of one list",
        array_copies,
        "makes objects of more than [0-9]+ bytes, the same again and again",
        f"{LEDGER}:refuse_copies",
        timeout_s=10.0,
    ),
    *fault(
        10,
        "trees of one state",
        tree_copies,
        "makes objects of more than [0-9]+ bytes, the same again and again",
        f"{LEDGER}:refuse_copies",
        "pickle",
        timeout_s=10.0,
    ),
    *fault(
        10,
        "many random states",
        random_states,
        "makes objects of more than [0-9]+ bytes, the same again and again",
        f"{LEDGER}:refuse_copies",
        "pickle",
    ),
    *fault(
        20,
        "trailing bytes in the last frame",
        last_frame(lambda site: payload(site) + b"."),
        r"holds \d+ bytes after its end",
        f"{POLICY}:refuse_rest",
    ),
    *fault(
        6,
        "a second pickle in the last frame",
        last_frame(lambda site: START + payload(site) + b"."),
        "holds a second pickle",
        f"{POLICY}:refuse_second {POLICY}:refuse_rest",
    ),
    *fault(
        11,
        "trailing bytes in the frame of an object array",
        inner_frame,
        "holds a frame that goes on behind its pickle",
        f"{JOBLIB}:refuse_rest_of_frame",
        "joblib",
    ),
    *fault(
        22,
        "a version that is a line of its own",
        with_estimator(LogisticRegression(), model(lambda found: with_attributes(found, _sklearn_version=FORGED_LINE))),
        "holds an estimator of a scikit-learn that has no version",
        f"{UNPICKLING}:refuse_odd_version {UNPICKLING}:refuse_other_version",
    ),
]

REGRESSIONS = [
    *fault(
        21,
        "a million labels for a row",
        with_estimator(OneVsRestClassifier(LogisticRegression()), of_several_labels),
        "against the rest, that may give a row more than one number",
        f"{ANSWERS}:refuse_one_against_rest",
    ),
    *fault(
        17,
        "labels of 99,999 letters",
        long_labels,
        "holds an array of dtype 'U99999', which is not allowed",
        f"{ARRAYS}:refuse_dtype",
    ),
    *fault(
        17,
        "400 million targets",
        with_estimator(LinearRegression(), model(lambda found: GaussianProcessRegressor(n_targets=400_000_000))),
        "holds 400000000 as n_targets, and nothing of that number",
        "isoform.formats.counts:refuse_counts",
    ),
    *(
        one
        for title, value in {"numbers of a thousand digits": 3**1280, "texts": "A" * 1000}.items()
        for one in fault(
            17,
            f"a kernel of {title}",
            with_estimator(GaussianProcessRegressor(ConstantKernel()), kernel_of(value)),
            "^holds a kernel of something else than numbers$",
            f"{ANSWERS}:refuse_kernel",
        )
    ),
]
"""Tried on a model that answers with a number."""


test_it_is_held, test_it_is_not_held_without_its_guard = both(GREEDY)


@pytest.fixture
def make_number_site(published: Callable[[str], Workspace], tmp_path: Path) -> Callable[[str], Site]:
    """Give a function that copies the version, of a model that answers with a number, with a file of that format."""
    return lambda format: workspace_site(published("regression"), tmp_path / "site", format)


@pytest.mark.parametrize("fault", REGRESSIONS, ids=str)
def test_it_is_held_for_a_number(fault: Fault, child: Child, make_number_site: Callable[[str], Site], record: Record) -> None:
    try_both_ways(fault, child, make_number_site(fault.format), record)


@pytest.mark.parametrize("fault", REGRESSIONS, ids=str)
def test_it_is_not_held_for_a_number_without_its_guard(
    fault: Fault, child: Child, make_number_site: Callable[[str], Site]
) -> None:
    try_without_guard(fault, child, make_number_site(fault.format))
