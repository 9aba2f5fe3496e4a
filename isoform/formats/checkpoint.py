"""checkpoint: all that training needs to go on, of which the network is one part."""

from typing import Any

import torch

from isoform import networks, weights
from isoform.errors import Refused
from isoform.formats import state_dict
from isoform.metadata import Config

CONTENT: dict[str, type] = {
    "epoch": int,
    "step": int,
    "model_state_dict": dict,
    "optimizer_state_dict": dict,
    "scheduler_state_dict": dict,
    "loss": float,
    "history": list,
    "epoch_loss_sum": torch.Tensor,
    "rng_states": dict,
    "model_config": dict,
}
"""Key → type; `pipeline.checkpoint` says what each is."""


def dump(model: dict[str, Any]) -> bytes:
    """Serialise a checkpoint."""
    return state_dict.dump_torch(model)


def load(data: bytes, config: Config) -> torch.nn.Module:
    """Rebuild the network that `config` describes and fill it from the checkpoint. Raises `Refused`."""
    content = state_dict.read(data)
    refuse_other_content(content)
    refuse_other_network(content["model_config"], config)
    return networks.rebuild(config.network, content["model_state_dict"])


def refuse_other_content(content: Any) -> None:
    """Refuse what has not exactly the keys of a checkpoint, and their types."""
    if not isinstance(content, dict) or content.keys() != CONTENT.keys():
        keys = sorted(map(str, content.keys() ^ CONTENT.keys())) if isinstance(content, dict) else [type(content).__name__]
        raise Refused(f"is no checkpoint: it lacks, or has beside what it should: {', '.join(keys)[:80]}")
    for key, kind in CONTENT.items():
        if not isinstance(content[key], kind):
            raise Refused(f"is no checkpoint: its {key} is a {type(content[key]).__name__}")


def refuse_other_network(arguments: dict[str, Any], config: Config) -> None:
    """Refuse a checkpoint of another network than config.json describes."""
    difference = weights.first_difference(arguments, config.network.arguments if config.network else {}, "model_config")
    if difference:
        raise Refused(f"is a checkpoint of another network than config.json describes: {difference}")


infer = networks.infer
