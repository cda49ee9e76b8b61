"""MFFM, the multi-scale feature fusion module in front of the coarse decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.blocks.norm import Act, Norm
from dlkd.contract import ContractError, require, require_map
from dlkd.registry import register


@register("block", "mffm")
class MFFM(nn.Module):
    """Bring every scale to the smallest one by strided 3x3 convolutions, concatenate, fuse at half its side.

    The paper names the module only; the layout is RD's multi-scale fusion (Deng and Li, CVPR 2022) with a
    single strided convolution where RD has a residual stage.

    Args:
        channels: channels of each scale, largest map first.
        reductions: image side over map side of each scale, powers of two apart; default 1, 2, 4, ... apart.
        out_channels: channels of the fused map; default twice those of the last scale.
        norm: norm class of the convolutions.
        act: activation class of the convolutions.

    Raises:
        ContractError: the number of maps, or the channels of a map, differ from `channels`.
        ValueError: `reductions` do not fit `channels` or are no powers of two apart.

    >>> scales = [torch.zeros(2, 4, 32, 32), torch.zeros(2, 8, 16, 16), torch.zeros(2, 16, 8, 8)]
    >>> MFFM([4, 8, 16])(scales).shape
    torch.Size([2, 32, 4, 4])
    """

    def __init__(
        self,
        channels: Sequence[int] = (64, 128, 256),
        *,
        reductions: Sequence[int] | None = None,
        out_channels: int | None = None,
        norm: Norm = nn.BatchNorm2d,
        act: Act = nn.ReLU,
    ) -> None:
        super().__init__()
        if not channels:
            raise ValueError("mffm: channels must name at least one scale")
        self.channels = tuple(channels)
        self.reductions = pyramid_reductions("mffm", self.channels, reductions)
        last = self.channels[-1]
        self.out_channels = out_channels or 2 * last
        self.scales = nn.ModuleList()
        for i, (width, reduction) in enumerate(zip(self.channels, self.reductions, strict=True)):
            halvings = round(math.log2(self.reductions[-1] / reduction))
            # As in RD the width grows step by step towards that of the smallest scale.
            widths = [width, *self.channels[i + 1 :], *[last] * halvings][:halvings]
            self.scales.append(nn.Sequential(*(_strided(a, b, norm, act) for a, b in pairwise([*widths, last]))))
        self.fused_channels = sum(
            last if r < self.reductions[-1] else c for c, r in zip(self.channels, self.reductions, strict=True)
        )
        self.fuse = _strided(self.fused_channels, self.out_channels, norm, act)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """[(b, c1, 4h, 4w), (b, c2, 2h, 2w), (b, c3, h, w)] -> (b, out_channels, h/2, w/2), rounded up."""
        if len(features) != len(self.channels):
            raise ContractError(f"mffm: expected {len(self.channels)} maps, got {len(features)}")
        for x, c in zip(features, self.channels, strict=True):
            require_map("mffm", x, c)
        size = features[-1].shape[-2:]
        maps = [scale(x) for scale, x in zip(self.scales, features, strict=True)]
        # Backbones that round sides down (VGG) miss the smallest scale by a pixel on odd images.
        maps = [x if x.shape[-2:] == size else F.interpolate(x, size, mode="bilinear") for x in maps]
        out: Tensor = self.fuse(torch.cat(maps, dim=1))
        return out


def pyramid_reductions(component: str, channels: Sequence[int], reductions: Sequence[int] | None) -> tuple[int, ...]:
    """The reduction of each scale; by default 1, 2, 4, ...

    Raises:
        ValueError: the number of reductions differs from that of `channels`, or two are no power of two apart.
    """
    found = tuple(reductions or [2**i for i in range(len(channels))])
    if len(found) != len(channels):
        raise ValueError(f"{component}: {len(channels)} channels but {len(found)} reductions")
    for finer, coarser in pairwise(found):
        if coarser < finer or not math.log2(coarser / finer).is_integer():
            raise ValueError(f"{component}: reductions must grow by powers of two, got {list(found)}")
    return found


def _strided(inputs: int, outputs: int, norm: Norm, act: Act) -> nn.Sequential:
    require("mffm", "c", inputs, ">= 1")
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False), norm(outputs), act())
