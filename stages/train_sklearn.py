"""Fit a scikit-learn Pipeline, preprocessing included.

Reads   data/prepared/train.parquet, schema.json
Writes  pipeline.joblib, pipeline.pkl and their hashes, train.sha256, in the model's version folder
Run     python -m stages.train_sklearn pipeline_rf
"""

import logging
import time

import numpy as np
from sklearn.pipeline import Pipeline

from isoform.formats import FORMATS
from isoform.formats import joblib as joblib_format
from isoform.formats import pickle as pickle_format
from isoform.rows import Columns
from pipeline import datasets, estimators, layout, params, records
from pipeline.datasets import Schema
from pipeline.params import SklearnModel
from stages import run

log = logging.getLogger(__name__)


def train(name: str, model: SklearnModel, schema: Schema, columns: Columns, targets: np.ndarray, seed: int) -> Pipeline:
    """Return the Pipeline fitted on the training rows."""
    return estimators.fit(name, estimators.build(name, model, schema, seed), columns, targets)


def main(name: str) -> None:
    """Fit and save the model `name`; raises `BadInput` for parameters that its estimator refuses."""
    settings = params.load()
    model: SklearnModel = settings.model("sklearn", name)
    folder = layout.version_dir(name, model.version)
    schema = datasets.read_schema()
    columns, targets = datasets.read_train(schema)
    log.info("fitting %s on %d rows", name, len(targets))
    begin = time.perf_counter()
    pipeline = train(name, model, schema, columns, targets, settings.seed)
    log.info("fitted in %.1f s", time.perf_counter() - begin)
    contents = {"joblib": joblib_format.dump(pipeline), "pickle": pickle_format.dump(pipeline)}
    records.write(folder, "train", {FORMATS[entry].filename: data for entry, data in contents.items()})


if __name__ == "__main__":
    run(main, __doc__, "name")
