"""Normalisations and activations that YAML can name; constructors take the class, never an instance."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from torch import Tensor, nn

from dlkd.blocks.layout import in_layout_of
from dlkd.registry import register

Norm: TypeAlias = Callable[[int], nn.Module]
"""A norm class, called with the number of channels of a map (b, c, h, w)."""

Act: TypeAlias = Callable[[], nn.Module]
"""An activation class, called without arguments."""

Block: TypeAlias = Callable[[int], nn.Module]
"""A block class (or a partial of one), called with the number of channels it keeps."""


@register("norm", "layer")
class LayerNorm2d(nn.LayerNorm):
    """LayerNorm over the channels of each location: (b, c, h, w) -> (b, c, h, w), eps 1e-6 as in VMamba."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, c, h, w)."""
        return in_layout_of(super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), x)


register("norm", "batch")(nn.BatchNorm2d)
register("norm", "none")(nn.Identity)
register("act", "relu")(nn.ReLU)
register("act", "gelu")(nn.GELU)
register("act", "silu")(nn.SiLU)
