"""What a pickle of torch may hold: its vocabulary, and a guard for each thing that is refused.

isoform/formats/torch_pickle.py goes through the pickle and asks.
"""

from collections.abc import Collection
from dataclasses import dataclass
from math import prod
from typing import Any

from isoform.errors import Refused

MAX_BYTES = 4 << 20
"""Some 20,000 tensors; a byte may become a list of 60 and take a microsecond."""
MAX_DIMENSIONS = 16
MAX_KEY = 1 << 16
"""An optimizer numbers its parameters."""
STORAGES = {
    "torch DoubleStorage": 8,
    "torch FloatStorage": 4,
    "torch HalfStorage": 2,
    "torch BFloat16Storage": 2,
    "torch LongStorage": 8,
    "torch IntStorage": 4,
    "torch ShortStorage": 2,
    "torch CharStorage": 1,
    "torch ByteStorage": 1,
    "torch BoolStorage": 1,
}
"""Kind of a storage → bytes of an item."""
ORDERED_DICT, TENSOR = "collections OrderedDict", "torch._utils _rebuild_tensor_v2"
PARAMETER, SET = "torch._utils _rebuild_parameter", "__builtin__ set"


@dataclass(frozen=True)
class Name:
    """A global that the pickle names: `module name`, as it stands there."""

    text: str


@dataclass(frozen=True)
class Storage:
    """Numbers in the entry `data/KEY`."""

    kind: str
    key: str
    items: int

    @property
    def size_bytes(self) -> int:
        return self.items * STORAGES[self.kind]


@dataclass
class Tensor:
    """A view of a storage; `hooks` must still be empty at the end."""

    hooks: dict[Any, Any]


@dataclass
class Object:
    """An instance of a class, or a set."""

    kind: str
    built: bool = False


# Each guard is a function of its own: tests/faults takes them out one at a time and watches its test turn red.


def refuse_long(stream: bytes) -> None:
    """Refuse a pickle that takes long to read, or much memory."""
    if len(stream) > MAX_BYTES:
        raise Refused(f"its data.pkl holds {len(stream)} bytes, the limit is {MAX_BYTES}")


def refuse_other_opcodes(opcode: str, known: Collection[str], classes: Collection[str]) -> None:
    """Refuse what torch.save does not write for this kind of content."""
    if opcode not in known:
        raise Refused(f"its data.pkl holds the opcode {opcode}, which torch.save does not write")
    if opcode == "NEWOBJ" and not classes:
        raise Refused("its data.pkl makes an object (NEWOBJ), and tensors need none")


def refuse_other_names(found: str, names: Collection[str]) -> None:
    """Refuse a global that has no place in this kind of content."""
    if found not in names:
        raise Refused(f"its data.pkl names {found.replace(' ', '.')[:80]}, which is not allowed here")


def refuse_other_memo(place: int, memo: list[Any]) -> None:
    """Refuse another place in the memo than the next: a reader takes memory up to there."""
    if place != len(memo):
        raise Refused(f"its data.pkl writes place {place} of a memo of {len(memo)}")


def refuse_other_keys(keys: list[Any]) -> None:
    """Refuse keys that are no text or small number: nested tuples, or large numbers of one hash, take for ever to hash."""
    for key in keys:
        if type(key) not in (str, int):
            raise Refused(f"its data.pkl has a {type(key).__name__} as a key")
        if type(key) is int and not 0 <= key < MAX_KEY:
            raise Refused(f"its data.pkl has a number beyond {MAX_KEY} as a key")


def refuse_other_target(target: Any, kind: type) -> None:
    """Refuse to put items into what is no list or dict."""
    if type(target) is not kind:
        raise Refused(f"its data.pkl puts items of a {kind.__name__} into a {type(target).__name__}")


def refuse_other_storage(found: Any) -> None:
    """Refuse a persistent id that is not that of a storage on the CPU."""
    match found:
        case ("storage", Name(text=kind), str(), "cpu", int() as items) if kind in STORAGES and type(items) is int and items >= 0:
            return
    raise Refused("its data.pkl asks for something else than a storage on the CPU")


