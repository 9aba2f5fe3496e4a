"""joblib's files: a pickle with the bytes of each array right behind what stands for it.

`joblib.load` is not used: it unpacks whatever is compressed, and ignores what follows the pickle.
"""

import math
from typing import Any

import numpy as np
from joblib.numpy_pickle import NumpyArrayWrapper

from isoform.formats.arrays import MAX_DIMENSIONS, refuse_beyond_unicode, require
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

    def _read_array(self, wrapper: Any) -> Any:
        shape, dtype, order = (wrapper.get(name) for name in ("shape", "dtype", "order"))
        good = (
            isinstance(dtype, np.dtype)
            and isinstance(shape, tuple)
            and order in ("C", "F")
            and wrapper.get("subclass") is np.ndarray
        )
        require(good, "holds an array of odd kind")
        if dtype.hasobject:
            inner = Unpickler(self.file, self.ledger, self.allow_version_skew)
            array = inner.load()
            self.skews |= inner.skews
            require(isinstance(array, np.ndarray) and array.dtype == dtype, "holds an array of odd kind")
            return array
        if wrapper.get("numpy_array_alignment_bytes") is not None:
            self.file.read(self.file.read(1)[0])
        plain = len(shape) <= MAX_DIMENSIONS and all(type(length) is int and length >= 0 for length in shape)
        require(plain, f"holds an array of shape {str(shape)[:60]}")
        refuse_cut(math.prod(shape) * dtype.itemsize, self.file.size - self.file.tell())
        array = np.empty(shape, dtype, order)
        content = array.reshape(-1, order="A").view(np.uint8)
        self.file.readinto(content.data)
        refuse_beyond_unicode(content, dtype)
        return array


JoblibUnpickler.dispatch = dispatch_of(JoblibUnpickler)
