"""DeSTSeg's decoder: residual units, upsampled bilinearly from scale to scale."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.blocks.mffm import pyramid_reductions
from dlkd.blocks.norm import Norm
from dlkd.blocks.residual import Residual
from dlkd.contract import ContractError, require_map
from dlkd.registry import register


@register("decoder", "bilinear")
class BilinearDecoder(nn.Module):
    """Decoder of DeSTSeg's student (Zhang et al., CVPR 2023): a stage at the size of its input, then one per scale.

    Each stage is residual units, and bilinear upsampling stands before each but the first. There are no skips.

    Args:
        channels: the teacher's channels, largest map first.
        in_channels: channels of the input, whose sides are half of those of the last scale.
        reductions: image side over map side of each scale.
        depth: residual units per stage.
        last_relu: each scale's map passes a ReLU at its end, as a ResNet's features do. Without it the map may have
            both signs, as the features of EfficientNets have.
        norm: norm class.

    Raises:
        ContractError: the input's channels are not `in_channels`.
        ValueError: `depth` is below 1, or `reductions` do not fit `channels`.
    """

    takes_features = False

    def __init__(
        self,
        channels: Sequence[int] = (64, 128, 256),
        *,
        in_channels: int = 512,
        reductions: Sequence[int] | None = None,
        depth: int = 2,
        last_relu: bool = True,
        norm: Norm = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"bilinear: depth must be at least 1, got {depth}")
        found = pyramid_reductions("bilinear", channels, reductions)
        self.in_channels = in_channels
        self.factors = [2 * found[-1] // reduction for reduction in found]
        self.bottom = _stage(in_channels, in_channels, depth, norm, last_relu=True)
        self.scales = nn.ModuleList(
            _stage(wide, c, depth, norm, last_relu=last_relu)
            for c, wide in zip(channels, [*channels[1:], in_channels], strict=True)
        )

    def forward(self, x: Tensor, sizes: Sequence[tuple[int, int]] | None = None) -> list[Tensor]:
        """Input (b, in_channels, h, w) -> [(b, c_k, h_k, w_k), ...], largest map first.

        Args:
            x: the input.
            sizes: sides of each teacher map, largest first, needed if image sides are no multiple of the strides;
                default multiples of h and w.
        """
        require_map("bilinear", x, self.in_channels)
        if sizes is None:
            sizes = [(factor * x.shape[2], factor * x.shape[3]) for factor in self.factors]
        if len(sizes) != len(self.scales):
            raise ContractError(f"bilinear: expected the sides of {len(self.scales)} maps, got {len(sizes)}")
        made: list[Tensor] = []
        x = self.bottom(x)
        for stage, size in zip(reversed(self.scales), reversed(sizes), strict=True):
            x = stage(F.interpolate(x, size, mode="bilinear"))
            made.insert(0, x)
        return made


def _stage(inputs: int, outputs: int, depth: int, norm: Norm, *, last_relu: bool) -> nn.Sequential:
    ends = [True] * (depth - 1) + [last_relu]
    sizes = [inputs] + [outputs] * (depth - 1)
    return nn.Sequential(
        *(Residual(c, out_channels=outputs, last_relu=end, norm=norm) for c, end in zip(sizes, ends, strict=True))
    )
