"""Normalised images with pseudo-anomalies."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


@torch.no_grad()
def spoiled(
    images: Tensor,
    pseudo_anomaly: nn.Module,
    mean: Sequence[float],
    std: Sequence[float],
    generator: torch.Generator | None = None,
) -> Tensor:
    """Images (b, 3, h, w), normalised by `mean` and `std` -> the same, spoiled as RGB in [0, 1] and normalised again.

    Args:
        images: normalised.
        pseudo_anomaly: gives spoiled images (b, 3, h, w) and masks (b, 1, h, w) of images in [0, 1].
        mean: of each channel.
        std: of each channel.
        generator: source of all random numbers.
    """
    centre, scale = (images.new_tensor(values).view(-1, 1, 1) for values in (mean, std))
    made: Tensor = pseudo_anomaly((images * scale + centre).clamp(0, 1), generator)[0]
    return (made - centre) / scale
