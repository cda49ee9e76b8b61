"""Inputs and outputs are a tensor, or lists of them: what the laws do with either."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def tensors(value: Any) -> list[Tensor]:
    """Every tensor in it, in order."""
    return [value] if isinstance(value, Tensor) else [t for v in value for t in tensors(v)]


def changed(inputs: list[Any], change: Callable[[Tensor], Tensor]) -> list[Any]:
    """The inputs with `change` done to every tensor."""
    return [changed(i, change) if isinstance(i, list) else change(i) for i in inputs]


def close(first: Any, second: Any, *, rtol: float = 1e-3, atol: float = 1e-4) -> bool:
    """Whether two outputs are the same but for rounding."""
    pairs = zip(tensors(first), tensors(second), strict=True)
    return all(torch.allclose(a, b, rtol=rtol, atol=atol) for a, b in pairs)


def scalar(output: Any) -> Tensor:
    """A sum with random weights: a plain sum has no gradient behind a normalisation."""
    generator = torch.Generator().manual_seed(0)
    return torch.stack(
        [(t * torch.randn(t.shape, generator=generator).to(t.dtype)).sum() for t in tensors(output)]
    ).sum()
