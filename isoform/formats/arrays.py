"""Arrays, numbers and random states in a pickle: what NumPy reads without looking, looked at before.

NumPy believes a pickled dtype about the offsets of its fields and a pickled object array about its length, and then reads
wherever they point. So dtypes are those of a short list, each exactly as it writes itself, and there are as many values as the
shape says.
"""

import math
import sys
from functools import cache
from typing import Any

import numpy as np

from isoform.errors import Refused

TEXTS = frozenset(f"U{letters}" for letters in range(1, 1025))
"""Of up to so many letters, because each takes as much as the longest."""
PLAIN = frozenset(["b1", "u1", "i4", "u4", "i8", "u8", "f4", "f8", "O8"])
MAX_DIMENSIONS = 8
MAX_BESIDE_NOTHING = 2**12
"""How much an array without values may hold beside the 0 in its shape: what is multiplied by it is as wide, or has as many lists
in lists, and no byte of the file pays for that."""


def structure(name: str) -> np.dtype[Any] | None:
    """Return the record of a tree's node that is written as `name`."""
    return _structures().get(name) if name.startswith("V") else None


@cache
def _structures() -> dict[str, np.dtype[Any]]:
    from sklearn.ensemble._hist_gradient_boosting.common import PREDICTOR_RECORD_DTYPE
    from sklearn.neighbors import KDTree
    from sklearn.tree._tree import NODE_DTYPE

    neighbour = KDTree(np.zeros((1, 1))).__getstate__()[2].dtype
    return {f"V{dtype.itemsize}": dtype for dtype in (neighbour, PREDICTOR_RECORD_DTYPE, NODE_DTYPE)}


def refuse_dtype(name: Any) -> None:
    """Raise `Refused` for a dtype that no model of ours has; `name` is as in `np.dtype(name)`."""
    if not (isinstance(name, str) and (name in PLAIN or name in TEXTS or structure(name))):
        raise Refused(f"holds an array of dtype {str(name)[:20]!r}, which is not allowed")


def refuse_dtype_state(made: np.dtype[Any], state: Any) -> None:
    """Raise `Refused` when a dtype's fields, offsets, byte order or flags are not those of its name."""
    name = f"{made.kind}{made.itemsize // 4 if made.kind == 'U' else made.itemsize}"
    expected = (structure(name) or np.dtype(name)).__reduce__()[2]
    if not _same(state, expected):
        raise Refused(f"holds a dtype {name} with other fields, offsets or flags than that has")


def _same(found: Any, expected: Any) -> bool:
    """Tell whether a state is the one expected, without a question to anything in it that is not."""
    if isinstance(expected, np.dtype):  # of which C has two names for one
        return isinstance(found, np.dtype) and bool(found == expected)
    if type(found) is not type(expected):
        return False
    if isinstance(expected, tuple):
        return len(found) == len(expected) and all(map(_same, found, expected))
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(_same(found[name], expected[name]) for name in expected)
    return bool(found == expected)


def refuse_shape(shape: Any, dtype: Any, found: int, unit: str) -> None:
    """Raise `Refused` unless an array of this shape and dtype takes exactly the `found` bytes (or values) there are."""
    require(isinstance(dtype, np.dtype), "holds an array of no dtype")
    plain = isinstance(shape, tuple) and len(shape) <= MAX_DIMENSIONS and all(type(n) is int and n >= 0 for n in shape)
    if plain:
        refuse_wide_nothing(shape)
    needed = math.prod(shape) * (1 if unit == "values" else dtype.itemsize) if plain else -1
    if needed != found:
        raise Refused(f"holds an array of shape {str(shape)[:60]} with {found} {unit}")


def refuse_wide_nothing(shape: tuple[int, ...]) -> None:
    """Raise `Refused` for an array that is long in one direction and holds nothing."""
    beside = math.prod(length for length in shape if length)
    if 0 in shape and beside > MAX_BESIDE_NOTHING:
        raise Refused(f"holds an array of nothing, {beside} long")


def refuse_beyond_unicode(values: Any, dtype: np.dtype[Any]) -> None:
    """Raise `Refused` for letters that are none: NumPy makes such a text, and Python cannot read it."""
    if dtype.kind == "U" and np.frombuffer(values, "<u4").max(initial=0) > sys.maxunicode:
        raise Refused("holds a text of letters beyond Unicode")


