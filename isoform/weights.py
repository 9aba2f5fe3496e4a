"""What weights must be before a network takes them: the names, dtypes and shapes of its own, and finite.

The network is the one that config.json describes, so how much memory it takes is bounded by the file that fills it.
"""

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from isoform.errors import Refused

ALLOCATE = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn}
"""What modules make their parameters and buffers with: each takes a shape first."""
SLACK_NUMBERS = 1 << 20
"""What a network may hold beyond its file: buffers that are not saved."""
LEAST_NUMBERS = 64
"""As many as a tensor of none takes memory for: itself, and the module it is in."""


class Limit(TorchFunctionMode):
    """Within it, tensors of more than `max_numbers` in all are refused before their memory is taken."""

    def __init__(self, max_numbers: int) -> None:
        super().__init__()
        self.max_numbers, self.numbers = max_numbers, 0

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Count what is made, and make it."""
        if function in ALLOCATE and args:
            shape = args[0] if isinstance(args[0], (tuple, list)) else args[:1] if function is torch.full else args
            self.numbers += max(prod(size for size in shape if isinstance(size, int)), LEAST_NUMBERS)
            refuse_large_network(self.numbers, self.max_numbers)
        return function(*args, **(kwargs or {}))


def count_numbers(state_dict: Mapping[str, torch.Tensor]) -> int:
    """Return how many numbers tensors hold, those that they share counted once."""
    sizes = {tensor.untyped_storage().data_ptr(): tensor.numel() for tensor in state_dict.values()}
    return sum(sizes.values())


def first_difference(found: Any, expected: Any, at: str) -> str:
    """Return where `found` is another thing than `expected`, or "": types, attributes, items; of tensors dtype and shape.

    Goes no deeper than `expected` does. Whether a module is in training is left out.
    """
    if type(found) is not type(expected):
        return f"{at} is a {type(found).__name__}, not a {type(expected).__name__}"
    if isinstance(expected, nn.Module):
        have, need = ({name: value for name, value in vars(module).items() if name != "training"} for module in (found, expected))
        # A Sequential calls its parts in their order, whatever their names.
        orders = [list(module._modules) for module in (found, expected)] if have.keys() == need.keys() else [[], []]
        return first_difference(have, need, at) or (f"{at} has its parts in another order" if orders[0] != orders[1] else "")
    if isinstance(expected, torch.Tensor):
        kinds = [(tensor.dtype, tuple(tensor.shape), tensor.requires_grad) for tensor in (found, expected)]
        return "" if kinds[0] == kinds[1] else f"{at} is {kinds[0]}, not {kinds[1]}"
    if isinstance(expected, dict):
        for name in sorted(map(repr, found.keys() ^ expected.keys())):
            return f"{at} has {name[:80]} in only one of them"
        return next(filter(None, (first_difference(found[name], expected[name], f"{at}.{name}") for name in expected)), "")
    if isinstance(expected, (list, tuple)):
        pairs = zip(found, expected, strict=len(found) == len(expected))
        return next(filter(None, (first_difference(a, b, f"{at}[{i}]") for i, (a, b) in enumerate(pairs))), "")
    return "" if found == expected else f"{at} is {str(found)[:40]}, not {str(expected)[:40]}"


# Each guard is a function of its own: tests/faults takes them out one at a time and watches its test turn red.


def refuse_large_network(numbers: int, max_numbers: int) -> None:
    """Refuse a description of a network that the file cannot fill."""
    if numbers > max_numbers + SLACK_NUMBERS:
        raise Refused(f"is too small for the network that config.json describes, of more than {max_numbers} numbers")


def refuse_other_names(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    """Refuse tensors that are missing, extra, or called otherwise."""
    missing, extra = expected.keys() - found.keys(), found.keys() - expected.keys()
    told = [f"lacks the tensor {sorted(missing)[0]!r}"] if missing else []
    told += [f"has a tensor {sorted(extra)[0][:80]!r} that the network has not"] if extra else []
    if told:
        raise Refused(" and ".join(told))


def refuse_other_shapes(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> None:
    """Refuse tensors of another dtype or shape than the network's."""
    for name, tensor in expected.items():
        kinds = [f"{str(t.dtype).removeprefix('torch.')} {list(t.shape)}" for t in (found[name], tensor)]
        if kinds[0] != kinds[1]:
            raise Refused(f"its tensor {name!r} is {kinds[0]}, the network's is {kinds[1]}")


def refuse_non_finite(found: Mapping[str, torch.Tensor]) -> None:
    """Refuse NaN and ±inf: whatever they meet in the network becomes NaN."""
    for name, tensor in found.items():
        if tensor.is_floating_point() and tensor.numel():
            low, high = torch.aminmax(tensor.detach())  # NaN if there is one; takes no memory, as `isfinite` does
            if not (torch.isfinite(low) and torch.isfinite(high)):
                raise Refused(f"its tensor {name!r} holds NaN or infinity")


def refuse_no_tensors(found: Any) -> None:
    """Refuse what is no state_dict: text as keys, plain tensors on the CPU as values."""
    if not isinstance(found, dict):
        raise Refused(f"holds a {type(found).__name__}, not a state_dict")
    for name, tensor in found.items():
        if type(name) is not str or type(tensor) is not torch.Tensor or tensor.layout != torch.strided:
            raise Refused(f"is no state_dict: it holds a {type(tensor).__name__} under {str(name)[:80]!r}")
