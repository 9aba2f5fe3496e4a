"""checkpoint: all that training needs to go on, of which the network is one part."""

from typing import Any

import torch

from isoform import networks
from isoform.formats import state_dict
from isoform.metadata import Config, Network


def dump(model: dict[str, Any]) -> bytes:
    """Serialise a checkpoint (see `pipeline.checkpoint` for its keys)."""
    return state_dict.dump_torch(model)


def load(data: bytes, config: Config) -> torch.nn.Module:
    """Rebuild the network from the checkpoint's own `model_config`; `config` adds only the class."""
    content = state_dict.read(data)
    class_name = config.network.class_name if config.network else ""
    network = Network(class_name=class_name, arguments=content["model_config"])
    return networks.rebuild(network, content["model_state_dict"])


infer = networks.infer
