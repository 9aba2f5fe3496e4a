"""isoform/formats/allowlist.py: exact, without what calls others, and with a check for every state that needs one."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from builders import Workspace
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.pipeline import Pipeline

from isoform.errors import CheckFailed
from isoform.formats import checks, open_format
from isoform.formats.allowlist import CALLS, CLASSES, VALUES
from isoform.formats.unpickling import find
from isoform.loading import parse_model

LISTED = [(module, name) for table in (CLASSES, CALLS, VALUES) for module, names in table.items() for name in names]
CALLING = [
    "builtins.eval",
    "builtins.exec",
    "builtins.getattr",
    "builtins.compile",
    "builtins.open",
    "builtins.__import__",
    "functools.partial",
    "functools.reduce",
    "operator.attrgetter",
    "operator.methodcaller",
    "operator.itemgetter",
    "importlib.import_module",
    "os.system",
    "posix.system",
    "subprocess.Popen",
    "numpy.load",
    "numpy.memmap",
    "numpy.fromfile",
    "numpy.testing._private.utils.runstring",
    "joblib.numpy_pickle.load",
    "_pickle.loads",
    "sklearn.preprocessing._function_transformer.FunctionTransformer",
    "sklearn.metrics._dist_metrics.PyFuncDistance64",
    "sklearn.utils._testing.check_skip_network",
    "sklearn.datasets._base.load_files",
]


class Majority(ClassifierMixin, BaseEstimator):
    """A class of a fork's own."""

    def fit(self, rows: object, targets: object) -> "Majority":
        self.classes_ = [0, 1]
        return self


@pytest.mark.parametrize(("module", "name"), LISTED)
def test_what_is_listed_is_there(module: str, name: str) -> None:
    assert "." not in name
    assert callable(find(module, name))


def test_nothing_listed_calls_reads_or_imports_what_it_is_told() -> None:
    assert not {f"{module}.{name}" for module, name in LISTED} & set(CALLING)


def test_no_global_may_be_used_in_two_ways() -> None:
    assert len(LISTED) == len(set(LISTED))


def test_checks_are_of_what_is_listed() -> None:
    called = {f"{module}.{name}" for module, names in CALLS.items() for name in names}
    made = {f"{module}.{name}" for module, names in CLASSES.items() for name in names}
    assert checks.ARGUMENTS.keys() | checks.RAW_STATES.keys() <= called
    assert checks.STATES.keys() <= made


@pytest.mark.parametrize("name", ["joblib", "pickle"])
def test_the_owner_of_a_class_that_is_not_listed_is_told_what_to_do(name: str, published: Callable[[str], Workspace]) -> None:
    workspace = published("mixed")
    pipeline = Pipeline([("model", Majority())]).fit(pd.DataFrame({"n0": [1.0]}), [0])
    with pytest.raises(CheckFailed) as caught:
        parse_model(Path("pipeline"), name, open_format(name).dump(pipeline), workspace.config("forest"))
    assert caught.value.reason == f"names the global {__name__}.Majority, which is not allowed"
    assert caught.value.action.endswith("review it and add it to isoform/formats/allowlist.py")
