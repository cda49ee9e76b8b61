"""RD's distillation loss: one cosine per image and scale."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dlkd.contract import ContractError
from dlkd.losses.cosine import cosine
from dlkd.registry import register


@register("loss", "flat_cosine")
class FlatCosine(nn.Module):
    """Sum over scales of 1 - cos of the flattened maps, mean over the batch (Deng and Li, CVPR 2022, as in their code).

    Eq. 8 has a cosine per location instead.

    >>> features = [torch.ones(2, 4, 8, 8), torch.ones(2, 8, 4, 4)]
    >>> FlatCosine()(features, [-x for x in features])
    tensor(4.)
    """

    def forward(self, features: Sequence[Tensor], coarse: Sequence[Tensor]) -> Tensor:
        """The teacher's features and the student's, both [(b, c_k, h_k, w_k), ...] -> scalar."""
        if not features or [x.shape for x in features] != [x.shape for x in coarse]:
            raise ContractError(
                f"flat_cosine: the features of teacher and student must have the same shapes, "
                f"got {[tuple(x.shape) for x in features]} and {[tuple(x.shape) for x in coarse]}"
            )
        # Over the maps as they are: flattening one that lies channels last in memory copies it.
        return torch.stack([(1 - cosine(t, s, (1, 2, 3))).mean() for t, s in zip(features, coarse, strict=True)]).sum()
