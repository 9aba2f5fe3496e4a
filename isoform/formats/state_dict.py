"""state_dict: a network's tensors by name, as torch.save writes them. No code in it, and none is run."""

import io
from typing import Any

import torch

from isoform import networks
from isoform.metadata import Config


def dump(model: dict[str, torch.Tensor]) -> bytes:
    """Serialise a state_dict."""
    return dump_torch(model)


def dump_torch(content: Any) -> bytes:
    """Return what torch.save writes; through memory, because its bytes depend on the file's name."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def load(data: bytes, config: Config) -> torch.nn.Module:
    """Rebuild the network that `config` describes and fill it from `data`."""
    return networks.rebuild(config.network, read(data))


def read(data: bytes) -> Any:
    """Parse tensors and plain containers; torch refuses everything else."""
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


infer = networks.infer
