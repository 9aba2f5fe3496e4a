"""An unpickler that does what isoform/formats/allowlist.py names and checks.py lets pass, and stops before anything else.

It is Python's own (`pickle._Unpickler`, which joblib builds on too), with each step checked just before it is taken. What reads
the file is what checks it, so there is no second parser that could be led to see another file. It costs a model little, whose
file is mostly arrays.
"""

import pickle
import pickletools
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import sklearn
from sklearn.base import BaseEstimator

from isoform.errors import Refused
from isoform.formats import checks
from isoform.formats.allowlist import CALLS, CLASSES, VALUES, Table
from isoform.formats.attributes import MAX_KEY
from isoform.formats.ledger import Ledger, Reader, refuse_late
from isoform.formats.pickle import PROTOCOL

OPCODES = frozenset(
    b"\x80\x95."  # PROTO FRAME STOP
    b"N\x88\x89KMJ\x8aG"  # NONE NEWTRUE NEWFALSE BININT1 BININT2 BININT LONG1 BINFLOAT
    b"\x8cX\x8dCB\x8e\x96"  # SHORT_BINUNICODE BINUNICODE BINUNICODE8 SHORT_BINBYTES BINBYTES BINBYTES8 BYTEARRAY8
    b"()\x85\x86\x87t]}aesu"  # MARK EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 TUPLE EMPTY_LIST EMPTY_DICT APPEND APPENDS SETITEM SETITEMS
    b"\x94hj"  # MEMOIZE BINGET LONG_BINGET
    b"\x93R\x81b"  # STACK_GLOBAL REDUCE NEWOBJ BUILD
)
"""What protocol 5 writes for a Pipeline; pickle knows twice as many."""

MAX_LARGE_NUMBERS = 1000
CALL_BYTES, RANDOM_BYTES = 256, 1 << 16
"""What a call counts for beside its arguments, and what one that seeds a random state does: it takes time."""


class Global:
    """A global that may be made (NEWOBJ) or called (REDUCE); it is of no other use to whoever holds it."""

    def __init__(self, module: str, name: str, table: Table) -> None:
        self.key, self.table = f"{module}.{name}", table
        self.found = find(module, name)


