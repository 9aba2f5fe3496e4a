"""What scikit-learn makes an answer of, looked at before: labels, votes, factors, and numbers that have an end.

Each check belongs to a class of isoform/formats/allowlist.py (checks.py says which). Here stands what would be slow, large or
loud; what compiled code would read without looking stands in native.py.
"""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier

from isoform.formats.arrays import require
from isoform.formats.native import State, are_categories, is_array

# Classes: codes of their labels, votes for them, what tells one from the rest.


def refuse_label_binarizer(made: Any, state: State) -> None:
    """Raise `Refused` unless labels rise, and each row has one: of several the codes are searched without a look."""
    good = are_categories([state.get("classes_")])
    good = good and state.get("y_type_") in ("binary", "multiclass")
    good = good and state.get("sparse_input_") is False
    require(good, "holds codes of labels that are no table of theirs")


def refuse_one_against_rest(made: Any, state: State) -> None:
    """Raise `Refused` unless each estimator gives a row one number: `predict` writes a column of all that it gives."""
    for part in state.get("estimators_") or ():
        intercept = vars(part).get("intercept_")
        is_linear = is_array(vars(part).get("coef_"), "f", 1, None) and (
            isinstance(intercept, float) or is_array(intercept, "f", 1)
        )
        good = is_linear or not hasattr(type(part), "decision_function")  # else the column of its probabilities is taken
        require(good, "holds an estimator, against the rest, that may give a row more than one number")


def refuse_hard_votes(made: Any, state: State) -> None:
    """Raise `Refused` for a majority of labels: it gives no probabilities, and counts up to the largest label."""
    require(state.get("voting") == "soft", "holds votes that are counted by label")


def refuse_quadratic(made: Any, state: State) -> None:
    """Raise `Refused` unless the rotation of each class has a scaling for each of its columns."""
    rotations, scalings = state.get("rotations_"), state.get("scalings_")
    good = isinstance(rotations, list) and isinstance(scalings, list) and len(rotations) == len(scalings)
    good = good and all(
        is_array(scaling, "f", None) and isinstance(rotation, np.ndarray) and rotation.shape[1:] == scaling.shape
        for rotation, scaling in zip(rotations, scalings, strict=True)
    )
    require(good, "holds rotations and scalings that do not belong together")


def refuse_other_votes(made: Any, state: State) -> None:
    """Raise `Refused` unless those that vote give one label a row: a column beside the labels becomes a table."""
    voters = state.get("estimators_")
    good = isinstance(voters, list) and all(is_classifier(one) and getattr(one, "n_outputs_", 1) == 1 for one in voters)
    require(good, "holds votes of what gives no label")


# Numbers that are to be numbers of C: of Python's own, or of a text, a product may be as long as it likes.


def is_number(found: Any) -> bool:
    """Tell whether this is a number that a float can stand for."""
    return isinstance(found, float | np.floating) or (isinstance(found, int | np.integer) and -(2**53) < int(found) < 2**53)


def refuse_kernel(made: Any, state: State) -> None:
    """Raise `Refused` for a kernel of something else than numbers."""
    scale = state.get("length_scale", 1.0)
    scales = [] if isinstance(scale, np.ndarray) else scale if isinstance(scale, list | tuple) else [scale]
    numbers = [*scales, state.get("constant_value", 1.0), state.get("noise_level", 1.0)]
    require(all(map(is_number, numbers)), "holds a kernel of something else than numbers")


def refuse_factors(made: Any, state: State) -> None:
    """Raise `Refused` for factors of columns that are no floats: a whole number of texts is a longer text."""
    factors = state.get("transformer_weights")
    good = factors is None or (type(factors) is dict and all(type(one) is float for one in factors.values()))
    require(good, "multiplies columns by something else than a float (transformer_weights)")


def refuse_gaps(made: Any, state: State) -> None:
    """Raise `Refused` for columns that nothing fills: each answer would warn that they are left out."""
    found = state.get("statistics_")
    good = isinstance(found, np.ndarray) and (state.get("keep_empty_features") is True or not pd.isna(found).any())
    require(good, "leaves out columns that were empty, and would warn of it")
