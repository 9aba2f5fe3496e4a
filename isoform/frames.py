"""The columns of a DataFrame (pandas, polars) or an Arrow table, as NumPy arrays.

None of those libraries is imported: a class is known by the methods that it has. The class, not the object: pandas gives
an object an attribute for each column, whatever its name.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from isoform.errors import BadInput, first_line


def columns(rows: Any, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Return those of the columns `names` that the table has, each [N]; a label that is no text counts by its text.

    Raises `BadInput` when a column stands twice, or holds what has no place in an array of numbers or text.
    """
    kind = type(rows)
    if hasattr(kind, "collect"):
        raise BadInput("rows", f"are a {kind.__name__}, which holds no cells yet", "give what its collect() returns")
    is_arrow = hasattr(kind, "column_names")
    labels = list(rows.column_names if is_arrow else rows.columns)
    spelled = [_spelled(label) for label in labels]
    found: dict[str, np.ndarray] = {}
    for name in names:
        refuse_repeated(spelled, name)
        if name in spelled:
            label = labels[spelled.index(name)]
            found[name] = to_array(rows.column(label) if is_arrow else rows[label], name)
    return found


def refuse_repeated(spelled: Sequence[str], name: str) -> None:
    """Raise `BadInput` when the column `name` stands more than once."""
    if spelled.count(name) > 1:
        raise BadInput(f"column '{name}'", f"stands {spelled.count(name)} times", "keep one of them")


def _spelled(label: Any) -> str:
    """Return a column's label as text, "" for one that cannot be spelled: it may be any object."""
    try:
        return str(label)
    except Exception:  # its own __str__ is code
        return ""


def to_array(column: Any, name: str) -> np.ndarray:
    """Return a pandas or polars Series, or an Arrow array, as an array [N]; what is missing is NaN, NA, NaT or None."""
    try:
        found = np.asarray(_to_numpy(column))
    except Exception as error:  # each library has its own
        reason = f"cannot be read ({first_line(error)[:200]})"
        raise BadInput(f"column '{name}'", reason, "give numbers or text") from error
    if found.ndim != 1:  # polars: an Array of one number, a Struct of one field
        raise BadInput(f"column '{name}'", f"holds {column.dtype}", "give one value per row")
    return found


def _to_numpy(column: Any) -> Any:
    if hasattr(type(column), "dtype"):  # pandas, polars
        return column.to_numpy()
    # In chunks, Arrow's dictionary loses its missing values on the way to NumPy: they become its first entry.
    plain = column.cast(column.type.value_type) if hasattr(column.type, "index_type") else column
    return plain.to_numpy(zero_copy_only=False)
