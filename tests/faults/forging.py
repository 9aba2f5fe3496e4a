"""Bad pickles, made opcode by opcode or from a good Pipeline with one thing altered."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
from builders import CATEGORICAL, NUMERIC, frame
from harness import Site
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from sklearn.tree._tree import Tree

from isoform.formats import joblib as joblib_format
from isoform.formats import pickle as pickle_format
from pipeline import estimators

START = b"\x80\x05"
WRITERS = {"joblib": joblib_format.dump, "pickle": pickle_format.dump}


def text(value: str) -> bytes:
    """Return the opcode that pushes a text."""
    return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()


def named(module: str, name: str) -> bytes:
    """Return the opcodes that push a global."""
    return text(module) + text(name) + b"\x93"


def song(site: Site) -> str:
    """Return a command that has the canary sing."""
    return f"echo sung > '{site.canary}'"


def payload(site: Site, module: str = "posix", name: str = "system") -> bytes:
    """Return the opcodes of a call that has the canary sing, by a function that takes a command."""
    return named(module, name) + text(song(site)) + b"\x85R"


class Forged:
    """Pickled as a call of `made_by` with `arguments`, and then `state`."""

    def __init__(self, made_by: Any, arguments: tuple[Any, ...], *state: Any) -> None:
        self.reduced = (made_by, arguments, *state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def write(site: Site, pipeline: Pipeline) -> bytes:
    """Return the file of the site's format."""
    return WRITERS[site.format](pipeline)


def forest(site: Site) -> Pipeline:
    """Return the good Pipeline of the site, by the plain unpickler."""
    good: Pipeline = pickle_format.dump and site_pipeline(site)
    return good


def site_pipeline(site: Site) -> Pipeline:
    """Return the Pipeline of the site's pickle file, which is good whatever the site's format."""
    return pickle.loads((site.folder / "pipeline.pkl").read_bytes())


def forged_tree(tree: Tree, alter: Callable[[dict[str, Any]], None], features: int | None = None) -> Forged:
    """Return what is pickled as `tree` with a state that `alter` has changed."""
    made_by, arguments, state = tree.__reduce__()
    state["nodes"], state["values"] = state["nodes"].copy(), state["values"].copy()
    alter(state)
    return Forged(made_by, (features or arguments[0], *arguments[1:]), state)


def with_tree(alter: Callable[[dict[str, Any]], None], features: int | None = None) -> Callable[[Site], bytes]:
    """Return a maker of the good forest with its first tree altered."""

    def make(site: Site) -> bytes:
        found = forest(site)
        first = found[-1].estimators_[0]
        first.tree_ = forged_tree(first.tree_, alter, features)
        return write(site, found)

    return make


def with_nodes(**changes: Callable[[np.ndarray], None]) -> Callable[[Site], bytes]:
    """Return a maker of the good forest with fields of the nodes of its first tree altered."""

    def alter(state: dict[str, Any]) -> None:
        for field, change in changes.items():
            change(state["nodes"][field])

    return with_tree(alter)


def with_forest(alter: Callable[[Any], None]) -> Callable[[Site], bytes]:
    """Return a maker of the good Pipeline with its forest altered."""

    def make(site: Site) -> bytes:
        found = forest(site)
        alter(found[-1])
        return write(site, found)

    return make


def with_estimator(estimator: Any, alter: Callable[[Any], None], *, onehot: bool = False) -> Callable[[Site], bytes]:
    """Return a maker of a Pipeline of the site's columns and classes around another fitted estimator, then altered."""

    def make(site: Site) -> bytes:
        table = frame("mixed")
        columns = forest(site)[0]
        if onehot:
            numeric, categorical = estimators.onehot(sparse=False)
            columns = ColumnTransformer([("numeric", numeric, NUMERIC), ("categorical", categorical, CATEGORICAL)])
        found = Pipeline([("columns", columns), ("model", estimator())])
        cells = table[[*NUMERIC, *CATEGORICAL]].astype({name: np.float32 for name in NUMERIC}).astype({name: object for name in CATEGORICAL})
        found.fit(cells, table["y"].to_numpy())
        alter(found)
        return write(site, found)

    return make
