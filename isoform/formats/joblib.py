"""joblib: the whole scikit-learn Pipeline, arrays stored raw. Unpickles, by an allowlist and with every step checked."""

import io

import joblib
from sklearn.pipeline import Pipeline

from isoform.formats import pickle
from isoform.metadata import Config


def dump(model: Pipeline) -> bytes:
    """Serialise a fitted Pipeline, uncompressed."""
    buffer = io.BytesIO()
    joblib.dump(model, buffer, protocol=pickle.PROTOCOL)
    return buffer.getvalue()


def load(data: bytes, config: Config, allow_version_skew: bool = False) -> Pipeline:
    """Unpickle the Pipeline that `config` describes, or raise `Refused`."""
    from isoform.formats import joblib_unpickling, policy

    return policy.read(data, config, allow_version_skew, joblib_unpickling.JoblibUnpickler)


infer = pickle.infer  # the same object in memory, so the same way to ask it
