"""state_dict: a network's tensors by name, as torch.save writes them. No code in it, and none is run.

The three torch formats share `read`: the zip and the pickle in it are checked to the last byte (torch_zip.py,
torch_pickle.py) before torch opens them, and torch's own weights-only reader is the second line behind.
"""

import io
import threading
from collections.abc import Collection
from typing import Any

import torch

from isoform import networks
from isoform.formats import torch_pickle, torch_pickle_policy, torch_zip
from isoform.metadata import Config

ONE_AT_A_TIME = threading.Lock()
"""torch keeps its allowed classes for the whole process: two threads would take each other's away."""


def dump(model: dict[str, torch.Tensor]) -> bytes:
    """Serialise a state_dict."""
    return dump_torch(model)


def dump_torch(content: Any) -> bytes:
    """Return what torch.save writes; through memory, because its bytes depend on the file's name."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def load(data: bytes, config: Config) -> torch.nn.Module:
    """Rebuild the network that `config` describes and fill it from `data`. Raises `Refused`."""
    return networks.rebuild(config.network, read(data))


def read(data: bytes, classes: Collection[type] = ()) -> Any:
    """Parse tensors, plain containers and instances of `classes`, and nothing else. Raises `Refused`."""
    entries = torch_zip.entries(data)
    names = {f"{cls.__module__} {cls.__qualname__}" for cls in classes}
    taken = torch_pickle.check(bytes(entries["data.pkl"]), names)
    torch_pickle_policy.refuse_storage_lies(taken, torch_zip.storage_sizes(entries))
    if not classes:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    with ONE_AT_A_TIME, torch.serialization.safe_globals([*classes, (set, "__builtin__.set")]):
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


infer = networks.infer
