"""joblib: the whole scikit-learn Pipeline, arrays stored raw. Unpickles, by an allowlist and with every step checked.

Written by joblib, read here: `joblib.load` unpacks whatever is compressed, opens companion files and ignores what follows the pickle.
"""

import io
import math
from typing import Any

import joblib
import numpy as np
from joblib.numpy_pickle import NumpyArrayWrapper
from sklearn.pipeline import Pipeline

from isoform.errors import Refused
from isoform.formats import pickle
from isoform.formats.arrays import MAX_DIMENSIONS, refuse_unless
from isoform.formats.ledger import refuse_cut
from isoform.formats.unpickling import Unpickler, dispatch_of
from isoform.metadata import Config


def dump(model: Pipeline) -> bytes:
    """Serialise a fitted Pipeline, uncompressed."""
    buffer = io.BytesIO()
    joblib.dump(model, buffer, protocol=pickle.PROTOCOL)
    return buffer.getvalue()


def load(data: bytes, config: Config, allow_version_skew: bool = False) -> Pipeline:
    """Unpickle the Pipeline that `config` describes, or raise `Refused`."""
    return pickle.read(data, config, allow_version_skew, JoblibUnpickler)


class JoblibUnpickler(Unpickler):
    """Reads an array where the pickle holds joblib's `NumpyArrayWrapper`: its bytes follow, or a pickle of its own if it holds objects."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a global, the wrapper among them."""
        return Wrapper() if (module, name) == ("joblib.numpy_pickle", "NumpyArrayWrapper") else super().find_class(module, name)
