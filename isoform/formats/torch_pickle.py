"""data.pkl of a torch file, read without building anything before torch builds it.

torch's own weights-only reader takes far more than a state_dict needs, and believes what the pickle says of a storage's
size. Here a machine of its own goes through the stream: only the opcodes, the names and the calls that torch.save writes,
every tensor within its storage, every object given its state. It calls nothing and imports nothing.
"""

import pickletools
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from isoform.errors import Refused
from isoform.formats.torch_pickle_policy import (
    ORDERED_DICT,
    PARAMETER,
    SET,
    STORAGES,
    TENSOR,
    Name,
    Object,
    Storage,
    Tensor,
    refuse_copies,
    refuse_hooks,
    refuse_long,
    refuse_other_call,
    refuse_other_claim,
    refuse_other_class,
    refuse_other_items,
    refuse_other_keys,
    refuse_other_memo,
    refuse_other_names,
    refuse_other_opcodes,
    refuse_other_state,
    refuse_other_storage,
    refuse_other_target,
    refuse_outside,
    refuse_rest,
    refuse_stacked,
    refuse_unbuilt,
)

VALUES: dict[str, Callable[[Any], Any]] = {"NONE": lambda _: None, "NEWTRUE": lambda _: True, "NEWFALSE": lambda _: False}
VALUES |= {"EMPTY_DICT": lambda _: {}, "EMPTY_LIST": lambda _: [], "EMPTY_TUPLE": lambda _: ()}
VALUES |= dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"), lambda value: value)
"""Opcode → what it pushes, from its argument."""


@dataclass
class Machine:
    """What a pickle has made so far."""

    names: Collection[str]
    """The globals that it may name."""
    classes: Collection[str]
    """Those of them that it may make instances of."""
    size: int
    """Bytes of the pickle."""
    copied: int = 0
    """Things in the sets and states so far."""
    stack: list[Any] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    memo: list[Any] = field(default_factory=list)
    storages: dict[str, Storage] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)
    objects: list[Object] = field(default_factory=list)

    def count_copies(self, items: int) -> None:
        """Count what torch will copy into a set or an instance."""
        self.copied += items
        refuse_copies(self.copied, self.size)

    def pop(self, count: int) -> list[Any]:
        """Take the last `count` things from the stack."""
        if count > len(self.stack) - (self.marks[-1] if self.marks else 0):
            raise IndexError("takes more from the stack than is there")
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def pop_mark(self) -> list[Any]:
        """Take what lies above the last mark, and the mark."""
        taken = self.pop(len(self.stack) - self.marks[-1])
        self.marks.pop()
        return taken


def check(stream: bytes, classes: Collection[str] = ()) -> dict[str, Storage]:
    """Return the storages that a pickle of tensors and plain containers takes, by key.

    With `classes` (`module name`) it may hold instances of these, and parameters and sets. Raises `Refused`.
    """
    refuse_long(stream)
    names = {ORDERED_DICT, TENSOR, *STORAGES, *((PARAMETER, SET, *classes) if classes else ())}
    machine = Machine(names, classes, len(stream))
    end = 0
    try:
        for opcode, argument, position in pickletools.genops(stream):
            end = (position or 0) + 1
            refuse_other_opcodes(opcode.name, STEPS.keys() | VALUES.keys(), classes)
            STEPS.get(opcode.name, push)(machine, opcode.name, argument)
    except (ValueError, TypeError, IndexError, AttributeError, KeyError, OverflowError) as error:
        raise Refused(f"its data.pkl is no pickle as torch.save writes it ({str(error)[:80]})") from error
    refuse_stacked(stream, end)
    refuse_rest(machine.stack, machine.marks)
    refuse_unbuilt(machine.objects)
    refuse_hooks(machine.tensors)
    return machine.storages


def push(machine: Machine, opcode: str, argument: Any) -> None:
    """Push the value that an opcode carries."""
    machine.stack.append(VALUES[opcode](argument))


def skip(machine: Machine, opcode: str, argument: Any) -> None:
    """Do nothing: it says where the pickle begins, or ends."""


def mark(machine: Machine, opcode: str, argument: Any) -> None:
    """Remember where the stack ends."""
    machine.marks.append(len(machine.stack))


