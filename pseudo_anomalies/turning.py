"""Turned images: a rotation about the middle, and the augmentation of normal images that is made of it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.pseudo_anomalies.random_numbers import on_the_cpu, uniform, whole
from dlkd.registry import register


def turned(images: Tensor, degrees: Tensor, fill: float = 0.0) -> Tensor:
    """Images (b, c, h, w), each turned counter-clockwise by its own of `degrees` (b,) about its middle, bilinearly.

    The size stays; `fill` is what comes in from outside.

    >>> turned(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]), torch.tensor([90.0])).round(decimals=3)
    tensor([[[[2., 4.],
              [1., 3.]]]])
    """
    h, w = images.shape[-2:]
    angle = torch.deg2rad(degrees.to(torch.float64))
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    # Rows: x and y of the place that is read, in units of half a side.
    rows = [torch.stack([cos, -sin * h / w, zero], dim=1), torch.stack([sin * w / h, cos, zero], dim=1)]
    matrices = torch.stack(rows, dim=1).to(images.device, images.dtype)
    with torch.autocast(images.device.type, enabled=False):  # bf16 has too few digits for a place
        places = F.affine_grid(matrices, list(images.shape), align_corners=False)
    return F.grid_sample(images - fill, places, mode="bilinear", padding_mode="zeros", align_corners=False) + fill


@register("augmentation", "turned")
class Turned(nn.Module):
    """Some images of a batch, turned at random; for normal images, before a pseudo-anomaly is put in.

    The result is the normal image that a reconstruction is compared with. The defaults are DRAEM's
    (`data_loader.py`). DeSTSeg turns all images of some categories by up to 5 degrees (`degrees=5, probability=1,
    fill=114 / 255`), those of others by quarter turns too (`quarters=True`).

    Args:
        degrees: the largest turn to either side.
        quarters: add 0, 1, 2 or 3 quarter turns, of equal probability.
        probability: part of the images that is turned.
        fill: value of what comes in from outside, in [0, 1].
    """

    def __init__(
        self, *, degrees: float = 90.0, quarters: bool = False, probability: float = 0.3, fill: float = 0.0
    ) -> None:
        super().__init__()
        if degrees < 0:
            raise ValueError(f"turned: degrees must be at least 0, got {degrees}")
        for name, value in (("probability", probability), ("fill", fill)):
            if not 0 <= value <= 1:
                raise ValueError(f"turned: {name} must be from 0 to 1, got {value}")
        self.degrees = degrees
        self.quarters = quarters
        self.probability = probability
        self.fill = fill

    def forward(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Images (b, c, h, w) in [0, 1] -> images (b, c, h, w) in [0, 1]; those that are not turned as they were."""
        draw = on_the_cpu(generator)
        chosen = (torch.rand(len(images), generator=draw) < self.probability).nonzero().flatten()
        angles = uniform(len(chosen), -self.degrees, self.degrees, draw)
        if self.quarters:
            angles = angles + 90 * whole(0, 3, len(chosen), draw)
        if not len(chosen):
            return images
        chosen = chosen.to(images.device)
        return images.index_copy(0, chosen, turned(images[chosen], angles, self.fill))
