"""pipeline.portable_matmul: torch's products, computed by OpenBLAS, are right, differentiable and the ones in use."""

import hashlib
from pathlib import Path

import pytest
import torch
from builders import python

from pipeline import portable_matmul
from pipeline.determinism import seed_torch

SHAPES = [(1, 1, 1), (5, 3, 2), (64, 35, 17), (2, 400, 3), (0, 3, 2), (3, 0, 2), (4, 3, 0)]


@pytest.fixture(autouse=True)
def installed() -> None:
    seed_torch(0, 1)


def near(found: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(found.double(), (a.double().unsqueeze(-1) * b.double().unsqueeze(-3)).sum(-2), atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_are_right_for_every_layout(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    m, k, n = shape
    a, b = torch.randn(m, k, dtype=dtype), torch.randn(k, n, dtype=dtype)
    for left in (a, a.t().contiguous().t(), torch.randn(m, 2 * k, dtype=dtype)[:, ::2]):
        for right in (b, b.t().contiguous().t()):
            assert near(left @ right, left, right)
            assert (left @ right).dtype == dtype


def test_batched_products_and_added_biases_are_right() -> None:
    a, b = torch.randn(4, 5, 6), torch.randn(4, 6, 3)
    assert near(torch.bmm(a, b), a, b)
    bias = torch.randn(3)
    assert near(torch.addmm(bias, a[0], b[0]) - bias, a[0], b[0])
    assert near(torch.addmm(bias, a[0], b[0], beta=2, alpha=0.5) * 2 - 4 * bias, a[0], b[0])
    assert near(torch.addmm(torch.full((3,), torch.nan), a[0], b[0], beta=0), a[0], b[0])
    assert near(torch.baddbmm(bias.expand(4, 5, 3), a, b) - bias, a, b)


def test_gradients_flow_through_them() -> None:
    layer, x = torch.nn.Linear(4, 3).double(), torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))


def test_a_network_uses_them() -> None:
    """In a process of its own, where a kernel that always answers 7 shows."""
    code = """
import stages, torch
from pipeline import portable_matmul
portable_matmul.add_matmul = lambda bias, a, b, **_: torch.full((len(a), b.shape[1]), 7.0)
from pipeline.determinism import seed_torch
before = torch.nn.Linear(4, 3)(torch.ones(2, 4)).unique().tolist()
seed_torch(0, 1)
seed_torch(0, 1)
print(before == [7.0], torch.nn.Linear(4, 3)(torch.ones(2, 4)).unique().tolist())
"""
    assert python("-c", code, cwd=Path(__file__).parent.parent).stdout == "False [7.0]\n"


def test_their_bits_are_those_of_every_cpu() -> None:
    """Measured natively on AVX-512 and under qemu as Haswell, Broadwell, Skylake, EPYC and EPYC-Rome: one hash."""
    generator = torch.Generator().manual_seed(0)
    digest = hashlib.sha256()
    for m, k, n in ((512, 35, 128), (100, 200, 77), (512, 128, 2), (40, 1900, 300)):
        a, b = torch.rand(m, k, generator=generator) - 0.5, torch.rand(k, n, generator=generator) - 0.5
        for product in (a @ b, a.t().contiguous().t() @ b, portable_matmul.matmul(a, b)):
            digest.update(product.numpy().tobytes())
    assert digest.hexdigest() == "4765a949fb596fd252f2fd2fd6a93ba6faa938d4421aa80dbcc4edfc455a18bb"
