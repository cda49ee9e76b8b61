"""Projector of NoCo: a linear map of the features of all scales at each place."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.contract import ContractError, require_map
from dlkd.registry import register


@register("block", "projector")
class Projector(nn.Module):
    """One 1x1 convolution with bias of all scales' maps, each mean-pooled, brought to the largest and concatenated.

    The pooling counts zeros beyond the border; the upsampling is bilinear, with corners not aligned. Defaults are those
    of casivi-research/noco-ad (docs/systems.md). Bilinear weights sum to 1, so that a 1x1 convolution may as well come
    first: each scale takes its part of it at its own size, which with WideResNet50-2 is a quarter of the arithmetic.

    Args:
        channels: channels of each scale, largest map first.
        out_channels: channels of the output; None for the sum of `channels`.
        size: side of the pooling, odd.

    Attributes:
        out_channels: channels of the output.

    Raises:
        ContractError: the number of maps, or the channels of a map, differ from `channels`.
        ValueError: `size` is not odd, or `out_channels` is below 1.

    >>> Projector([8, 16])([torch.zeros(2, 8, 16, 16), torch.zeros(2, 16, 8, 8)]).shape
    torch.Size([2, 24, 16, 16])
    """

    def __init__(
        self, channels: Sequence[int] = (256, 512, 1024), *, out_channels: int | None = None, size: int = 3
    ) -> None:
        super().__init__()
        if size < 1 or size % 2 == 0:
            raise ValueError(f"projector: size must be odd, got {size}")
        if out_channels is not None and out_channels < 1:
            raise ValueError(f"projector: out_channels must be at least 1, got {out_channels}")
        self.channels = tuple(channels)
        self.out_channels = out_channels or sum(channels)
        self.size = size
        self.linear = nn.Conv2d(sum(channels), self.out_channels, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """[(b, c_k, h_k, w_k), ...], largest map first -> (b, out_channels, h_1, w_1)."""
        if len(features) != len(self.channels):
            raise ContractError(f"projector: expected {len(self.channels)} maps, got {len(features)}")
        for x, c in zip(features, self.channels, strict=True):
            require_map("projector", x, c)
        sides = features[0].shape[2:]
        parts = torch.split(self.linear.weight, list(self.channels), dim=1)
        pooled = [F.avg_pool2d(x, self.size, 1, self.size // 2) for x in features]
        made = F.conv2d(pooled[0], parts[0], self.linear.bias)
        for x, part in zip(pooled[1:], parts[1:], strict=True):
            made = made + F.interpolate(F.conv2d(x, part), sides, mode="bilinear")
        return made
