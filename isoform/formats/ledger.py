"""What bounds an unpickling: no length beyond the file, nothing filled once it is in use, nothing out of proportion to the file.

An object can only be filled before anything else holds it. So its full size and depth are known when it is made, shared parts
counted as often as they occur, and both are limited before any code walks, hashes, copies or frees it.
"""

import io
from collections.abc import Iterable
from typing import Any

import numpy as np

from isoform.errors import Refused

MAX_DEPTH = 100
SPARE_BYTES = 4 << 20
EXPANSION = 32
"""A model may be `EXPANSION` times as large as its file, and `SPARE_BYTES` more: the trees of boosted ensembles share what they
were made with, and come to 6 times, in ensembles of ensembles to 18. That is the size of what it holds; Python's own objects,
empty lists say, come on top: up to 80 bytes for each byte of the file that makes one."""
SPARE_COPIES = 16 << 20
"""The same for what calls and states are given, all in all."""
MAX_TAGS = 10_000
"""So often may an estimator's tags be asked of it and of those inside it, which takes seconds."""
TAGS_ASKED = 3
"""How often the tags of what an estimator is given are asked, when its own are: by a Pipeline; by ensembles twice."""

ENTRY_BYTES = 64
"""What an attribute takes, about."""

PLAIN = (str, int, float, bytes, bytearray, slice, np.generic, np.dtype, list, tuple)
"""Values without a method that a model calls, and containers, which are known by what they hold."""


