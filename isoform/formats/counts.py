"""What no array in the file stands for, counted: columns and answers that are merely a number there, and are made as wide.

A count is refused that is too large for the file alone, and so are those of all its objects together, which `Ledger` keeps.
"""

from typing import Any

import numpy as np

from isoform.errors import Refused
from isoform.formats.ledger import Ledger

COUNTS = (
    "n_classes", "n_classes_", "n_outputs_", "n_targets", "n_trees_per_iteration_", "n_layers_", "n_output_features_",
    "_n_out_full",
)  # fmt: skip
"""The attributes that say how wide a table is to be made; something of 8 bytes stands in the file for each of what they count."""

FREE_COLUMNS = 2**14
"""So many columns are no burden, however small the file."""
FAST_DEGREE = 3
"""Of the products that scikit-learn has compiled code for, when the columns are sparse."""


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


def refuse_many_columns(state: dict[str, Any], size_bytes: int) -> None:
    """Raise `Refused` for more columns of codes than the file can name categories: a text of one letter takes four bytes."""
    counts = state.get("_n_features_outs", [])
    if not (isinstance(counts, list) and all(isinstance(count, int) for count in counts) and sum(counts) <= size_bytes // 4):
        raise Refused(f"makes more columns of codes than a file of {size_bytes} bytes has categories")


def refuse_wide(state: dict[str, Any], size_bytes: int) -> None:
    """Raise `Refused` for an estimator of very many columns: a few steps that take each column twice make any number of them."""
    width = state.get("n_features_in_", 1)
    if not (isinstance(width, int | np.integer) and 0 <= width <= max(FREE_COLUMNS, size_bytes // 4)):
        raise Refused(f"takes {str(width)[:20]} columns, and nothing of that number")


def refuse_many_counts(state: dict[str, Any], ledger: Ledger) -> None:
    """Raise `Refused` for more answers and columns, of all estimators together, than the file can stand for."""
    counts = [state[name] for name in COUNTS if state.get(name) is not None]
    counts += [_column_count(columns, state["n_features_in_"]) for _, _, columns in state.get("transformers_", [])]
    counts += map(len, state.get("_transformer_to_input_indices", {}).values())
    ledger.counted += sum(map(int, counts))
    if ledger.counted > max(FREE_COLUMNS, ledger.size // 2):
        raise Refused(f"counts {ledger.counted} answers and columns in all, in a file of {ledger.size} bytes")


def _column_count(columns: Any, width: int) -> int:
    """Return how many columns of an array these select."""
    if isinstance(columns, slice):
        return len(range(*columns.indices(width))) if columns.step != 0 else 0
    return columns.size if isinstance(columns, np.ndarray) else len(columns) if isinstance(columns, list) else 1


def refuse_many_products(state: dict[str, Any], ledger: Ledger) -> None:
    """Raise `Refused` for many products of more than three columns: of sparse ones each takes a millisecond."""
    degree = state.get("_max_degree")
    if isinstance(degree, int) and degree > FAST_DEGREE:
        ledger.products += int(state.get("n_output_features_") or 0)
    if ledger.products > FREE_COLUMNS:
        raise Refused(f"makes {ledger.products} columns of products of more than {FAST_DEGREE}")
