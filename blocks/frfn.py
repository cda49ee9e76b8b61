"""FRFN, the feature refinement feed-forward network of AST (the paper's [19])."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.blocks.gated_depthwise import gated_depthwise
from dlkd.contract import require, require_map
from dlkd.registry import register


@register("block", "frfn")
class FRFN(nn.Module):
    """Enhance a quarter of the channels, then let one half of a feed-forward layer gate the other.

    Zhou et al., "Adapt or Perish: Adaptive Sparse Transformer with Attentive Feature Refinement", CVPR 2024,
    here on maps of any sides. Linear layers over channels are written as 1x1 convolutions.

    Args:
        channels: width of the map, a multiple of 4.
        hidden_ratio: width of the hidden layer over `channels`; AST takes 2 to 4.

    Raises:
        ContractError: `channels` is no multiple of 4, or the input has other channels.
    """

    def __init__(self, channels: int, *, hidden_ratio: float = 2.0) -> None:
        super().__init__()
        require("frfn", "c", channels, "multiple of 4")
        hidden = round(channels * hidden_ratio)
        if hidden < 1:
            raise ValueError(f"frfn: hidden_ratio {hidden_ratio} leaves no hidden channel of {channels}")
        self.channels = channels
        self.partial_conv = nn.Conv2d(channels // 4, channels // 4, 3, padding=1, bias=False)
        self.linear_in = nn.Conv2d(channels, 2 * hidden, 1)
        self.dwconv = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)
        self.linear_out = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, c, h, w)."""
        require_map("frfn", x, self.channels)
        quarter = self.channels // 4
        enhanced, untouched = torch.split(x, [quarter, self.channels - quarter], dim=1)
        x = torch.cat([self.partial_conv(enhanced), untouched], dim=1)
        # Two halves made apart, as those of one map would be strided: copied by each layer that takes them.
        assert self.linear_in.bias is not None
        weights, biases = self.linear_in.weight.chunk(2), self.linear_in.bias.chunk(2)
        value, gate = (F.conv2d(x, w, b) for w, b in zip(weights, biases, strict=True))
        assert self.dwconv.bias is not None
        out: Tensor = self.linear_out(gated_depthwise(value, gate, self.dwconv.weight, self.dwconv.bias))
        return out
