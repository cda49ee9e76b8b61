"""Mean squared error between features, MB-PFM's loss."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dlkd.contract import ContractError
from dlkd.registry import register


@register("loss", "mse")
class MSE(nn.Module):
    """Sum over maps of the squared difference's mean over all elements.

    >>> MSE()([torch.ones(2, 4, 8, 8), torch.ones(2, 8, 4, 4)], [torch.zeros(2, 4, 8, 8), torch.zeros(2, 8, 4, 4)])
    tensor(2.)
    """

    def forward(self, features: Sequence[Tensor], coarse: Sequence[Tensor]) -> Tensor:
        """The teacher's features and the student's, both [(b, c_k, h_k, w_k), ...] -> scalar."""
        if not features or [x.shape for x in features] != [x.shape for x in coarse]:
            raise ContractError(
                f"mse: the features of teacher and student must have the same shapes, "
                f"got {[tuple(x.shape) for x in features]} and {[tuple(x.shape) for x in coarse]}"
            )
        return torch.stack([(t - s).square().mean() for t, s in zip(features, coarse, strict=True)]).sum()
