"""Time the fit of one scikit-learn model and nothing else, as its stage would fit it.

Same builder, hyperparameters, seed and environment as stages/train_sklearn.py; reading the rows and
writing the model are not timed.

Run     python -m benchmarks.bare_fit FOLDER pipeline_rf     (FOLDER: a checkout with data/prepared; prints seconds)
"""

import os
import sys

import stages  # noqa: F401  first: it pins the environment, before numpy is imported
from benchmarks.timing import seconds
from pipeline import datasets, estimators, params


def main(folder: str, name: str) -> None:
    os.chdir(folder)
    settings = params.load()
    model: params.SklearnModel = settings.model("sklearn", name)
    schema = datasets.read_schema()
    columns, targets = datasets.read_train(schema)
    unfitted = estimators.build(name, model, schema, settings.seed)
    print(seconds(lambda: estimators.fit(name, unfitted, columns, targets)))


if __name__ == "__main__":
    main(*sys.argv[1:])
