"""VT-ADL's mixture density: how unlikely each patch's code is under Gaussians that are computed of the code."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.contract import ContractError, require
from dlkd.registry import register

Spread: TypeAlias = Literal["log_variance", "variance"]
"""What the softplus of a spread is: the logarithm of the variance, as VT-ADL's code uses it, so that no variance is
below 1; or the variance, as the code calls it."""

Mixing: TypeAlias = Literal["mean", "log"]
"""The mixture's value: the weighted mean of -log of each Gaussian as in VT-ADL's code, or -log of the weighted sum,
which is the likelihood that a mixture has."""


@register("block", "mixture_density")
class MixtureDensity(nn.Module):
    """Mixture density network (Bishop, 1994) as VT-ADL has it: weights, means and spreads are linear in the code.

    What the three linear maps take is clamped at 2.2e-16 from below, so that no negative number enters; the code whose
    density is computed is not. -log of a Gaussian holds log(2 pi) / 2 once, not per dimension, which shifts all values
    alike. Defaults are those of pankajmishra000/VT-ADL (docs/systems.md).

    Args:
        channels: length of a code.
        gaussians: of the mixture.
        spread: see `Spread`.
        mixing: see `Mixing`.

    Raises:
        ContractError: the codes are not (b, n, c), or have another length.
        ValueError: `gaussians` is below 1.

    >>> MixtureDensity(6, gaussians=2)(torch.zeros(2, 5, 6)).shape
    torch.Size([2, 5])
    """

    def __init__(
        self, channels: int = 512, *, gaussians: int = 10, spread: Spread = "log_variance", mixing: Mixing = "mean"
    ) -> None:
        super().__init__()
        if gaussians < 1:
            raise ValueError(f"mixture_density: gaussians must be at least 1, got {gaussians}")
        self.channels = channels
        self.gaussians = gaussians
        self.spread: Spread = spread
        self.mixing: Mixing = mixing
        self.weights = nn.Linear(channels, gaussians, bias=False)
        self.means = nn.Linear(channels, gaussians * channels, bias=False)
        self.spreads = nn.Linear(channels, gaussians * channels, bias=False)

    def forward(self, codes: Tensor) -> Tensor:
        """Codes (b, n, channels) -> (b, n), the higher the less likely, in float32 or wider."""
        if codes.dim() != 3:
            raise ContractError(f"mixture_density: expected codes (b, n, c), got {tuple(codes.shape)}")
        require("mixture_density", "c", codes.shape[2], f"== {self.channels}")
        positive = codes.clamp(min=torch.finfo(torch.float64).eps)
        apart = (*codes.shape[:2], self.gaussians, self.channels)
        wide = torch.promote_types(codes.dtype, torch.float32)
        means = self.means(positive).view(apart).to(wide)
        spreads = F.softplus(self.spreads(positive).view(apart).to(wide))
        log_variances = spreads if self.spread == "log_variance" else spreads.clamp(min=1e-6).log()
        far = (codes.to(wide).unsqueeze(2) - means).square() * torch.exp(-log_variances)
        negative_logs = 0.5 * (math.log(2 * math.pi) + (log_variances + far).sum(dim=3))
        logits = self.weights(positive).to(wide)
        if self.mixing == "log":
            return -torch.logsumexp(F.log_softmax(logits, dim=2) - negative_logs, dim=2)
        values: Tensor = (F.softmax(logits, dim=2) * negative_logs).sum(dim=2)
        return values
