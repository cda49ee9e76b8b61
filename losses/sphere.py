"""NoCo's loss: what of the distances lies outside a sphere whose radius is trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dlkd.contract import ContractError
from dlkd.registry import register


@register("loss", "sphere")
class Sphere(nn.Module):
    """weight * mean over places of max(0, d - r^2), summed over scales, with a trained radius r.

    d is the distance itself, not its square, as in casivi-research/noco-ad, whose weight and first radius are the
    defaults (docs/systems.md).

    Args:
        weight: of the loss, above 0.
        radius: r before the training, above 0: at 0 its gradient is 0, and it would stay there.

    >>> Sphere(weight=10.0, radius=0.5)([torch.tensor([[[0.1, 0.75]]])]).item()
    2.5
    """

    def __init__(self, *, weight: float = 1000.0, radius: float = 1e-5) -> None:
        super().__init__()
        for name, value in (("weight", weight), ("radius", radius)):
            if value <= 0:
                raise ValueError(f"sphere: {name} must be above 0, got {value}")
        self.weight = weight
        self.radius = nn.Parameter(torch.tensor([radius]))

    def forward(self, distances: Sequence[Tensor]) -> Tensor:
        """Distances [(b, h_k, w_k), ...] -> scalar."""
        if not distances:
            raise ContractError("sphere: expected at least one map of distances, got none")
        outside = [torch.relu(d - self.radius.square()).mean() for d in distances]
        return self.weight * torch.stack(outside).sum()
