"""Distillation losses L_CKD and L_PKD (eq. 8)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dlkd.contract import ContractError
from dlkd.registry import register


class _MeanMap(nn.Module):
    """Sum over scales of the mean of each anomaly map, mean over the batch (eq. 8)."""

    name: str

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Anomaly maps [(b, h_k, w_k), ...] -> scalar."""
        require_maps(self.name, maps)
        return torch.stack([m.mean() for m in maps]).sum()


@register("loss", "ckd")
class CKD(_MeanMap):
    """L_CKD, eq. 8 on the coarse maps M_C of eq. 7.

    >>> CKD()([torch.full((2, 8, 8), 0.5), torch.full((2, 4, 4), 0.25)])
    tensor(0.7500)
    """

    name = "ckd"


@register("loss", "pkd")
class PKD(_MeanMap):
    """L_PKD, eq. 8 on the precise maps, between the teacher's features and F_PS."""

    name = "pkd"


def require_maps(component: str, maps: Sequence[Tensor]) -> None:
    """Raise ContractError unless `maps` holds at least one map (b, h, w) and all share one batch."""
    if not maps:
        raise ContractError(f"{component}: expected at least one anomaly map, got none")
    for m in maps:
        if m.dim() != 3:
            raise ContractError(f"{component}: expected maps (b, h, w), got shape {tuple(m.shape)}")
        if len(m) != len(maps[0]):
            raise ContractError(f"{component}: axis b must be {len(maps[0])} in every map, got {len(m)}")