def refuse_other_claim(storage: Storage, before: Storage) -> None:
    """Refuse a storage that is said to be two things: torch takes what is said first."""
    if storage != before:
        raise Refused(f"its data.pkl describes the storage {storage.key[:40]!r} in two ways")


def refuse_outside(storage: Storage, offset: Any, shape: Any, strides: Any) -> None:
    """Refuse a tensor that reaches beyond its storage, or counts a number of it twice."""
    counts = (offset, *shape, *strides)
    fits = len(shape) == len(strides) <= MAX_DIMENSIONS and all(type(count) is int and 0 <= count < 2**62 for count in counts)
    if fits and prod(shape):
        last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        fits = last < storage.items and prod(shape) <= storage.items
    if not fits:
        raise Refused(f"its data.pkl makes a tensor that does not fit into its storage {storage.key[:40]!r}")


def refuse_other_call(function: Any) -> None:
    """Refuse a call with other arguments than torch.save gives it."""
    called = function.text.replace(" ", ".") if isinstance(function, Name) else f"a {type(function).__name__}"
    raise Refused(f"its data.pkl calls {called} as torch.save does not")


def refuse_other_items(items: list[Any]) -> None:
    """Refuse a set of anything but texts."""
    if not all(type(item) is str for item in items):
        refuse_other_call(Name(SET))


def refuse_other_class(cls: Any, arguments: Any, classes: Collection[str]) -> None:
    """Refuse an instance of what is no class of the network, or with arguments."""
    if not isinstance(cls, Name) or cls.text not in classes or arguments != ():
        raise Refused(f"its data.pkl makes an instance of {getattr(cls, 'text', type(cls).__name__).replace(' ', '.')}")


def refuse_other_state(target: Any, state: Any) -> None:
    """Refuse a state (BUILD) for what takes none, a second one, or one that is not attributes by name."""
    once = isinstance(target, Object) and not target.built and type(state) is dict and all(type(key) is str for key in state)
    metadata = type(target) is dict and type(state) is dict and list(state) == ["_metadata"]
    if not once and not metadata:
        raise Refused("its data.pkl sets a state (BUILD) where torch.save does not")


def refuse_stacked(stream: bytes, end: int) -> None:
    """Refuse a second pickle, or anything else, behind the first."""
    if end != len(stream):
        raise Refused(f"its data.pkl goes on for {len(stream) - end} bytes behind its end")


def refuse_copies(copied: int, limit: int) -> None:
    """Refuse sets and states that hold more, in all, than the pickle has bytes: they are copied, the same again and again."""
    if copied > limit:
        raise Refused(f"its data.pkl copies more than {limit} things")


def refuse_rest(stack: list[Any], marks: list[int]) -> None:
    """Refuse a pickle that ends with more or less than one thing."""
    if len(stack) != 1 or marks:
        raise Refused(f"its data.pkl ends with {len(stack)} things")


def refuse_unbuilt(objects: list[Object]) -> None:
    """Refuse an object that was made (NEWOBJ) and never given its state (BUILD): its methods would find nothing."""
    for made in objects:
        if not made.built:
            raise Refused(f"its data.pkl makes a {made.kind.replace(' ', '.')} (NEWOBJ) and gives it no state (BUILD)")


def refuse_hooks(tensors: list[Tensor]) -> None:
    """Refuse a tensor that brings backward hooks."""
    if any(tensor.hooks for tensor in tensors):
        raise Refused("its data.pkl gives a tensor backward hooks")


def refuse_storage_lies(storages: dict[str, Storage], sizes: dict[str, int]) -> None:
    """Refuse a storage that is larger or smaller than its entry, and an entry without a storage.

    `sizes` are the bytes of each entry by key. torch reads as much memory as the pickle says.
    """
    for key, storage in storages.items():
        if key not in sizes:
            raise Refused(f"has no entry 'data/{key[:40]}', which data.pkl takes")
        if storage.size_bytes != sizes[key]:
            raise Refused(f"its data.pkl takes {storage.size_bytes} bytes from 'data/{key}', which holds {sizes[key]}")
    for key in sizes.keys() - storages.keys():
        raise Refused(f"holds the entry 'data/{key}', which data.pkl does not take")
