"""joblib: the whole scikit-learn Pipeline, arrays stored raw. Unpickles: load only what you trust."""

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
    """Unpickle a Pipeline: runs whatever code `data` names."""
    return pickle.expect_pipeline(joblib.load(io.BytesIO(data)))


infer = pickle.infer  # the same object in memory, so the same way to ask it
