"""state_dict: a network's tensors by name, as torch.save writes them. No code in it, and none is run."""

from typing import Any

import torch

from isoform import networks
from isoform.formats import full_model
from isoform.metadata import Config


def dump(model: dict[str, torch.Tensor]) -> bytes:
    """Serialise a state_dict."""
    return full_model.dump(model)


def load(data: bytes, config: Config) -> torch.nn.Module:
    """Rebuild the network that `config` describes and fill it from `data`."""
    return networks.rebuild(config.network, read(data))


def read(data: bytes) -> Any:
    """Parse tensors and plain containers; torch refuses everything else."""
    import io

    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


predict_proba = networks.predict_proba
