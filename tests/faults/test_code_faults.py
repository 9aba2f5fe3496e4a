"""Faults 10 and 21: codes of categories in another order than they are searched in, or in more columns than there are."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from builders import CATEGORICAL
from cases import both
from forging import fault, with_estimator
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder

ATTRIBUTES, NATIVE, UNPICKLING = (f"isoform.formats.{name}" for name in ("attributes", "native", "unpickling"))


def one_hot(first: np.ndarray) -> Callable[[Any], None]:
    """Return what puts one-hot codes with these categories of each column in front of the model."""

    def alter(found: Any) -> None:
        width = found[-1].n_features_in_
        codes = OneHotEncoder(sparse_output=False, handle_unknown="ignore").fit(np.zeros((1, width)))
        codes.categories_, codes._n_features_outs = [first] * width, [len(first)] * width
        found.steps.insert(1, ("codes", codes))
        found[-1].n_features_in_, found[-1].coef_ = len(first) * width, np.zeros((1, len(first) * width))

    return alter


def rare(**changes: Any) -> Callable[[Any], None]:
    """Return what puts one-hot codes of a, b and a code for both x and y in front of a model, and changes their attributes."""

    def alter(found: Any) -> None:
        width = found[-1].n_features_in_
        values = np.tile(np.array(["a", "a", "b", "b", "x", "y"])[:, None], width)
        codes = OneHotEncoder(sparse_output=False, handle_unknown="infrequent_if_exist", min_frequency=2).fit(values)
        vars(codes).update({name: value(width) for name, value in changes.items()})
        found.steps.insert(1, ("codes", codes))
        found[-1].n_features_in_, found[-1].coef_ = 3 * width, np.zeros((1, 3 * width))

    return alter


def rare_codes(codes: list[int], columns: int, **changes: Any) -> Callable[[Any], None]:
    """Return what gives the categories these codes, and each column of the row so many."""
    mapping = {"_default_to_infrequent_mappings": lambda width: [np.array(codes)] * width}
    return rare(**mapping, _n_features_outs=lambda width: [columns] * width, **changes)


def rare_indices(*indices: int) -> Callable[[Any], None]:
    """Return what calls these categories rare."""
    return rare(_infrequent_indices=lambda width: [np.array(indices, dtype=int)] * width)


def ordinal(numbers: list[int]) -> Callable[[Any], None]:
    """Return what gives the ordinal codes of texts these categories."""
    values = np.empty(len(numbers), dtype=object)
    values[:] = numbers
    return lambda found: setattr(found[0].named_transformers_["categorical"], "categories_", [values] * len(CATEGORICAL))


def of_one_hash(count: int) -> list[int]:
    """Return numbers of one hash, each of which is compared with all before it."""
    return [position * sys.hash_info.modulus for position in range(4, 4 + count)]


CODES = [
    *fault(
        21,
        "one-hot codes whose differences wrap around",
        with_estimator(LogisticRegression(), one_hot(np.array([9, 7, 5], dtype="u8"))),
        "holds one-hot codes with other columns than categories",
        f"{NATIVE}:refuse_one_hot",
    ),
    *fault(
        21,
        "rare codes beyond the columns",
        with_estimator(LogisticRegression(), rare_codes([0, 1, 1 << 30, 2], columns=(1 << 30) + 1)),
        "holds one-hot codes with other columns than categories",
        f"{NATIVE}:refuse_one_hot",
    ),
    *fault(
        21,
        "a rare code before the columns",
        with_estimator(LogisticRegression(), rare_codes([0, 1, 2, -(1 << 30)], columns=3)),
        "holds one-hot codes with other columns than categories",
        f"{NATIVE}:refuse_one_hot",
    ),
    *fault(
        21,
        "one-hot codes that drop the first",
        with_estimator(LogisticRegression(), rare(_drop_idx_after_grouping=lambda width: np.array([0] * width, dtype=object))),
        "^holds one-hot codes that drop a category$",
        f"{NATIVE}:refuse_dropped",
    ),
    *fault(
        21,
        "one-hot codes that say so and drop none",
        with_estimator(LogisticRegression(), rare(drop=lambda width: "first")),
        "^holds one-hot codes that drop a category$",
        f"{NATIVE}:refuse_dropped",
    ),
    *(
        one
        for title, change in {
            "rare codes that are not in use": rare_codes([0, 0, 0, 0], 1, _infrequent_enabled=lambda width: None),
            "rare codes of fewer categories": rare_codes([0, 1, 2], 3),
            "no rare category": rare_indices(),
            "a rare category beyond them": rare_indices(4),
            "a rare category before them": rare_indices(-1),
            "rare categories of no column": rare(_infrequent_indices=lambda width: []),
        }.items()
        for one in fault(
            21,
            title,
            with_estimator(LogisticRegression(), change),
            "holds one-hot codes with other columns than categories",
            f"{NATIVE}:refuse_one_hot",
        )
    ),
    *fault(
        21,
        "codes that warn of what is new",
        with_estimator(LogisticRegression(), rare(handle_unknown=lambda width: "warn")),
        r"^warns while it answers \(handle_unknown\)$",
        f"{ATTRIBUTES}:refuse_warnings",
    ),
    *fault(
        21,
        "one-hot codes of yes before no",
        with_estimator(LogisticRegression(), one_hot(np.array([True, False]))),
        "holds one-hot codes with other columns than categories",
        f"{NATIVE}:refuse_one_hot",
    ),
    *fault(
        10,
        "categories of one hash",
        with_estimator(LogisticRegression(), ordinal(of_one_hash(400))),
        "holds ordinal codes of odd categories",
        f"{NATIVE}:refuse_ordinal",
    ),
    *fault(
        10,
        "many categories of one hash",
        with_estimator(LogisticRegression(), ordinal(of_one_hash(50_000))),
        "holds more than 1000 numbers beyond 64 bits",
        f"{UNPICKLING}:refuse_many_large_numbers {NATIVE}:refuse_ordinal",
        timeout_s=5.0,
    ),
]

test_it_is_held, test_it_is_not_held_without_its_guard = both(CODES)