def name(machine: Machine, opcode: str, argument: str) -> None:
    """Push a global, as a name."""
    refuse_other_names(argument, machine.names)
    machine.stack.append(Name(argument))


def memorize(machine: Machine, opcode: str, argument: int) -> None:
    """Keep what was pushed last."""
    refuse_other_memo(argument, machine.memo)
    machine.memo.append(machine.stack[-1])


def recall(machine: Machine, opcode: str, argument: int) -> None:
    """Push what was kept."""
    machine.stack.append(machine.memo[argument])


def make_tuple(machine: Machine, opcode: str, argument: Any) -> None:
    """Push a tuple of what was pushed last."""
    machine.stack.append(tuple(machine.pop_mark() if opcode == "TUPLE" else machine.pop(int(opcode[-1]))))


def append(machine: Machine, opcode: str, argument: Any) -> None:
    """Put items into a list."""
    items = machine.pop_mark() if opcode == "APPENDS" else machine.pop(1)
    refuse_other_target(machine.stack[-1], list)
    machine.stack[-1].extend(items)


def set_items(machine: Machine, opcode: str, argument: Any) -> None:
    """Put items into a dict."""
    items = machine.pop_mark() if opcode == "SETITEMS" else machine.pop(2)
    refuse_other_target(machine.stack[-1], dict)
    refuse_other_keys(items[::2])
    machine.stack[-1].update(zip(items[::2], items[1::2], strict=True))


def take_storage(machine: Machine, opcode: str, argument: Any) -> None:
    """Push the storage that a persistent id ("storage", kind, key, "cpu", items) stands for."""
    (found,) = machine.pop(1)
    refuse_other_storage(found)
    _, kind, key, _, items = found
    storage = Storage(kind.text, key, items)
    refuse_other_claim(storage, machine.storages.setdefault(key, storage))
    machine.stack.append(storage)


def call(machine: Machine, opcode: str, argument: Any) -> None:
    """Push what a call of one of torch's four functions gives.

    The patterns name lists and dicts by their types: `[*items]` and `{**hooks}` would copy what a few bytes ask for again.
    """
    function, arguments = machine.pop(2)
    match (function, arguments):
        case (Name(text="collections OrderedDict"), ()):
            machine.stack.append({})
        case (Name(text="__builtin__ set"), (list() as items,)):
            machine.count_copies(len(items))
            refuse_other_items(items)
            machine.stack.append(Object(SET, built=True))
        case (Name(text="torch._utils _rebuild_parameter"), (Tensor() as tensor, bool(), dict() as hooks)):
            machine.tensors.append(Tensor(hooks))
            machine.stack.append(tensor)
        case (
            Name(text="torch._utils _rebuild_tensor_v2"),
            (Storage() as storage, offset, shape, strides, bool(), dict() as hooks),
        ):
            refuse_outside(storage, offset, shape, strides)
            machine.tensors.append(Tensor(hooks))
            machine.stack.append(machine.tensors[-1])
        case _:
            refuse_other_call(function)


def make_object(machine: Machine, opcode: str, argument: Any) -> None:
    """Push an instance that has no state yet."""
    cls, arguments = machine.pop(2)
    refuse_other_class(cls, arguments, machine.classes)
    machine.objects.append(Object(cls.text))
    machine.stack.append(machine.objects[-1])


def build(machine: Machine, opcode: str, argument: Any) -> None:
    """Give an instance its state."""
    (state,) = machine.pop(1)
    machine.count_copies(len(state) if isinstance(state, dict) else 0)
    refuse_other_state(machine.stack[-1], state)
    if isinstance(machine.stack[-1], Object):
        machine.stack[-1].built = True


STEPS: dict[str, Callable[[Machine, str, Any], None]] = {
    "PROTO": skip,
    "STOP": skip,
    "MARK": mark,
    "GLOBAL": name,
    "BINPUT": memorize,
    "LONG_BINPUT": memorize,
    "BINGET": recall,
    "LONG_BINGET": recall,
    **dict.fromkeys(("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"), make_tuple),
    **dict.fromkeys(("APPEND", "APPENDS"), append),
    **dict.fromkeys(("SETITEM", "SETITEMS"), set_items),
    "BINPERSID": take_storage,
    "REDUCE": call,
    "NEWOBJ": make_object,
    "BUILD": build,
}
