"""DRAEM's discrimination network, a U-Net."""

from __future__ import annotations

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.blocks.norm import Norm
from dlkd.blocks.segmentation.double_convolution import MULTIPLES, DoubleConvolution, convolution, enlarged
from dlkd.contract import require_map
from dlkd.registry import register


@register("block", "unet")
class UNet(nn.Module):
    """A U-Net of six scales (Zavrtanik et al., ICCV 2021, `model_unet.py`).

    Pairs of 3x3 convolutions of `width` * 1, 2, 4, 8, 8, 8 channels, with 2x2 maximum pooling between them; back, five
    times a bilinear upsampling, a convolution to `width` * 8, 4, 2, 1, 1 channels, and a pair that sees the map of that
    size too. A last convolution has no activation.

    Args:
        channels: of the input.
        out_channels: default the input's.
        width: channels at the input's size.
        norm: norm class.

    Raises:
        ContractError: the input has other channels, or a side below 32.

    >>> UNet(6, out_channels=2, width=4)(torch.zeros(2, 6, 32, 40)).shape
    torch.Size([2, 2, 32, 40])
    """

    def __init__(
        self, channels: int, *, out_channels: int | None = None, width: int = 64, norm: Norm = nn.BatchNorm2d
    ) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"unet: width must be at least 1, got {width}")
        self.channels = channels
        wide = [width * m for m in MULTIPLES]
        self.encoder = nn.ModuleList(
            DoubleConvolution(a, out_channels=b, norm=norm) for a, b in itertools.pairwise([channels, *wide])
        )
        back = itertools.pairwise([wide[-1], *wide[-3::-1], wide[0]])
        steps = [
            (convolution(a, b, norm), DoubleConvolution(b + skip, out_channels=b, norm=norm))
            for (a, b), skip in zip(back, wide[-2::-1], strict=True)
        ]
        self.decoder = nn.ModuleList(nn.ModuleList(step) for step in steps)
        self.last = nn.Conv2d(wide[0], out_channels or channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, out_channels, h, w)."""
        require_map("unet", x, self.channels, min_side=2 ** (len(self.encoder) - 1))
        maps = [self.encoder[0](x)]
        for pair in self.encoder[1:]:
            maps.append(pair(F.max_pool2d(maps[-1], 2)))
        y = maps.pop()
        steps: Any = self.decoder
        for up, pair in steps:
            skip = maps.pop()
            y = pair(torch.cat([up(enlarged(y, skip)), skip], dim=1))
        made: Tensor = self.last(y)
        return made
