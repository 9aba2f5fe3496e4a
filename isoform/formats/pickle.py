"""pickle: the whole scikit-learn Pipeline in one stream. Unpickles: load only what you trust."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pandas as pd
import sklearn
from sklearn.pipeline import Pipeline

from isoform.metadata import Config
from isoform.rows import Columns

PROTOCOL = 5
"""Pinned: Python's default moves with its version, and the bytes with it."""
ONE_AT_A_TIME = threading.Lock()
"""While it answers, scikit-learn replaces the warning filters of the whole process: two threads would leave them spoilt."""


def dump(model: Pipeline) -> bytes:
    """Serialise a fitted Pipeline."""
    return pickle.dumps(model, protocol=PROTOCOL)


def load(data: bytes, config: Config, allow_version_skew: bool = False) -> Pipeline:
    """Unpickle a Pipeline: runs whatever code `data` names."""
    return expect_pipeline(pickle.loads(data))


def expect_pipeline(found: object) -> Pipeline:
    """Return `found`, or raise `TypeError` when it is something else than a Pipeline."""
    if not isinstance(found, Pipeline):
        raise TypeError(f"it holds a {type(found).__name__}, not a Pipeline")
    return found


def infer(native: Pipeline, columns: Columns, config: Config) -> np.ndarray:
    """Ask the Pipeline for the probabilities, or the prediction, of a frame with the columns it was fitted on."""
    frame = pd.DataFrame(columns, columns=[*config.numeric, *config.categorical])
    # The rows are canonical already: checking each again costs more than one row's answer.
    # A huge number may overflow where it is scaled, before it is clipped: that is meant.
    quick = sklearn.config_context(assume_finite=True, skip_parameter_validation=True)
    with ONE_AT_A_TIME, quick, np.errstate(over="ignore"):
        answer = native.predict_proba(frame) if config.task == "classification" else native.predict(frame).reshape(-1, 1)
        return np.asarray(answer, dtype=np.float32)
