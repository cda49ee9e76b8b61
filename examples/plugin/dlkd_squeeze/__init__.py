"""Squeeze-and-excitation as a block of dlkd."""

from pathlib import Path

import torch
from torch import Tensor, nn

from dlkd.contract import require, require_map
from dlkd.registry import register

ROWS = Path(__file__).with_name("registry.yaml")
"""The block's row, and a variant with it."""


@register("block", "squeeze")
class Squeeze(nn.Module):
    """x · σ(W2 ReLU(W1 mean(x))): channels weighed by what the whole map holds (Hu et al., CVPR 2018).

    Args:
        channels: width of the map.
        ratio: width of the hidden layer over `channels`.

    Raises:
        ContractError: `channels` is no multiple of 4, or the input has other channels.
    """

    def __init__(self, channels: int, *, ratio: float = 0.25) -> None:
        super().__init__()
        require("squeeze", "c", channels, "multiple of 4")
        self.channels = channels
        hidden = max(1, round(channels * ratio))
        self.weigh = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, c, h, w)."""
        require_map("squeeze", x, self.channels)
        weights: Tensor = self.weigh(x.mean(dim=(2, 3)))
        return torch.mul(x, weights[:, :, None, None])
