"""Low-dimensional embedding: the bottleneck through which reconstructed features pass (eqs. 1 and 3)."""

from __future__ import annotations

from torch import Tensor, nn

from dlkd.blocks.norm import Act, Norm
from dlkd.contract import require, require_map
from dlkd.registry import register


@register("block", "embed")
class Embed(nn.Module):
    """1x1 to `ratio * channels`, 3x3, 1x1 back, with norm and activation between: "several convolutional layers".

    The paper gives no sizes; the narrow middle is meant to keep anomalous information out.

    Args:
        channels: width of the map, a multiple of `1 / ratio`.
        ratio: width of the middle over `channels`, one over a whole number.
        norm: norm class of the convolutions.
        act: activation class.

    Raises:
        ContractError: `channels` is no multiple of `1 / ratio`, or the input has other channels.
    """

    def __init__(self, channels: int, *, ratio: float = 0.25, norm: Norm = nn.BatchNorm2d, act: Act = nn.ReLU) -> None:
        super().__init__()
        if not 0 < ratio <= 1:
            raise ValueError(f"embed: ratio must lie in (0, 1], got {ratio}")
        require("embed", "c", channels, f"multiple of {round(1 / ratio)}")
        self.channels = channels
        width = round(channels * ratio)
        self.layers = nn.Sequential(
            nn.Conv2d(channels, width, 1, bias=False),
            norm(width),
            act(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            norm(width),
            act(),
            nn.Conv2d(width, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, c, h, w)."""
        require_map("embed", x, self.channels)
        out: Tensor = self.layers(x)
        return out
