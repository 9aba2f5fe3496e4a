"""joblib's files: a pickle with the bytes of each array right behind what stands for it.

`joblib.load` is not used: it unpacks whatever is compressed, and ignores what follows the pickle.
"""

import math
from typing import Any

import numpy as np
from joblib.numpy_pickle import NumpyArrayWrapper

from isoform.errors import Refused
from isoform.formats.arrays import MAX_DIMENSIONS, refuse_beyond_unicode, refuse_wide_nothing, require
from isoform.formats.ledger import refuse_cut
from isoform.formats.unpickling import Unpickler, dispatch_of


class JoblibUnpickler(Unpickler):
    """Reads an array where the pickle holds joblib's wrapper of one: its bytes follow, or a pickle if it holds objects."""

    def load_build(self) -> None:
        """Set the state of an object, and put the array that follows in the place of a wrapper."""
        super().load_build()
        if type(self.stack[-1]) is NumpyArrayWrapper:
            array = self._read_array(vars(self.stack.pop()))
            self.ledger.note(array, [])
            self.stack.append(array)

    def _read_array(self, wrapper: dict[str, Any]) -> Any:
        refuse_odd_wrapper(wrapper)
        shape, dtype, order = (wrapper[name] for name in ("shape", "dtype", "order"))
        if dtype.hasobject:
            inner = Unpickler(self.file, self.ledger, self.allow_version_skew)
            array = inner.load()
            refuse_rest_of_frame(inner.rest_of_frame())
            self.skews |= inner.skews
            refuse_other_inner(array, dtype)
            return array
        if wrapper.get("numpy_array_alignment_bytes") is not None:
            self.file.read(self.file.read(1)[0])
        plain = len(shape) <= MAX_DIMENSIONS and all(type(length) is int and length >= 0 for length in shape)
        require(plain, f"holds an array of shape {str(shape)[:60]}")
        refuse_wide_nothing(shape)
        refuse_cut(math.prod(shape) * dtype.itemsize, self.file.size - self.file.tell())
        array = np.empty(shape, dtype, order)
        content = array.reshape(-1, order="A").view(np.uint8)
        self.file.readinto(content.data)
        refuse_beyond_unicode(content, dtype)
        return array


JoblibUnpickler.dispatch = dispatch_of(JoblibUnpickler)


def refuse_rest_of_frame(rest: bytes) -> None:
    """Raise `Refused` when the frame of the pickle in the place of an array goes on behind its end."""
    if rest:
        raise Refused("holds a frame that goes on behind its pickle")


def refuse_odd_wrapper(wrapper: dict[str, Any]) -> None:
    """Raise `Refused` for a wrapper that is not of a plain array: joblib would make one of the class that it names."""
    good = isinstance(wrapper.get("dtype"), np.dtype) and isinstance(wrapper.get("shape"), tuple)
    if not good or wrapper.get("order") not in ("C", "F") or wrapper.get("subclass") is not np.ndarray:
        raise Refused("holds an array of odd kind")


def refuse_other_inner(found: Any, dtype: np.dtype[Any]) -> None:
    """Raise `Refused` when the pickle in the place of an array is of something else."""
    if not (isinstance(found, np.ndarray) and found.dtype == dtype):
        raise Refused(f"holds a {type(found).__name__} in the place of an array of {dtype}")
