"""full model: the pickled module, for prototyping. Breaks when its class moves; loaded only on explicit trust.

Even so no code of the file's choice runs: what may be in it are the classes of the network that config.json describes, as
`isoform.networks` builds it, and every attribute must be as it is there. Only the numbers in the tensors are the file's.
"""

from typing import Any

import torch

from isoform import networks, weights
from isoform.errors import Refused
from isoform.formats import state_dict
from isoform.metadata import Config


def dump(model: Any) -> bytes:
    """Serialise a module."""
    return state_dict.dump_torch(model)


def load(data: bytes, config: Config, allow_version_skew: bool = False) -> torch.nn.Module:
    """Unpickle the network that `config` describes. Raises `Refused`."""
    expected = networks.build(config.network, max_numbers=len(data))
    module: torch.nn.Module = state_dict.read(data, {type(part) for part in expected.modules()})
    refuse_other_module(module, expected)
    weights.refuse_non_finite({**dict(module.named_parameters()), **dict(module.named_buffers())})
    return module.eval()


def refuse_other_module(module: Any, expected: torch.nn.Module) -> None:
    """Refuse another class, part or attribute (a hook, a `forward` of its own) than `expected` has."""
    difference = weights.first_difference(module, expected, "the module")
    if difference:
        raise Refused(f"is another object than config.json describes: {difference}")


infer = networks.infer
