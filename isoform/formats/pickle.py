"""pickle: the whole scikit-learn Pipeline in one stream. Unpickles, by an allowlist and with every step checked."""

from __future__ import annotations

import pickle

import joblib
import numpy as np
import pandas as pd
import sklearn
from sklearn.pipeline import Pipeline

from isoform import warning_filters
from isoform.metadata import Config
from isoform.rows import Columns

PROTOCOL = 5
"""Pinned: Python's default moves with its version, and the bytes with it."""


def dump(model: Pipeline) -> bytes:
    """Serialise a fitted Pipeline."""
    return pickle.dumps(model, protocol=PROTOCOL)


def load(data: bytes, config: Config, allow_version_skew: bool = False) -> Pipeline:
    """Unpickle the Pipeline that `config` describes, or raise `Refused`."""
    from isoform.formats import policy, unpickling

    return policy.read(data, config, allow_version_skew, unpickling.Unpickler)


def infer(native: Pipeline, columns: Columns, config: Config) -> np.ndarray:
    """Ask the Pipeline for the probabilities, or the prediction, of a frame with the columns it was fitted on."""
    # The rows are canonical already: checking each again costs more than one row's answer.
    # A huge number may overflow where it is scaled, before it is clipped: that is meant. What else goes wrong is in the answer.
    quick = sklearn.config_context(assume_finite=True, skip_parameter_validation=True)
    # Whatever the program has asked of joblib: threads add up trees in the order in which they end, and replace filters together.
    one_by_one = joblib.parallel_config(backend="sequential")
    with warning_filters.ALONE, one_by_one, quick, np.errstate(all="ignore"):
        frame = pd.DataFrame(columns, columns=[*config.numeric, *config.categorical])
        answer = native.predict_proba(frame) if config.task == "classification" else native.predict(frame).reshape(-1, 1)
        return np.asarray(answer, dtype=np.float32)
