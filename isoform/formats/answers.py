"""What scikit-learn makes an answer of, looked at before: labels, votes, factors, and numbers that have an end.

Each check belongs to a class of isoform/formats/allowlist.py (checks.py says which). Here stands what would be slow, large or
loud; what compiled code would read without looking stands in native.py.
"""

import itertools
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_classifier

from isoform.formats.arrays import require
from isoform.formats.native import State, are_categories, is_array, is_count

MAX_KERNELS = 64

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


def refuse_other_final(made: Any, state: State) -> None:
    """Raise `Refused` unless the last of stacked classifiers is one."""
    require(is_classifier(state.get("final_estimator_")), "holds a stack of classifiers that ends with none")


def refuse_dummy(made: Any, state: State) -> None:
    """Raise `Refused` unless a constant model has one answer to a row, and a prior of numbers for its classes."""
    prior = state.get("class_prior_")
    good = prior is None or (is_array(prior, "f", None) and is_array(state.get("classes_"), "biufOU", len(prior)))
    require(good and state.get("n_outputs_") == 1, "holds a constant model of more than one answer")


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


def refuse_many_kernels(made: Any, state: State) -> None:
    """Raise `Refused` for sums and products of very many kernels, each of which is asked for all points."""
    kernels, count = [state.get("kernel_")], 0
    while kernels and count <= MAX_KERNELS:
        kernel, count = kernels.pop(), count + 1
        kernels += [vars(kernel)[name] for name in ("k1", "k2") if name in getattr(kernel, "__dict__", ())]
    require(count <= MAX_KERNELS, f"holds a kernel of more than {MAX_KERNELS}")


# Columns, and what is made of them.


def check_columns(made: Any, state: State) -> None:
    """Raise `Refused` for columns that go to more transformers than they are, or for factors that are no floats."""
    refuse_factors(state)
    refuse_repeated_columns(state)


def refuse_repeated_columns(state: State) -> None:
    """Raise `Refused` for transformers of one name, or columns that there are not.

    A table's columns are taken by number, an array's as the file says: by names, numbers, a mask or a slice. How many all of them
    take together is counted for the whole file, by `counts.refuse_many_counts`.
    """
    width, taken, numbers = (state.get(name) for name in ("n_features_in_", "transformers_", "_transformer_to_input_indices"))
    good = is_count(width, 1) and isinstance(taken, list) and all(isinstance(one, tuple) and len(one) == 3 for one in taken)
    good = good and isinstance(numbers, dict) and all(isinstance(one, list) for one in numbers.values())
    require(good, "holds transformers of no known columns")
    require(len({name for name, _, _ in taken if isinstance(name, str)}) == len(taken), "holds two transformers of one name")
    lists = [columns for _, _, columns in taken if isinstance(columns, list)]
    good = all(isinstance(column, str | int | np.integer | np.bool_) for columns in lists for column in columns)
    require(good, "takes columns by lists of lists")
    good = all(type(number) is int and 0 <= number < width for one in numbers.values() for number in one)
    require(good, "takes columns that it does not have")


def refuse_layers(made: Any, state: State) -> None:
    """Raise `Refused` unless each layer of a network takes what the one before it gives, and gives something."""
    weights, biases, count = state.get("coefs_"), state.get("intercepts_"), state.get("n_layers_")
    good = isinstance(weights, list) and isinstance(biases, list) and len(weights) == len(biases) > 0
    good = good and count == len(weights) + 1 and all(isinstance(one, np.ndarray) for one in [*weights, *biases])
    good = good and all(one.dtype.kind == "f" and one.ndim == 2 and one.size for one in weights)
    good = good and all(one.shape[1] == next_one.shape[0] for one, next_one in itertools.pairwise(weights))
    good = good and all(bias.shape == (one.shape[1],) for one, bias in zip(weights, biases, strict=True))
    require(good, "holds layers that do not belong together")


def refuse_factors(state: State) -> None:
    """Raise `Refused` for factors of columns that are no floats: a whole number of texts is a longer text."""
    factors = state.get("transformer_weights")
    good = factors is None or (type(factors) is dict and all(type(one) is float for one in factors.values()))
    require(good, "multiplies columns by something else than a float (transformer_weights)")


def refuse_gaps(made: Any, state: State) -> None:
    """Raise `Refused` for columns that nothing fills: each answer would warn that they are left out."""
    found = state.get("statistics_")
    good = isinstance(found, np.ndarray) and (state.get("keep_empty_features") is True or not pd.isna(found).any())
    require(good, "leaves out columns that were empty, and would warn of it")
