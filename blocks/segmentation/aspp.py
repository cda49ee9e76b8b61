"""ASPP: a map seen through convolutions of several dilations, and its mean."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dlkd.blocks.norm import Act, Norm
from dlkd.contract import require_map
from dlkd.registry import register


@register("block", "aspp")
class ASPP(nn.Module):
    """Atrous spatial pyramid pooling (Chen et al., 2017) with the branches of DeSTSeg's head, which has no plain 1x1.

    A 3x3 convolution per dilation, and the mean of the whole map through a 1x1 convolution, each with norm and
    activation; a 3x3 convolution with norm and activation fuses them.

    Args:
        channels: of the input.
        width: channels of each branch and of the output; default the input's.
        rates: dilations, in places of the map.
        norm: norm class.
        act: activation class.

    Raises:
        ContractError: the input has other channels.
        ValueError: `rates` holds no dilation, or one below 1.

    >>> ASPP(8, width=4, rates=[1, 2])(torch.zeros(2, 8, 7, 6)).shape
    torch.Size([2, 4, 7, 6])
    """

    def __init__(
        self,
        channels: int,
        *,
        width: int | None = None,
        rates: Sequence[int] = (6, 12, 18),
        norm: Norm = nn.BatchNorm2d,
        act: Act = nn.ReLU,
    ) -> None:
        super().__init__()
        if not rates or min(rates) < 1:
            raise ValueError(f"aspp: rates must be one dilation or more, each at least 1, got {list(rates)}")
        self.channels = channels
        self.out_channels = width or channels
        self.mean = convolution(channels, self.out_channels, norm, act, kernel=1)
        self.dilated = nn.ModuleList(convolution(channels, self.out_channels, norm, act, rate=r) for r in rates)
        self.fuse = convolution((1 + len(rates)) * self.out_channels, self.out_channels, norm, act)

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, h, w) -> (b, width, h, w)."""
        require_map("aspp", x, self.channels)
        whole = self._of_mean(x).expand(-1, -1, x.shape[2], x.shape[3])
        out: Tensor = self.fuse(torch.cat([whole, *(branch(x) for branch in self.dilated)], dim=1))
        return out

    def _of_mean(self, x: Tensor) -> Tensor:
        """(b, channels, h, w) -> (b, width, 1, 1)."""
        mean = x.mean(dim=(2, 3), keepdim=True)
        if self.training and len(x) == 1:
            # One value per channel, as in a last batch of one image, has no variance, and BatchNorm2d refuses it.
            out: Tensor = self.mean(mean.expand(2, -1, -1, -1))[:1]
        else:
            out = self.mean(mean)
        return out


def convolution(inputs: int, outputs: int, norm: Norm, act: Act, *, kernel: int = 3, rate: int = 1) -> nn.Sequential:
    """A convolution that keeps the sides, norm and activation."""
    padding = rate * (kernel // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=rate, bias=False)
    return nn.Sequential(conv, norm(outputs), act())
