"""Bad pickles, made opcode by opcode or from a good Pipeline with one thing altered."""

import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from builders import CATEGORICAL, NUMERIC, frame
from harness import Fault, Site
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from isoform.formats import joblib as joblib_format
from isoform.formats import pickle as pickle_format
from pipeline import estimators

START = b"\x80\x05"
WRITERS = {"joblib": joblib_format.dump, "pickle": pickle_format.dump}
WIDE = 18_000
"""A column of so many numbers takes 144 kB, and its product with a row of as many 2.6 GB."""


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


def fault(
    number: int, title: str, make: Callable[[Site], bytes], reason: str, guard: str, *formats: str, **options: Any
) -> Iterator[Fault]:
    """Yield a fault for each format; for joblib and pickle when none is named."""
    for name in formats or ("joblib", "pickle"):
        yield Fault(number=number, title=title, format=name, make=make, reason=reason, guard=guard, **options)


class Forged:
    """Pickled as a call of `made_by` with `arguments`, and then `state`."""

    def __init__(self, made_by: Any, arguments: tuple[Any, ...], *state: Any) -> None:
        self.reduced = (made_by, arguments, *state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


def good(site: Site) -> Pipeline:
    """Return the good Pipeline, from the pickle file whatever the site's format, by the plain unpickler."""
    found: Pipeline = pickle.loads((site.folder / "pipeline.pkl").read_bytes())
    return found


def forged(made: Any, alter: Callable[[Any], Any], *arguments: Any) -> Forged:
    """Return what is pickled as `made` with a state that `alter` has changed, and other arguments if any are given."""
    made_by, first, *state = made.__reduce__()
    changed = alter(state[0])
    return Forged(made_by, arguments or first, state[0] if changed is None else changed)


def with_forest(alter: Callable[[Any], None]) -> Callable[[Site], bytes]:
    """Return a maker of the good Pipeline with its forest altered."""

    def make(site: Site) -> bytes:
        found = good(site)
        alter(found[-1])
        return WRITERS[site.format](found)

    return make


def with_nodes(**fields: tuple[int, float]) -> Callable[[Site], bytes]:
    """Return a maker of the good forest with fields of its first tree's nodes set: position and value."""

    def alter(state: dict[str, Any]) -> None:
        for field, (position, value) in fields.items():
            state["nodes"][field][position] = value

    return with_tree(alter)


def with_tree(alter: Callable[[dict[str, Any]], None]) -> Callable[[Site], bytes]:
    """Return a maker of the good forest with the state of its first tree altered."""

    def exchange(found: Any) -> None:
        found.estimators_[0].tree_ = forged(found.estimators_[0].tree_, alter)

    return with_forest(exchange)


def with_estimator(estimator: Any, alter: Callable[[Any], None], *, onehot: bool = False) -> Callable[[Site], bytes]:
    """Return a maker of a Pipeline of the site's columns and classes around another estimator; `alter` gets all of it fitted."""

    def make(site: Site) -> bytes:
        table = frame("mixed")
        numeric, categorical = estimators.onehot(sparse=False) if onehot else estimators.ordinal()
        columns = ColumnTransformer([("numeric", numeric, NUMERIC), ("categorical", categorical, CATEGORICAL)])
        found = Pipeline([("columns", columns), ("model", clone(estimator))])
        cells = {name: table[name].astype(np.float32 if name in NUMERIC else object) for name in (*NUMERIC, *CATEGORICAL)}
        with warnings.catch_warnings(action="ignore"):
            found.fit(pd.DataFrame(cells), table["y"].to_numpy())
        alter(found)
        return WRITERS[site.format](found)

    return make


def attributes(**changes: Any) -> Callable[[Any], None]:
    """Return what sets attributes of the model at the end of a Pipeline."""

    def alter(found: Any) -> None:
        vars(found[-1]).update(changes)

    return alter
