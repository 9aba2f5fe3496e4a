"""Matrix products of torch on numpy's OpenBLAS: the same bits on every CPU with AVX2, at AVX2's speed.

MKL, torch's own, gives the same bits on Intel and AMD only in its COMPATIBLE mode, which leaves AVX2 unused and
makes large products slow. OpenBLAS held to its Haswell kernels does not ask who made the CPU
(docs/decisions/0009). The dispatcher calls these kernels below autograd, so any network uses them unchanged.

Shapes: a is [M, K], b is [K, N]; batched [B, M, K] and [B, K, N]. Dense float32 or float64 on the CPU.
"""

import warnings

import numpy as np
import torch

_library: torch.library.Library | None = None


def install() -> None:
    """Replace torch's CPU kernels for mm, addmm, bmm and baddbmm in this process; once is enough."""
    global _library  # noqa: PLW0603 - the registration lives as long as this object
    if _library is not None:
        return
    _library = _open()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a kernel is replaced is the point
        for name, kernel in (("mm", matmul), ("bmm", matmul), ("addmm", add_matmul), ("baddbmm", add_matmul)):
            _library.impl(name, kernel, "CPU", allow_override=True)  # type: ignore[no-untyped-call]


def _open() -> torch.library.Library:
    return torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]


# torch takes its caller's file name as UTF-8, which the checkout's path, under an ASCII locale, may not be.
_open.__code__ = _open.__code__.replace(co_filename="pipeline/portable_matmul.py")


def matmul(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return a @ b."""
    return torch.from_numpy(np.matmul(a.detach().numpy(), b.detach().numpy()))


def add_matmul(bias: torch.Tensor, a: torch.Tensor, b: torch.Tensor, *, beta: float = 1, alpha: float = 1) -> torch.Tensor:
    """Return beta * bias + alpha * (a @ b), bias broadcast; a zero beta leaves out a bias of NaN, as torch's does."""
    product = matmul(a, b)
    if alpha != 1:
        product.mul_(alpha)
    return product.add_(bias.detach(), alpha=beta) if beta else product
