"""Print the name, dtype, shape and SHA-256 of every tensor in a file, as JSON; imports nothing that its format does not need.

Run     python tensors.py FILE.safetensors|FILE.pt
"""

import hashlib
import json
import sys
from typing import Any


def read(path: str) -> dict[str, Any]:
    """Return the tensors of a safetensors file or a state_dict as numpy arrays."""
    if path.endswith(".safetensors"):
        from safetensors.numpy import load_file

        return dict(load_file(path))
    import torch

    return {name: tensor.numpy() for name, tensor in torch.load(path, weights_only=True).items()}


def main() -> None:
    tensors = sorted(read(sys.argv[1]).items())
    described = {name: [str(t.dtype), list(t.shape), hashlib.sha256(t.tobytes()).hexdigest()] for name, t in tensors}
    print(json.dumps(described))


if __name__ == "__main__":
    main()