def refuse_array_state(made: Any, state: Any) -> None:
    """Raise `Refused` unless a state is a version, shape, dtype, order, and as many values or bytes as they take."""
    require(isinstance(state, tuple) and len(state) == 5 and state[0] == 1, "holds an array with an odd state")
    _, shape, dtype, fortran, values = state
    require(isinstance(fortran, bool) and isinstance(values, list | bytes), "holds an array with an odd state")
    objects = isinstance(dtype, np.dtype) and dtype.hasobject
    require(objects == isinstance(values, list), "holds an array with an odd state")
    refuse_shape(shape, dtype, len(values), "values" if objects else "bytes")
    if objects:
        refuse_nested(values)
    else:
        refuse_beyond_unicode(values, dtype)


def refuse_nested(values: list[Any]) -> None:
    """Raise `Refused` for an array of arrays, or of lists: what is computed with it becomes a table for each of them."""
    if any(issubclass(kind, np.ndarray | list | tuple | dict) for kind in set(map(type, values))):  # at the speed of C
        raise Refused("holds an array of arrays or lists")


def refuse_buffer(arguments: tuple[Any, ...]) -> None:
    """Raise `Refused` unless these are the bytes, dtype, shape and order of an array, and for the order K that of its axes."""
    require(len(arguments) in (4, 5), "holds an array with odd arguments")
    values, dtype, shape, *order = arguments
    require(isinstance(values, bytes | bytearray) and _is_order(*order), "holds an array with odd arguments")
    require(isinstance(dtype, np.dtype) and not dtype.hasobject, "holds an array of pointers")
    refuse_shape(shape, dtype, len(values), "bytes")
    refuse_beyond_unicode(values, dtype)
    require(len(order) == 1 or len(order[1]) == len(shape), "holds an array with odd arguments")


def _is_order(order: Any, axes: Any = None) -> bool:
    if axes is None:
        return order in ("C", "F")
    plain = order == "K" and isinstance(axes, tuple) and all(type(axis) is int for axis in axes)
    return plain and sorted(axes) == [*range(len(axes))]


def refuse_scalar(arguments: tuple[Any, ...]) -> None:
    """Raise `Refused` unless these are a plain dtype and the bytes of one number of it."""
    good = len(arguments) == 2 and isinstance(arguments[0], np.dtype) and arguments[0].kind in "biuf"
    require(good and isinstance(arguments[1], bytes) and len(arguments[1]) == arguments[0].itemsize, "holds an odd number")


def refuse_bit_generator_state(made: Any, state: Any) -> None:
    """Raise `Refused` unless a random state is one of MT19937 or PCG64 and of its seed."""
    good = isinstance(state, tuple) and len(state) == 2 and type(state[1]).__name__ in ("NoneType", "SeedSequence")
    require(good, "holds a random state without its seed")
    refuse_random_state(made, state[0], type(made).__name__)


def refuse_random_state(made: Any, state: Any, name: str = "MT19937") -> None:
    """Raise `Refused` unless a random state is one of the generator `name`, with a position inside its key."""
    good = isinstance(state, dict) and state.get("bit_generator") == name and isinstance(state.get("state"), dict)
    if good and name == "MT19937":
        key, position = state["state"].get("key"), state["state"].get("pos")
        good = isinstance(key, np.ndarray) and key.dtype == np.uint32 and key.shape == (624,)
        good = good and type(position) is int and 0 <= position <= 624
    require(good, "holds an odd random state")


def refuse_seed_state(made: Any, state: Any) -> None:
    """Raise `Refused` unless this is entropy, children, a pool of four words, its size and no key."""
    good = isinstance(state, tuple) and len(state) == 5 and state[3] == 4 and state[4] == ()
    good = good and isinstance(state[2], np.ndarray) and state[2].dtype == np.uint32 and state[2].shape == (4,)
    good = good and isinstance(state[0], int | np.uint64 | np.int64) and type(state[1]) is int
    require(good, "holds an odd state of SeedSequence")


def require(good: Any, reason: str) -> None:
    """Raise `Refused` for the reason given."""
    if not good:
        raise Refused(reason)
