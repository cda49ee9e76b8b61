"""DRAEM's reconstruction network: images through a narrow place and back, without skips."""

from __future__ import annotations

import itertools
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.blocks.norm import Norm
from dlkd.blocks.segmentation.double_convolution import MULTIPLES, DoubleConvolution, convolution, enlarged
from dlkd.contract import require_map
from dlkd.registry import register

SCALES = 5


@register("block", "autoencoder")
class Autoencoder(nn.Module):
    """An image from its map at 1/16 (Zavrtanik et al., ICCV 2021, `model_unet.py`).

    Five pairs of 3x3 convolutions of `width` * 1, 2, 4, 8, 8 channels, with 2x2 maximum pooling between them; back,
    four times a bilinear upsampling, a convolution that keeps the channels, and a pair. A last convolution has no
    activation.

    Args:
        channels: of the images; the output has as many.
        width: channels at the images' size.
        norm: norm class.

    Raises:
        ContractError: the input has other channels, or a side below 16.

    >>> import torch
    >>> Autoencoder(3, width=4)(torch.zeros(2, 3, 32, 40)).shape
    torch.Size([2, 3, 32, 40])
    """

    def __init__(self, channels: int, *, width: int = 128, norm: Norm = nn.BatchNorm2d) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"autoencoder: width must be at least 1, got {width}")
        self.channels = channels
        wide = [width * m for m in MULTIPLES[:SCALES]]
        pairs = itertools.pairwise([channels, *wide])
        self.encoder = nn.ModuleList(DoubleConvolution(a, out_channels=b, norm=norm) for a, b in pairs)
        back = itertools.pairwise([wide[-1], *wide[-3::-1], wide[0]])
        steps = [(convolution(a, a, norm), DoubleConvolution(a, out_channels=b, middle=a, norm=norm)) for a, b in back]
        self.decoder = nn.ModuleList(nn.ModuleList(step) for step in steps)
        self.last = nn.Conv2d(wide[0], channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, c, h, w)."""
        require_map("autoencoder", x, self.channels, min_side=2 ** (SCALES - 1))
        maps = [self.encoder[0](x)]
        for pair in self.encoder[1:]:
            maps.append(pair(F.max_pool2d(maps[-1], 2)))
        y = maps.pop()
        steps: Any = self.decoder
        for up, pair in steps:
            y = pair(up(enlarged(y, maps.pop())))
        made: Tensor = self.last(y)
        return made
