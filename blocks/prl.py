"""PRL, the precise refinement learner, and how its output is combined with the coarse features (eq. 5)."""

from __future__ import annotations

from typing import Literal, TypeAlias

from torch import Tensor, nn

from dlkd.blocks.lfrb import LFRB
from dlkd.blocks.norm import Block
from dlkd.contract import require, require_map
from dlkd.registry import register

MapUse: TypeAlias = Literal["flow", "clamp", "detach"]
"""How eq. 5 uses M: unchanged and with its gradient, clamped to [0, 1], or without gradient."""
CoarseUse: TypeAlias = Literal["flow", "detach"]
"""How eq. 5 uses F_CS: with its gradient, or without. `MapUse` is the same choice for M."""
PRLSkip: TypeAlias = Literal["each", "around"]
"""The skip connections of the PRL: one around each block, or one around all of them together."""


@register("block", "prl")
class PRL(nn.Module):
    """`Precise` of eq. 5 at one scale: local blocks stacked, with skip connections.

    Args:
        channels: width of the map, a multiple of 4.
        depth: number of stacked blocks; 2 in the paper.
        local: class of the stacked blocks; LFRB in the paper.
        skip: one skip connection around each block, or one around the whole stack.

    Raises:
        ContractError: `channels` is no multiple of 4, the input has other channels or a side under 2.

    >>> import torch
    >>> PRL(8, depth=2)(torch.zeros(2, 8, 6, 6)).shape
    torch.Size([2, 8, 6, 6])
    """

    def __init__(self, channels: int, *, depth: int = 2, local: Block = LFRB, skip: PRLSkip = "each") -> None:
        super().__init__()
        require("prl", "c", channels, "multiple of 4")
        if depth < 1:
            raise ValueError(f"prl: depth must be at least 1, got {depth}")
        self.channels = channels
        self.blocks = nn.ModuleList(local(channels) for _ in range(depth))
        self.skip: PRLSkip = skip

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, c, h, w)."""
        require_map("prl", x, self.channels, min_side=2)
        out = x
        for block in self.blocks:
            out = out + block(out) if self.skip == "each" else block(out)
        return out if self.skip == "each" else x + out


def refine(
    precise: nn.Module,
    coarse: Tensor,
    anomaly_map: Tensor,
    *,
    use: MapUse = "flow",
    coarse_use: CoarseUse = "flow",
) -> Tensor:
    """Eq. 5: P(F_CS (1 - M)) M + F_CS (1 - M).

    Args:
        precise: P, a block that keeps (b, c, h, w).
        coarse: F_CS, features of the coarse decoder (b, c, h, w).
        anomaly_map: M, the coarse anomaly map (b, h, w) of eq. 7, in [0, 2].
        use: how M is used, see `MapUse`.
        coarse_use: how F_CS is used, see `CoarseUse`.

    Returns:
        F_PS, the precise features (b, c, h, w).

    Where M is 0 (the student agrees with the teacher), the coarse features do not change:

    >>> import torch
    >>> coarse = torch.rand(2, 8, 6, 6)
    >>> bool((refine(PRL(8), coarse, torch.zeros(2, 6, 6)) == coarse).all())
    True
    """
    m = anomaly_map.unsqueeze(1)
    if use == "clamp":
        m = m.clamp(0, 1)
    elif use == "detach":
        m = m.detach()
    kept = (coarse.detach() if coarse_use == "detach" else coarse) * (1 - m)
    refined: Tensor = precise(kept) * m + kept
    return refined
