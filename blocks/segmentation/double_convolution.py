"""Two 3x3 convolutions, the unit of DRAEM's networks, and what stands around it in them."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.blocks.norm import Norm
from dlkd.contract import require_map
from dlkd.registry import register

MULTIPLES = (1, 2, 4, 8, 8, 8)
"""Channels of the scales of DRAEM's networks over their width, largest map first."""


@register("block", "double_convolution")
class DoubleConvolution(nn.Module):
    """Two times a 3x3 convolution with a bias, a norm and a ReLU (Zavrtanik et al., ICCV 2021, `model_unet.py`).

    Args:
        channels: of the input.
        out_channels: default the input's.
        middle: channels between the convolutions; default the output's.
        norm: norm class.

    Raises:
        ContractError: the input has other channels.
    """

    def __init__(
        self, channels: int, *, out_channels: int | None = None, middle: int | None = None, norm: Norm = nn.BatchNorm2d
    ) -> None:
        super().__init__()
        self.channels = channels
        out = out_channels or channels
        between = middle or out
        self.first = convolution(channels, between, norm)
        self.second = convolution(between, out, norm)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, out_channels, h, w)."""
        require_map("double_convolution", x, self.channels)
        made: Tensor = self.second(self.first(x))
        return made


def convolution(inputs: int, outputs: int, norm: Norm) -> nn.Sequential:
    """A 3x3 convolution with a bias, a norm and a ReLU: (b, inputs, h, w) -> (b, outputs, h, w)."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), norm(outputs), nn.ReLU(inplace=True))


def enlarged(x: Tensor, like: Tensor) -> Tensor:
    """(b, c, h, w), bilinearly with aligned corners at the sides of `like`."""
    return F.interpolate(x, like.shape[-2:], mode="bilinear", align_corners=True)
