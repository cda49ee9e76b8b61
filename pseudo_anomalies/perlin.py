"""Masks of pseudo-anomalies: where Perlin noise is above a threshold, as DRAEM makes them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dlkd.pseudo_anomalies.random_numbers import on_the_cpu, uniform, whole
from dlkd.pseudo_anomalies.turning import turned
from dlkd.registry import register


@register("mask", "perlin")
class Perlin(nn.Module):
    """Masks of the images of a batch, drawn without looking at them.

    Noise with 2^k cells per side, k drawn for height and width apart, is turned about the middle and cut at a
    threshold. Defaults are DRAEM's (`perlin.py`, `data_loader.py`); a mask may be empty there.

    Args:
        octaves: smallest and largest k.
        degrees: the largest turn of the noise to either side.
        threshold: of the noise, which is from -1 to 1; above it a mask is 1.
        redraws: how many times an empty mask is drawn anew; anomalib has 10.
        padded: cells divide the next power of two of a side, of which the side is the first part, as in anomalib;
            otherwise they divide the side. The same for sides that are powers of two.
    """

    def __init__(
        self,
        *,
        octaves: Sequence[int] = (0, 5),
        degrees: float = 90.0,
        threshold: float = 0.5,
        redraws: int = 0,
        padded: bool = False,
    ) -> None:
        super().__init__()
        if len(octaves) != 2 or not 0 <= octaves[0] <= octaves[1] <= 10:
            raise ValueError(f"perlin: octaves must be two numbers from 0 to 10, the smaller first, got {octaves}")
        if degrees < 0 or redraws < 0:
            raise ValueError(f"perlin: degrees and redraws must be at least 0, got {degrees} and {redraws}")
        self.octaves = tuple(octaves)
        self.degrees = degrees
        self.threshold = threshold
        self.redraws = redraws
        self.padded = padded

    def forward(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Images (b, c, h, w) -> masks (b, 1, h, w) of 0 and 1, in the images' dtype."""
        draw = on_the_cpu(generator)
        size = (images.shape[-2], images.shape[-1])
        masks = self._drawn(len(images), size, draw)
        for _ in range(self.redraws):
            empty = (~masks.flatten(1).any(dim=1)).nonzero().flatten()
            if not len(empty):
                break
            masks = masks.index_copy(0, empty, self._drawn(len(empty), size, draw))
        return masks.to(images.device, images.dtype)

    def _drawn(self, count: int, size: tuple[int, int], draw: torch.Generator) -> Tensor:
        """(count, 1, h, w) of truth values."""
        low, high = self.octaves
        cells = 2 ** whole(low, high, 2 * count, draw).view(count, 2)
        most = 2**high + 1
        angles = 2 * math.pi * torch.rand(count, most, most, generator=draw)
        sides = [2 ** math.ceil(math.log2(side)) if self.padded else side for side in size]
        noise = perlin_noise(angles, cells / torch.tensor(sides), size)[:, None]
        return turned(noise, uniform(count, -self.degrees, self.degrees, draw)) > self.threshold


def perlin_noise(angles: Tensor, steps: Tensor, size: tuple[int, int]) -> Tensor:
    """Perlin's gradient noise, of several grids at once.

    The value at a place is the mean of the four corners' slopes times the way from there, weighed by a polynomial of
    degree 5. The weight is a product of one for rows and one for columns, so that sums over corners are products of
    matrices.

    Args:
        angles: (n, k, k), directions of the slopes at the corners of the cells, in radians from the axis of rows.
        steps: (n, 2), cells per pixel along rows and columns; a grid ends within k - 1 cells.
        size: (h, w).

    Returns:
        (n, h, w), from -1 to 1.
    """
    corners = torch.arange(angles.shape[1], dtype=angles.dtype)
    ways, weights = [], []
    for axis, side in enumerate(size):
        places = torch.arange(side, dtype=angles.dtype) * steps[:, axis, None].to(angles.dtype)
        way = places[..., None] - corners  # (n, side, k)
        ways.append(way)
        weights.append(1 - _fade(way.abs().clamp(max=1)))
    (rows, columns), (down, right) = weights, ways
    with torch.autocast(angles.device.type, enabled=False):  # which would make bf16 of products of matrices
        slopes = (rows * down) @ angles.cos() @ columns.mT + rows @ angles.sin() @ (columns * right).mT
    return math.sqrt(2) * slopes


def _fade(x: Tensor) -> Tensor:
    """From 0 at 0 to 1 at 1, flat at both."""
    return x**3 * (x * (6 * x - 15) + 10)
