"""full model: the pickled module, for prototyping. Unpickles, and breaks when its class moves."""

import io
from typing import Any

import torch

from isoform import networks
from isoform.formats import state_dict
from isoform.metadata import Config


def dump(model: Any) -> bytes:
    """Serialise a module."""
    return state_dict.dump_torch(model)


def load(data: bytes, config: Config, allow_version_skew: bool = False) -> torch.nn.Module:
    """Unpickle a module: runs whatever code `data` names."""
    module = torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"it holds a {type(module).__name__}, not a module")
    return module.eval()


infer = networks.infer
