"""Contrast loss L_con (eq. 9)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.contract import ContractError
from dlkd.losses.cosine import cosine
from dlkd.registry import register


@register("loss", "contrast")
class Contrast(nn.Module):
    """Push reconstructed features away from pseudo-anomalous ones: mean_k max(0, cos(F_E, F_PS) - f), eq. 9.

    Args:
        margin: f, the similarity up to which the loss is zero.
        per_location: take the cosine over channels at each location and average the hinge, instead of one cosine
            of the flattened map per sample.

    >>> features = [torch.ones(2, 4, 8, 8)]
    >>> Contrast(margin=0.5)(features, features)  # cosine 1, so 0.5 above the margin
    tensor(0.5000)
    """

    def __init__(self, *, margin: float = 0.5, per_location: bool = False) -> None:
        super().__init__()
        if not -1 <= margin <= 1:
            raise ValueError(f"contrast: margin must lie in [-1, 1] as a cosine does, got {margin}")
        self.margin = margin
        self.per_location = per_location

    def forward(self, noisy: Sequence[Tensor], student: Sequence[Tensor]) -> Tensor:
        """F_E [(b, c_k, h_k, w_k), ...], F_PS of the same shapes -> scalar, mean over batch and scales."""
        if not noisy or [x.shape for x in noisy] != [x.shape for x in student]:
            raise ContractError(
                f"contrast: pseudo-anomalous and student features must have the same shapes, "
                f"got {[tuple(x.shape) for x in noisy]} and {[tuple(x.shape) for x in student]}"
            )
        # Over the maps as they are: flattening one that lies channels last in memory copies it.
        dim = 1 if self.per_location else (1, 2, 3)
        hinges = [F.relu(cosine(e, p, dim) - self.margin).mean() for e, p in zip(noisy, student, strict=True)]
        return torch.stack(hinges).mean()
