"""Pseudo-anomalies: Gaussian noise added to a teacher's feature map (section 2.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dlkd.registry import register


@register("noise", "gaussian")
class GaussianNoise(nn.Module):
    """x + intensity * N(0, 1).

    Args:
        intensity: standard deviation of the noise; the paper's is 0.2.
        relative: in units of the feature map's own standard deviation, per sample, instead of absolute.
    """

    def __init__(self, *, intensity: float = 0.2, relative: bool = False) -> None:
        super().__init__()
        if intensity < 0:
            raise ValueError(f"noise: intensity must be at least 0, got {intensity}")
        self.intensity = intensity
        self.relative = relative

    def forward(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """(b, c, h, w), or tokens (b, n, c) inside a ViT -> the same shape."""
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        scale = x.std(dim=tuple(range(1, x.dim())), keepdim=True) if self.relative else 1.0
        return x + self.intensity * scale * noise
