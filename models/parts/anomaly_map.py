"""Anomaly maps: distances per location (eq. 7, STFPM's and MB-PFM's), their sum at image size, and the image score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from dlkd.losses.cosine import cosine

Combine: TypeAlias = Literal["sum", "mean", "product"]
"""How the maps of all scales, upsampled to the image, are combined into one."""

Border: TypeAlias = Literal["symmetric", "reflect"]
"""Which pixels a filter takes beyond the border, in NumPy's words: "symmetric" repeats the edge pixel, as SciPy's
filters do (d c b a | a b c d | d c b a); "reflect" does not, as anomalib's filter (d c b | a b c d | c b a)."""


def cosine_map(teacher: Tensor, student: Tensor) -> Tensor:
    """Eq. 7: 1 - cos over channels at each location, in [0, 2]. Two maps (b, c, h, w) -> (b, h, w).

    >>> teacher = torch.ones(2, 4, 8, 8)
    >>> cosine_map(teacher, -teacher).unique()
    tensor([2.])
    """
    return 1 - cosine(teacher, student)


def unit(x: Tensor, eps: float = 1e-12) -> Tensor:
    """A map (b, c, h, w) at norm 1 over channels at each location, in float32 or wider; a zero vector stays zero."""
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    # Bounded below before the root, whose slope at zero is infinite.
    return x * x.square().sum(dim=1, keepdim=True).clamp(min=eps**2).rsqrt()


def squared_map(teacher: Tensor, student: Tensor) -> Tensor:
    """Squared distance over channels at each location. Two maps (b, c, h, w) -> (b, h, w)."""
    return (teacher - student).square().sum(dim=1)


def distance_map(teacher: Tensor, student: Tensor) -> Tensor:
    """Squared distance over channels, in [0, 4], of both maps at norm 1 at each location; a zero vector stays zero.

    Two maps (b, c, h, w) -> (b, h, w), in float32 or wider. It equals 2 - 2 cos where neither vector is zero; the
    difference of two numbers near 1 would lose the digits of the small distances that a trained student has.

    >>> teacher = torch.ones(2, 4, 8, 8)
    >>> distance_map(teacher, -teacher).unique(), distance_map(teacher, 0 * teacher).unique()
    (tensor([4.]), tensor([1.]))
    """
    return squared_map(unit(teacher), unit(student))


def image_map(
    maps: Sequence[Tensor],
    size: tuple[int, int],
    *,
    sigma: float = 4.0,
    align_corners: bool = True,
    combine: Combine = "sum",
    border: Border = "symmetric",
) -> Tensor:
    """Anomaly map at image size: the scales' maps upsampled bilinearly, combined, smoothed (as in RD).

    Args:
        maps: [(b, h_k, w_k), ...].
        size: image sides (h, w) in pixels.
        sigma: standard deviation of the Gaussian in pixels; 0 leaves it out.
        align_corners: how upsampling places the corners; RD aligns them.
        combine: the sum of the upsampled maps as in RD, their mean, or their product.
        border: of the Gaussian, see `Border`.

    Returns:
        (b, h, w).

    >>> scales = [torch.zeros(2, 16, 16), torch.zeros(2, 8, 8), torch.zeros(2, 4, 4)]
    >>> image_map(scales, (64, 64)).shape
    torch.Size([2, 64, 64])
    """
    ups = [F.interpolate(m.unsqueeze(1), size, mode="bilinear", align_corners=align_corners).squeeze(1) for m in maps]
    stacked = torch.stack(ups)
    if combine == "product":
        return gaussian_blur(stacked.prod(dim=0), sigma, border)
    return gaussian_blur(stacked.mean(dim=0) if combine == "mean" else stacked.sum(dim=0), sigma, border)


def gaussian_blur(maps: Tensor, sigma: float, border: Border = "symmetric") -> Tensor:
    """Gaussian filter of maps (b, h, w), by default the same numbers as `scipy.ndimage.gaussian_filter`.

    The kernel is cut at 4 sigma; maps may have any size, also one below the kernel's.
    """
    if sigma == 0:
        return maps
    radius = math.floor(4 * sigma + 0.5)
    offsets = torch.arange(-radius, radius + 1, device=maps.device, dtype=maps.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    x = maps.unsqueeze(1)
    x = F.conv2d(x.index_select(2, _mirrored(x.shape[2], radius, border, x.device)), kernel.view(1, 1, -1, 1))
    x = F.conv2d(x.index_select(3, _mirrored(x.shape[3], radius, border, x.device)), kernel.view(1, 1, 1, -1))
    return x.squeeze(1)


def image_score(maps: Tensor, *, top: float = 0.0) -> Tensor:
    """Image score of anomaly maps (b, h, w) -> (b,): the maximum, or the mean of the highest fraction `top`.

    >>> maps = torch.tensor([[[0.0, 1.0], [2.0, 4.0]]])
    >>> image_score(maps), image_score(maps, top=0.5)
    (tensor([4.]), tensor([3.]))
    """
    flat = maps.flatten(1)
    if top == 0:
        return flat.amax(dim=1)
    return flat.topk(max(1, round(top * flat.shape[1])), dim=1).values.mean(dim=1)


def _mirrored(side: int, radius: int, border: Border, device: torch.device) -> Tensor:
    """Indices -radius .. side + radius folded back into 0 .. side - 1, see `Border`."""
    position = torch.arange(-radius, side + radius, device=device)
    if border == "symmetric":
        position = position % (2 * side)
        return torch.where(position < side, position, 2 * side - 1 - position)
    period = max(1, 2 * (side - 1))
    position = position % period
    return torch.where(position < side, position, period - position)
