"""Numbers in a model that are none of C, or that it cannot answer with in silence: texts, a thousand digits, gaps, tables."""

from collections.abc import Callable
from typing import Any

import numpy as np
from cases import both
from forging import WIDE, attributes, fault, with_estimator
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import AdaBoostClassifier, StackingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import RadiusNeighborsClassifier
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

ANSWERS, ATTRIBUTES, NATIVE = (f"isoform.formats.{name}" for name in ("answers", "attributes", "native"))


def before_model(make: Callable[[int], Any]) -> Callable[[Any], None]:
    """Return what puts a step in front of the model, made for the number of columns there, which it leaves as they are."""

    def alter(found: Any) -> None:
        found.steps.insert(1, ("more", make(found[-1].n_features_in_)))

    return alter


def texts_for_coefficients(found: Any) -> None:
    """Let a linear model multiply a text by what the codes before it make of a new value."""
    width = found[-1].n_features_in_
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=10**9, dtype=np.dtype("i8")).fit(
        np.full((1, width), 7.5)
    )
    found.steps.insert(1, ("codes", codes))
    found[-1].coef_ = np.full((1, width), "A", dtype=object)


def codes_of(dtype: Any) -> Callable[[int], OrdinalEncoder]:
    """Return a maker of codes of this dtype."""

    def make(width: int) -> OrdinalEncoder:
        codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1).fit(np.zeros((1, width)))
        codes.dtype = dtype
        return codes

    return make


def many_columns(width: int) -> OneHotEncoder:
    """Return one-hot codes of a thousand categories for each column, all of which are one array of the file."""
    codes = OneHotEncoder(sparse_output=False, handle_unknown="ignore").fit(np.zeros((1, width)))
    codes.categories_, codes._n_features_outs = [np.arange(5000, dtype=float)] * width, [5000] * width
    return codes


def factors(width: int) -> ColumnTransformer:
    """Return what takes each column a thousand times."""
    columns = ColumnTransformer([("all", SimpleImputer(), [*range(width)])]).fit(np.zeros((1, width)))
    columns.transformer_weights = {"all": 1000}
    return columns


def empty_columns(width: int) -> SimpleImputer:
    """Return what says of every column that nothing was there to fill its gaps with."""
    gaps = SimpleImputer().fit(np.zeros((1, width)))
    gaps.statistics_ = np.full(width, np.nan)
    return gaps


def column_of_votes(found: Any) -> None:
    """Let boosting take a column of numbers, one for each of its many labels, for a label a row."""
    boosting, width = found[-1].estimators_[0], found[-1].estimators_[0].n_features_in_
    line = LinearRegression().fit(np.zeros((1, width)), [0])
    line.coef_, line.intercept_ = np.zeros((WIDE, width)), 0.0
    vars(boosting).update(estimators_=[line], estimator_weights_=np.ones(1), classes_=np.arange(WIDE), n_classes_=WIDE)


LINE = LogisticRegression()
RADIUS = RadiusNeighborsClassifier(radius=100.0, outlier_label=0)
NUMBERS = [
    *fault(
        17,
        "coefficients that are texts",
        with_estimator(LINE, texts_for_coefficients),
        "^holds coef_ of dtype object, and no numbers$",
        f"{ATTRIBUTES}:refuse_objects",
    ),
    *fault(
        17,
        "numbers of a thousand digits",
        with_estimator(LINE, attributes(intercept_=np.array([10**600], dtype=object))),
        "^holds intercept_ of dtype object, and no numbers$",
        f"{ATTRIBUTES}:refuse_objects",
    ),
    *(
        one
        for title, dtype in {"tables": "20000000f8", "wide tables": ("f8", (1000, 1000)), "texts": np.dtype("U1000")}.items()
        for one in fault(
            17,
            f"codes that are {title}",
            with_estimator(LINE, before_model(codes_of(dtype))),
            "^makes codes of dtype ",
            f"{ATTRIBUTES}:refuse_odd_dtype",
        )
    ),
    *fault(
        17,
        "categories of one array",
        with_estimator(LINE, before_model(many_columns)),
        "^makes more columns of codes than a file of [0-9]+ bytes has categories$",
        "isoform.formats.counts:refuse_many_columns",
        "pickle",
    ),
    *fault(
        17,
        "columns that are no numbers",
        with_estimator(LINE, attributes(_n_features_outs=["many"])),
        "^makes more columns of codes than a file of [0-9]+ bytes has categories$",
        "isoform.formats.counts:refuse_many_columns",
    ),
    *fault(
        17,
        "columns taken a thousand times",
        with_estimator(LINE, before_model(factors)),
        r"^multiplies columns by something else than a float \(transformer_weights\)$",
        f"{ANSWERS}:refuse_factors",
    ),
    *fault(
        17,
        "a column of votes",
        with_estimator(StackingClassifier([("a", AdaBoostClassifier(n_estimators=2))], LINE, cv=2), column_of_votes),
        "^holds votes of what gives no label$",
        f"{ANSWERS}:refuse_other_votes",
    ),
    *fault(
        21,
        "columns that nothing fills",
        with_estimator(LINE, before_model(empty_columns)),
        "^leaves out columns that were empty, and would warn of it$",
        f"{ANSWERS}:refuse_gaps",
    ),
    *fault(
        21,
        "a label for outliers that is none",
        with_estimator(RADIUS, attributes(outlier_label_=[7])),
        "^holds neighbours whose points and labels do not belong together$",
        f"{NATIVE}:refuse_neighbours",
    ),
    *fault(
        21,
        "a radius that is no number",
        with_estimator(RADIUS, attributes(radius=float("nan"))),
        "^holds neighbours whose points and labels do not belong together$",
        f"{NATIVE}:refuse_neighbours",
    ),
    *fault(
        21,
        "threads in a list",
        with_estimator(RADIUS, attributes(n_jobs=[1])),
        r"^asks for \[1\] threads$",
        f"{ATTRIBUTES}:refuse_threads",
    ),
]

test_it_is_held, test_it_is_not_held_without_its_guard = both(NUMBERS)
