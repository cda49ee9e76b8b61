"""OCBE, RD's fusion with its one-class bottleneck embedding."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from dlkd.blocks.mffm import MFFM
from dlkd.blocks.norm import Act, Norm
from dlkd.blocks.residual import Residual, start_as_resnet
from dlkd.contract import require
from dlkd.registry import register


@register("block", "ocbe")
class OCBE(MFFM):
    """Multi-scale fusion and one-class embedding of RD (Deng and Li, CVPR 2022): MFFM with a residual stage at its end.

    The defaults fit WideResNet50-2 as the authors' code does; docs/systems.md says where anomalib differs.

    Args:
        channels: channels of each scale, largest map first.
        reductions: image side over map side of each scale, powers of two apart; default 1, 2, 4, ... apart.
        out_channels: channels of the embedding; default twice those of the last scale.
        depth: residual units; the first halves the sides.
        bottleneck: kind of the units, see `Residual`.
        width: of the units' middle, see `Residual`.
        norm: norm class.
        act: activation class of the fusion's convolutions.

    Raises:
        ContractError: the number of maps, or the channels of a map, differ from `channels`; channels that bottlenecks
            cannot have.
        ValueError: `depth` is below 1, or `reductions` do not fit `channels`.

    >>> import torch
    >>> scales = [torch.zeros(2, 4, 32, 32), torch.zeros(2, 8, 16, 16), torch.zeros(2, 16, 8, 8)]
    >>> OCBE([4, 8, 16])(scales).shape
    torch.Size([2, 32, 4, 4])
    """

    def __init__(
        self,
        channels: Sequence[int] = (256, 512, 1024),
        *,
        reductions: Sequence[int] | None = None,
        out_channels: int | None = None,
        depth: int = 3,
        bottleneck: bool = True,
        width: float = 2.0,
        norm: Norm = nn.BatchNorm2d,
        act: Act = nn.ReLU,
    ) -> None:
        super().__init__(channels, reductions=reductions, out_channels=out_channels, norm=norm, act=act)
        if depth < 1:
            raise ValueError(f"ocbe: depth must be at least 1, got {depth}")
        if bottleneck and out_channels is None:
            require("ocbe", "c", channels[-1], "multiple of 2")
        out, fused = self.out_channels, self.fused_channels
        start_as_resnet(self)
        first = Residual(fused, out_channels=out, resize="down", bottleneck=bottleneck, width=width, norm=norm)
        more = [Residual(out, bottleneck=bottleneck, width=width, norm=norm) for _ in range(depth - 1)]
        self.fuse = nn.Sequential(first, *more)
