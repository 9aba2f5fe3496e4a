"""safetensors: a network's tensors by name behind a JSON header. Holds no code.

Tied tensors (one storage under two names) are stored once; the header's `isoform` key says which name
stands for which. All metadata is one JSON text under that one key: safetensors writes several keys in
hash-map order, so the bytes would differ from run to run.
"""

import json

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from isoform import networks
from isoform.formats import safetensors_header
from isoform.metadata import Config


def dump(model: dict[str, torch.Tensor]) -> bytes:
    """Serialise a state_dict."""
    stored: dict[str, torch.Tensor] = {}
    tied: dict[str, str] = {}
    first: dict[tuple[object, ...], str] = {}
    for name, tensor in model.items():
        place = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() and place in first:
            tied[name] = first[place]
        else:
            first[place] = name
            stored[name] = tensor.contiguous().clone()
    return save_tensors(stored, {"isoform": json.dumps({"tied": tied}, sort_keys=True)})


def load(data: bytes, config: Config) -> torch.nn.Module:
    """Rebuild the network that `config` describes and fill it from `data`. Raises `Refused`."""
    return networks.rebuild(config.network, read(data))


def read(data: bytes) -> dict[str, torch.Tensor]:
    """Return the state_dict, tied names included. Raises `Refused`."""
    header = safetensors_header.read(data)
    tensors = load_tensors(data)
    return tensors | {name: tensors[source] for name, source in header.tied.items()}


infer = networks.infer
