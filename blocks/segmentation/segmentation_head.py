"""DeSTSeg's segmentation head, without its last layer."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dlkd.blocks.norm import Act, Norm
from dlkd.blocks.residual import Residual
from dlkd.blocks.segmentation.aspp import ASPP, convolution
from dlkd.contract import require_map
from dlkd.registry import register


@register("block", "segmentation_head")
class SegmentationHead(nn.Module):
    """Residual units, ASPP and a 3x3 convolution with norm and activation (Zhang et al., CVPR 2023, DeSTSeg).

    The model that holds it makes a logit of each place's `out_channels` numbers.

    Args:
        channels: of the input.
        width: channels of all layers; default the input's.
        depth: residual units.
        rates: dilations of ASPP, in places of the map.
        norm: norm class.
        act: activation class of ASPP and of the last convolution.

    Raises:
        ContractError: the input has other channels.
        ValueError: `depth` is below 1, or `rates` holds no dilation.

    >>> import torch
    >>> SegmentationHead(8, width=4, rates=[1, 2])(torch.zeros(2, 8, 7, 6)).shape
    torch.Size([2, 4, 7, 6])
    """

    def __init__(
        self,
        channels: int,
        *,
        width: int | None = None,
        depth: int = 2,
        rates: Sequence[int] = (6, 12, 18),
        norm: Norm = nn.BatchNorm2d,
        act: Act = nn.ReLU,
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"segmentation_head: depth must be at least 1, got {depth}")
        self.channels = channels
        self.out_channels = width or channels
        first = Residual(channels, out_channels=self.out_channels, norm=norm)
        self.residual = nn.Sequential(first, *(Residual(self.out_channels, norm=norm) for _ in range(depth - 1)))
        self.aspp = ASPP(self.out_channels, rates=rates, norm=norm, act=act)
        self.last = convolution(self.out_channels, self.out_channels, norm, act)

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, h, w) -> (b, width, h, w)."""
        require_map("segmentation_head", x, self.channels)
        out: Tensor = self.last(self.aspp(self.residual(x)))
        return out
