"""Centre of NoCo: how far each place's vector is from one fixed vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dlkd.contract import require_map
from dlkd.registry import register


@register("block", "centre")
class Centre(nn.Module):
    """The Euclidean distance over channels to a centre that is drawn once and never changes.

    The centre is a draw from a Gaussian, scaled to norm `margin`; nothing of it comes from data. It is kept with the
    model's weights. Defaults are those of casivi-research/noco-ad (docs/systems.md).

    Args:
        channels: channels of the map.
        margin: norm of the centre; 0 is the origin.

    Raises:
        ValueError: `margin` is negative.

    >>> Centre(8)(torch.zeros(2, 8, 4, 4)).shape
    torch.Size([2, 4, 4])
    """

    def __init__(self, channels: int, *, margin: float = 1.0) -> None:
        super().__init__()
        if margin < 0:
            raise ValueError(f"centre: margin must be at least 0, got {margin}")
        self.channels = channels
        self.margin = margin
        drawn = torch.randn(channels)
        self.register_buffer("centre", margin * drawn / torch.linalg.vector_norm(drawn))

    def forward(self, x: Tensor) -> Tensor:
        """A map (b, c, h, w) -> distances (b, h, w)."""
        require_map("centre", x, self.channels)
        distances: Tensor = torch.linalg.vector_norm(x - self.get_buffer("centre")[:, None, None], dim=1)
        return distances