class Unpickler(pickle._Unpickler):
    """Reads one pickle from `file`; `load` raises `Refused` for what is not allowed."""

    stack: list[Any]
    read: Callable[[int], bytes]
    pop_mark: Callable[[], list[Any]]

    def __init__(self, file: Reader, ledger: Ledger, allow_version_skew: bool = False) -> None:
        super().__init__(file)
        self.file, self.ledger, self.allow_version_skew = file, ledger, allow_version_skew
        self.skews: set[str] = set()
        """Versions of scikit-learn in the file that are not the installed one."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a global; nothing is imported before it is found on the list."""
        refuse_dotted(module, name)
        if name in VALUES.get(module, ()):
            return find(module, name)
        refuse_global(module, name)
        return Global(module, name, CALLS if name in CALLS.get(module, ()) else CLASSES)

    def load_proto(self) -> None:
        """Accept the protocol that `dump` writes."""
        refuse_other_protocol(self.read(1))

    def load_reduce(self) -> None:
        """Call what is in CALLS, its arguments checked."""
        arguments, function = self.stack.pop(), self.stack.pop()
        refuse_use(function, CALLS)
        checks.refuse_arguments(function.key, arguments)
        self.ledger.note_copy(arguments, RANDOM_BYTES if function.key.startswith("numpy.random.") else CALL_BYTES)
        self._made(function, function.found(*arguments), [arguments])

    def load_newobj(self) -> None:
        """Make an object of a class in CLASSES, without arguments."""
        arguments, kind = self.stack.pop(), self.stack.pop()
        refuse_use(kind, CLASSES)
        checks.refuse_arguments(kind.key, arguments)
        # Not by the class's own __new__, which may warn that it is deprecated.
        made = (dict if issubclass(kind.found, dict) else object).__new__(kind.found)
        self._made(kind, made, [])

    def _made(self, by: Global, made: Any, parts: list[Any]) -> None:
        self.ledger.note(made, parts)
        self.ledger.kinds.pop(id(made), None)  # an empty array does not hold the class that it was asked for by
        if by.table is CLASSES or by.key in checks.RAW_STATES:
            self.ledger.unfilled[id(made)] = by.key
        if by.key in checks.RAW_STATES:
            self.ledger.hollow.add(id(made))
        self.stack.append(made)

    def load_build(self) -> None:
        """Set the state of an object, once and checked."""
        state, made = self.stack.pop(), self.stack[-1]
        key = self.ledger.unfilled.pop(id(made), "")
        refuse_late(made, self.ledger.shared)
        refuse_refill(made, key)
        self.ledger.note_copy(state)
        checks.refuse_state(key, made, state, self.ledger)
        if type(made).__module__.startswith("sklearn.") and isinstance(made, BaseEstimator):
            self._settle_version(state)
            self.ledger.note_tags(made, [part for name, part in state.items() if not name.endswith("_")])
        self.ledger.note(made, [state])
        self.ledger.hollow.discard(id(made))
        self.stack.append(state)
        pickle._Unpickler.dispatch[pickle.BUILD[0]](self)  # type: ignore[arg-type]

    def _settle_version(self, state: dict[str, Any]) -> None:
        version = str(state.get("_sklearn_version", "before 0.18"))
        if version != sklearn.__version__:
            refuse_odd_version(version)
            refuse_other_version(version, self.allow_version_skew)
            self.skews.add(version)
            state["_sklearn_version"] = sklearn.__version__  # it has been said, and is not said again for each estimator

    def load_appends(self) -> None:
        """Extend a list."""
        self._fill(list, self.pop_mark())

    def load_append(self) -> None:
        """Append to a list."""
        self._fill(list, [self.stack.pop()])

    def load_setitems(self) -> None:
        """Fill a dict."""
        self._fill(dict, self.pop_mark())

    def load_setitem(self) -> None:
        """Put one item into a dict."""
        value = self.stack.pop()
        self._fill(dict, [self.stack.pop(), value])

    def _fill(self, kind: type, items: list[Any]) -> None:
        container = self.stack[-1]
        refuse_late(container, self.ledger.shared)
        refuse_filling(container, kind)
        if kind is dict:
            for key in items[::2]:
                refuse_key(key)
        self.ledger.note(container, items)
        if kind is list:
            container.extend(items)
        else:
            container.update(zip(items[::2], items[1::2], strict=True))

    def load_long1(self) -> None:
        """Read a whole number of up to 255 bytes."""
        super().load_long1()  # type: ignore[misc]
        self.ledger.large_numbers += self.stack[-1].bit_length() > 64
        refuse_many_large_numbers(self.ledger.large_numbers)

    def rest_of_frame(self) -> bytes:
        """Return what follows the pickle in the frame that it ended in."""
        frame = self._unframer.current_frame  # type: ignore[attr-defined]
        return frame.read() if frame else b""

    def load_bytearray8(self) -> None:
        """Read bytes: those that are there, where pickle would make room for as many as are announced."""
        self.stack.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    def note_tuple(self) -> None:
        """Note the tuple that was just made."""
        self.ledger.note(self.stack[-1], self.stack[-1])

    def note_shared(self) -> None:
        """Note the object that was just taken from the memo."""
        self.ledger.shared[id(self.stack[-1])] = self.stack[-1]


class Dispatch(dict[int, Any]):
    """Opcode → the function that carries it out."""

    def __missing__(self, opcode: int) -> Any:
        refuse_opcode(opcode)
        return pickle._Unpickler.dispatch[opcode]


def dispatch_of(unpickler: type[Unpickler]) -> Dispatch:
    """Return the table of the allowed opcodes, each with the method of its name."""
    plain = pickle._Unpickler.dispatch
    table = Dispatch({opcode: getattr(unpickler, plain[opcode].__name__) for opcode in OPCODES})
    for opcodes, step in ((b"\x85\x86\x87t", unpickler.note_tuple), (b"hj", unpickler.note_shared)):
        table |= {opcode: _followed(table[opcode], step) for opcode in opcodes}
    return table


