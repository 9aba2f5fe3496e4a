"""Faults 3, 10, 11 and 21: calls and states that NumPy and Python take as they come."""

import copyreg
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
from cases import both
from forging import START, Forged, fault, forged, with_estimator
from harness import Site
from numpy.random import MT19937, RandomState, SeedSequence
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.linear_model import LogisticRegression

ARRAYS, CHECKS, UNPICKLING = (f"isoform.formats.{name}" for name in ("arrays", "checks", "unpickling"))
HISTOGRAM = HistGradientBoostingClassifier(max_iter=3, random_state=0)
WILD = 1 << 30
"""A position so far outside that reading there is the end of the process."""


def with_intercept(make: Callable[[], Forged]) -> Callable[[Site], bytes]:
    """Return a maker of a logistic regression with this intercept: what stands in it is in the answer."""
    return with_estimator(LogisticRegression(), lambda found: setattr(found[-1], "intercept_", make()))


def with_random_state(make: Callable[[], Any]) -> Callable[[Site], bytes]:
    """Return a maker of the one model that draws its answers, from this random state."""
    dice = DummyClassifier(strategy="stratified", random_state=0)
    return with_estimator(dice, lambda found: setattr(found[-1], "random_state", make()))


def short_old_array() -> Forged:
    """Return an object array in NumPy's state before versions, shorter than its shape."""
    return Forged(np._core.multiarray._reconstruct, (np.ndarray, (0,), b"b"), ((1 << 20,), np.dtype(object), False, ["one"]))


def addresses() -> Forged:
    """Return the address of an object as a number: an array over the pointers of another."""
    pointers = np.array(["a"], dtype=object)
    return Forged(np._core.numeric._frombuffer, (pointers, np.dtype("i8"), (1,), "C"))


def ordered(*order: Any) -> Callable[[], Forged]:
    """Return a maker of a table of one number in this order of its axes."""
    return lambda: Forged(np._core.numeric._frombuffer, (bytes(8), np.dtype("f8"), (1, 1), *order))


def unfilled() -> Forged:
    """Return an array of whatever was in memory where it is made."""
    return Forged(np._core.multiarray._reconstruct, (np.ndarray, (1,), b"d"))


def wild_text() -> Forged:
    """Return a number that is a text of a character beyond Unicode, which NumPy makes and Python believes."""
    return Forged(np._core.multiarray.scalar, (np.dtype("U1"), b"\xff\xff\xff\x7f"))


def far(state: dict[str, Any]) -> dict[str, Any]:
    return state | {"state": state["state"] | {"pos": WILD}}


def generator(alter: Callable[[Any], Any]) -> Forged:
    """Return a random state around a bit generator whose own state is altered."""
    return Forged(RandomState().__reduce__()[0], (forged(MT19937(0), alter),))


def one_word(state: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a generator's state with a seed that says four words and has one."""
    seed: Any = SeedSequence(0)
    return state[0], forged(seed, lambda found: (*found[:2], np.zeros(1, dtype=np.uint32), *found[3:]))


def alter_slots(found: Any) -> None:
    """Replace a method of the loss, which turns sums into probabilities, by a state of slots that the loss does not have."""
    link = found[-1]._loss.link
    state = (vars(link).copy(), {"inverse": np.float32})
    link.__reduce_ex__ = lambda protocol: (copyreg.__newobj__, (type(link),), state)  # type: ignore[attr-defined]


def refill(found: Any) -> bytes:
    """Return a Pipeline whose histogram trees get other nodes after the first have been looked at."""

    class Refilling(pickle._Pickler):
        def save_reduce(self, func: Any, *rest: Any, **options: Any) -> None:
            super().save_reduce(func, *rest, **options)  # type: ignore[misc]
            if isinstance(options["obj"], TreePredictor):
                nodes = options["obj"].nodes.copy()
                nodes["left"][0] = WILD
                self.save({"nodes": nodes})  # type: ignore[attr-defined]
                self.write(pickle.BUILD)  # type: ignore[attr-defined]

        def memoize(self, obj: Any) -> None:
            if id(obj) not in self.memo:  # Python's own asserts that, and stops at the second empty array
                super().memoize(obj)  # type: ignore[misc]

    file = io.BytesIO()
    Refilling(file, protocol=5).dump(found)
    return file.getvalue()


STATES = [
    *fault(
        3,
        "an array that is left unfilled",
        with_intercept(unfilled),
        "calls a function with 3 arguments that it is not to be called with",
        f"{CHECKS}:refuse_arguments",
        "pickle",
    ),
    *fault(
        10,
        "a second state after the first",
        lambda site: refill(pickle.loads(with_estimator(HISTOGRAM, lambda found: None)(site))),
        "sets the state of a TreePredictor that has one, or never gets one",
        f"{UNPICKLING}:refuse_refill",
        "pickle",
    ),
    *fault(
        10,
        "items into what is no list",
        lambda site: START + b"\x96" + (1).to_bytes(8, "little") + b"a(K\x01K\x02e.",
        "puts items into a bytearray",
        f"{UNPICKLING}:refuse_filling",
        "pickle",
    ),
    *fault(
        11,
        "an object array of NumPy's oldest state",
        with_intercept(short_old_array),
        "holds an array with an odd state",
        f"{ARRAYS}:refuse_array_state",
        "pickle",
    ),
    *fault(
        11,
        "an array over another's pointers",
        with_intercept(addresses),
        "holds an array with odd arguments",
        f"{ARRAYS}:refuse_buffer",
        "pickle",
    ),
    *(
        one
        for title, order in {
            "an array of one axis for two": ("K", (0, 0)),
            "an array of one axis": ("K", (0,)),
            "an array without an order of axes": ("K",),
            "an array of two orders": ("C", (0, 1)),
        }.items()
        for one in fault(
            11, title, with_intercept(ordered(*order)), "holds an array with odd arguments", f"{ARRAYS}:refuse_buffer", "pickle"
        )
    ),
    *fault(11, "a number that is a text", with_intercept(wild_text), "an odd number", f"{ARRAYS}:refuse_scalar", "pickle"),
    *fault(
        11,
        "a random state far outside its key",
        with_random_state(lambda: forged(RandomState(0), far)),
        "holds an odd random state",
        f"{ARRAYS}:refuse_random_state",
        "pickle",
    ),
    *fault(
        11,
        "a random state in its old form",
        with_random_state(lambda: generator(lambda state: far(state[0]))),
        "holds a random state without its seed",
        f"{ARRAYS}:refuse_bit_generator_state",
        "pickle",
    ),
    *fault(
        11,
        "a seed of fewer words than it says",
        with_random_state(lambda: generator(one_word)),
        "holds an odd state of SeedSequence",
        f"{ARRAYS}:refuse_seed_state",
        "pickle",
    ),
    *fault(
        21,
        "a method replaced through slots",
        with_estimator(HISTOGRAM, alter_slots),
        r"sets an odd state of a sklearn\._loss\.link\.LogitLink",
        f"{CHECKS}:refuse_state",
        "pickle",
    ),
]


test_it_is_held, test_it_is_not_held_without_its_guard = both(STATES)
