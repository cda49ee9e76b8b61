"""FRM, the feature reconstruction module: a global and a local block side by side (eq. 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dlkd.blocks.gfrb import GFRB
from dlkd.blocks.lfrb import LFRB
from dlkd.blocks.norm import Block
from dlkd.contract import require, require_map
from dlkd.registry import register


@register("block", "frm")
class FRM(nn.Module):
    """Conv(Concat(F_G, F_L)) + F_in, eq. 4, with a 1x1 convolution that restores the channels.

    Args:
        channels: width of the map, a multiple of 4.
        global_: block class of the global branch, None to leave it out (Table 4, Exp. 1).
        local: block class of the local branch, None to leave it out. With neither, the module is the identity.

    Raises:
        ContractError: `channels` is no multiple of 4, the input has other channels or a side under 2.
    """

    def __init__(self, channels: int, *, global_: Block | None = GFRB, local: Block | None = LFRB) -> None:
        super().__init__()
        require("frm", "c", channels, "multiple of 4")
        self.channels = channels
        self.branches = nn.ModuleDict()
        if global_ is not None:
            self.branches["global"] = global_(channels)
        if local is not None:
            self.branches["local"] = local(channels)
        self.fuse = nn.Conv2d(channels * len(self.branches), channels, 1) if self.branches else None

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, c, h, w)."""
        require_map("frm", x, self.channels, min_side=2)
        if self.fuse is None:
            return x
        out: Tensor = self.fuse(torch.cat([branch(x) for branch in self.branches.values()], dim=1)) + x
        return out