def _followed(first: Callable[[Unpickler], None], second: Callable[[Unpickler], None]) -> Callable[[Unpickler], None]:
    def both(unpickler: Unpickler) -> None:
        first(unpickler)
        second(unpickler)

    return both


Unpickler.dispatch = dispatch_of(Unpickler)


def find(module: str, name: str) -> Any:
    """Import what is on the list."""
    return getattr(import_module(module), name)


def refuse_other_protocol(protocol: bytes) -> None:
    """Raise `Refused` for another protocol than the one that `dump` writes."""
    if protocol != bytes([PROTOCOL]):
        raise Refused(f"holds a pickle of protocol {protocol[0]}, and ours are of protocol {PROTOCOL}")


def refuse_opcode(opcode: int) -> None:
    """Raise `Refused` for an instruction that no model needs."""
    if opcode not in OPCODES:
        name = next((known.name for known in pickletools.opcodes if known.code == chr(opcode)), hex(opcode))
        raise Refused(f"holds the instruction {name}, which no pickle of ours needs")


def refuse_dotted(module: str, name: str) -> None:
    """Raise `Refused` for a path of attributes, which could lead from a global on the list to anything."""
    if "." in name:
        raise Refused(f"names the attribute path {name[:80]!r} of {module[:80]!r}, not a global")


def refuse_global(module: str, name: str) -> None:
    """Raise `Refused` for a global that is not on the list."""
    if not any(name in table.get(module, ()) for table in (CLASSES, CALLS, VALUES)):
        raise Refused(
            f"names the global {module[:80]}.{name[:80]}, which is not allowed",
            "do not load it, or, where the class is yours, review it and add it to isoform/formats/allowlist.py",
        )


def refuse_use(found: Any, table: Table) -> None:
    """Raise `Refused` when something is called that is not in CALLS, or made that is not in CLASSES."""
    if not isinstance(found, Global) or found.table is not table:
        what = f"the global {found.key}" if isinstance(found, Global) else f"a {type(found).__name__}"
        raise Refused(f"{'calls' if table is CALLS else 'makes an object of'} {what}, which is not to be used so")


def refuse_refill(made: Any, key: str) -> None:
    """Raise `Refused` when a state is set that is not the first of an object made before."""
    if not key:
        raise Refused(f"sets the state of a {type(made).__name__} that has one, or never gets one")


def refuse_filling(container: Any, kind: type) -> None:
    """Raise `Refused` when items go into something else than a list or a dict."""
    if not isinstance(container, kind):
        raise Refused(f"puts items into a {type(container).__name__}")


def refuse_key(key: Any) -> None:
    """Raise `Refused` for a key that takes long to hash, or shares its hash with others: a tuple, a large number."""
    number = type(key) is int or isinstance(key, np.integer)
    if not (type(key) is str or (number and -MAX_KEY < int(key) < MAX_KEY)):
        what = "large number" if number else type(key).__name__
        raise Refused(f"holds a dict with a {what} as key, which is not allowed")


def refuse_many_large_numbers(count: int) -> None:
    """Raise `Refused` for numbers of which a thousand could share a hash, and be put into a set; random states have a few."""
    if count > MAX_LARGE_NUMBERS:
        raise Refused(f"holds more than {MAX_LARGE_NUMBERS} numbers beyond 64 bits")


def refuse_odd_version(found: str) -> None:
    """Raise `Refused` for a version that is none: it is printed."""
    if not re.fullmatch(r"[0-9A-Za-z.+ ]{1,40}", found):
        raise Refused("holds an estimator of a scikit-learn that has no version")


def refuse_other_version(found: str, allow: bool) -> None:
    """Raise `Refused` for an estimator that another scikit-learn has written, unless that is allowed."""
    if not allow:
        raise Refused(
            f"holds an estimator of scikit-learn {found}, and {sklearn.__version__} is installed",
            f"install scikit-learn=={found}, or pass allow_version_skew (--allow-version-skew)",
        )
