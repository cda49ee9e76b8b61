"""Anomaly similarity loss L_AS (eq. 10)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.contract import ContractError
from dlkd.losses.distillation import require_maps
from dlkd.registry import register


@register("loss", "anomaly_similarity")
class AnomalySimilarity(nn.Module):
    """Sum over pairs of scales of the mean squared difference, the smaller map upsampled bilinearly (eq. 10).

    Args:
        pairs: "all" takes every small -> large pair, "neighbours" only adjacent scales.
        align_corners: how bilinear upsampling places the corners, as in `torch.nn.functional.interpolate`.

    >>> AnomalySimilarity()([torch.ones(2, 8, 8), torch.zeros(2, 4, 4)])
    tensor(1.)
    """

    def __init__(self, *, pairs: Literal["all", "neighbours"] = "all", align_corners: bool = False) -> None:
        super().__init__()
        self.pairs = pairs
        self.align_corners = align_corners

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Anomaly maps [(b, h_k, w_k), ...], at least two -> scalar, mean over the batch."""
        require_maps("anomaly_similarity", maps)
        if len(maps) < 2:
            raise ContractError(f"anomaly_similarity: expected at least two scales, got {len(maps)}")
        ordered = sorted(maps, key=lambda m: m.shape[1] * m.shape[2], reverse=True)
        pairs = combinations(ordered, 2) if self.pairs == "all" else pairwise(ordered)
        return torch.stack([self._difference(small, large) for large, small in pairs]).sum()

    def _difference(self, small: Tensor, large: Tensor) -> Tensor:
        up = F.interpolate(
            small.unsqueeze(1), large.shape[-2:], mode="bilinear", align_corners=self.align_corners
        ).squeeze(1)
        return (up - large).square().mean()