class Reader(io.BytesIO):
    """The bytes of a file, of which no more can be read than there are."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.size = len(data)

    def read(self, size: int | None = -1, /) -> bytes:
        """Return `size` bytes, or raise `Refused`."""
        refuse_cut(size or 0, self.size - self.tell())
        return super().read(size)


class Ledger:
    """What is known of the objects made so far, by their `id`; it keeps them alive, so that no `id` comes twice."""

    def __init__(self, size_bytes: int) -> None:
        self.size, self.limit = size_bytes, SPARE_BYTES + EXPANSION * size_bytes
        self.copies_limit = SPARE_COPIES + EXPANSION * size_bytes
        self.kept: list[Any] = []
        self.measures: dict[int, tuple[int, int]] = {}  # bytes, depth
        self.spans: dict[int, int] = {}  # bytes of what a container holds, other objects' own attributes not counted
        self.tags: dict[int, int] = {}  # how often tags are asked in it
        self.kinds: dict[int, frozenset[type]] = {}  # of what a list, tuple, dict or array holds
        self.shared: dict[int, Any] = {}  # those that were taken from the memo
        self.large_numbers = 0  # beyond 64 bits
        self.counted = self.products = 0  # columns that no array stands for, and those of them that take long
        self.copied = 0  # bytes that calls and states were given so far, each of which may keep a copy
        self.unfilled: dict[int, str] = {}  # those that may still get a state, and the global that made them
        self.hollow: set[int] = set()  # those that compiled code reads, and that have no state yet

    def measure(self, part: Any) -> tuple[int, int]:
        """Return how many bytes an object stands for, about, and how deep it is."""
        if id(part) in self.measures:
            return self.measures[id(part)]
        if isinstance(part, np.ndarray):
            return part.nbytes + 8, 0
        return (len(part) if isinstance(part, str | bytes | bytearray) else 0) + 8, 0

    def span(self, part: Any) -> int:
        """Return how many bytes there are to walk through in a part: in an object, none."""
        if id(part) in self.spans:
            return self.spans[id(part)]
        return self.measure(part)[0] if isinstance(part, np.ndarray | str | bytes | bytearray) else 8

    def note_tags(self, made: Any, given: Iterable[Any]) -> None:
        """Note an estimator and what it was given: asked for its tags, it asks some of that more than once."""
        self.tags[id(made)] = 1 + TAGS_ASKED * sum(self.tags.get(id(part), 0) for part in given)
        refuse_many_tags(self.tags[id(made)])

    def note_copy(self, given: Any, more_bytes: int = ENTRY_BYTES) -> None:
        """Note what a call or a state is about to be given: a few bytes of the file can give the same again and again.

        All that lists hold counts each time, for each check walks through them.
        """
        parts = given.values() if isinstance(given, dict) else given if isinstance(given, tuple) else [given]
        self.copied += more_bytes + sum(ENTRY_BYTES + self.span(part) for part in parts)
        refuse_copies(self.copied, self.copies_limit)

    def kinds_of(self, part: Any) -> frozenset[type]:
        """Return the classes of what is no plain value in a part, through lists, tuples and dicts; of an array its own, too."""
        if isinstance(part, np.ndarray):
            return self.kinds.get(id(part), frozenset()) | {np.ndarray}
        if id(part) in self.kinds:
            return self.kinds[id(part)]
        plain = part is None or isinstance(part, PLAIN) or type(part) is dict
        return frozenset() if plain else frozenset([type(part)])

    def note(self, whole: Any, parts: Iterable[Any]) -> None:
        """Note an object that has just been made, or filled, from `parts`."""
        size, depth = self.measure(whole)
        kinds, span, tags = self.kinds_of(whole), self.span(whole), self.tags.get(id(whole), 0)
        for part in parts:
            refuse_hollow(part, self.hollow)
            more, below = self.measure(part)
            size, depth = size + more, max(depth, below + 1)
            kinds |= self.kinds_of(part)
            span += self.span(part)
            tags += self.tags.get(id(part), 0)
        if isinstance(whole, np.random.RandomState | np.random.Generator):
            size = ENTRY_BYTES  # no answer draws from it, and many estimators share one
        refuse_expansion(size, self.limit)
        refuse_depth(depth)
        if isinstance(whole, list | tuple | dict | np.ndarray):
            self.kinds[id(whole)], self.spans[id(whole)], self.tags[id(whole)] = kinds, span, tags
        self.measures[id(whole)] = size, depth
        self.kept.append(whole)


def refuse_cut(size_bytes: int, left_bytes: int) -> None:
    """Raise `Refused` when the file ends before what it announces."""
    if size_bytes > left_bytes:
        raise Refused(f"is cut off, or lies about a length: {size_bytes} bytes should follow and {left_bytes} do")


def refuse_expansion(size_bytes: int, limit_bytes: int) -> None:
    """Raise `Refused` for an object that names its parts so often that it is far larger than the file."""
    if size_bytes > limit_bytes:
        raise Refused(f"expands to more than {limit_bytes} bytes through its memo")


def refuse_copies(size_bytes: int, limit_bytes: int) -> None:
    """Raise `Refused` for calls and states that are given far more, in all, than the file holds."""
    if size_bytes > limit_bytes:
        raise Refused(f"makes objects of more than {limit_bytes} bytes, the same again and again")


def refuse_many_tags(count: int) -> None:
    """Raise `Refused` for estimators in estimators of which each asks the next more than once: it doubles at every level."""
    if count > MAX_TAGS:
        raise Refused(f"nests estimators whose tags are asked {count} times")


def refuse_depth(depth: int) -> None:
    """Raise `Refused` for objects within objects, deeper than the stack of whoever walks or frees them."""
    if depth > MAX_DEPTH:
        raise Refused(f"nests objects more than {MAX_DEPTH} deep")


def refuse_hollow(part: Any, hollow: set[int]) -> None:
    """Raise `Refused` for the use of an object without its state: compiled code would follow pointers that are none."""
    if id(part) in hollow:
        raise Refused(f"holds a {type(part).__name__} that never gets a state")


def refuse_late(made: Any, shared: dict[int, Any]) -> None:
    """Raise `Refused` when an object is filled that something else may already hold: its size would change, or it hold itself."""
    if id(made) in shared:
        raise Refused(f"fills a {type(made).__name__} that is in use already")
