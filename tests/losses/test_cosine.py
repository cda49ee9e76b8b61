"""The cosine against PyTorch's slower one, also where norms vanish."""

import pytest
import torch
import torch.nn.functional as F

from dlkd.losses.cosine import cosine


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
@pytest.mark.parametrize("dim", [1, 3])
def test_values_and_gradients_are_pytorchs(scale: float, dim: int) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(2, 5, 3, 4, generator=generator) for _ in range(2))
    a = (a * scale).requires_grad_()
    b.requires_grad_()
    found, expected = cosine(a, b, dim), F.cosine_similarity(a, b, dim=dim)
    torch.testing.assert_close(found, expected)
    weights = torch.randn(found.shape, generator=generator)
    for mine, theirs in zip(
        torch.autograd.grad(found, (a, b), weights), torch.autograd.grad(expected, (a, b), weights), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5 * theirs.abs().max().item())


def test_several_axes_are_as_one_flattened() -> None:
    a, b = (torch.randn(2, 5, 3, 4).to(memory_format=torch.channels_last) for _ in range(2))
    torch.testing.assert_close(cosine(a, b, (1, 2, 3)), F.cosine_similarity(a.flatten(1), b.flatten(1)))


def test_norms_under_eps_are_bounded_as_pytorch_bounds_them() -> None:
    a = torch.tensor([[[3e-9], [4e-9]]])
    torch.testing.assert_close(cosine(a, torch.ones(1, 2, 1)), F.cosine_similarity(a, torch.ones(1, 2, 1)))


def test_nothing_has_cosine_zero_and_a_finite_gradient() -> None:
    a = torch.zeros(1, 3, 2, requires_grad=True)
    found = cosine(a, torch.ones(1, 3, 2))
    found.sum().backward()
    assert found.eq(0).all()
    assert a.grad is not None
    assert a.grad.isfinite().all()


def test_narrow_types_are_widened() -> None:
    a = torch.full((1, 2048, 1), 1.0, dtype=torch.bfloat16)
    assert cosine(a, a).dtype == torch.float32
    assert cosine(a, a).item() == pytest.approx(1, abs=1e-6)
