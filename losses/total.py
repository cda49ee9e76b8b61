"""The total objective (eq. 6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from dlkd.losses.contrast import Contrast
from dlkd.losses.distillation import CKD, PKD
from dlkd.losses.similarity import AnomalySimilarity
from dlkd.registry import register

LossClass: TypeAlias = Callable[[], nn.Module]


@register("loss", "total")
class TotalLoss(nn.Module):
    """L = L_CKD + L_PKD + alpha L_con + beta L_AS, eq. 6; a term given as None is left out (Table 5).

    Args:
        ckd: class of L_CKD, on the coarse maps.
        pkd: class of L_PKD, on the precise maps.
        contrast: class of L_con, between pseudo-anomalous and precise features.
        anomaly_similarity: class of L_AS.
        similarity_of: the maps L_AS takes, precise or coarse.
        alpha: weight of L_con.
        beta: weight of L_AS.

    Raises:
        ValueError: no term is left.
    """

    def __init__(
        self,
        *,
        ckd: LossClass | None = CKD,
        pkd: LossClass | None = PKD,
        contrast: LossClass | None = Contrast,
        anomaly_similarity: LossClass | None = AnomalySimilarity,
        similarity_of: Literal["precise", "coarse"] = "precise",
        alpha: float = 0.02,
        beta: float = 0.05,
    ) -> None:
        super().__init__()
        classes = {"ckd": ckd, "pkd": pkd, "contrast": contrast, "anomaly_similarity": anomaly_similarity}
        self.losses = nn.ModuleDict({name: make() for name, make in classes.items() if make is not None})
        if not self.losses:
            raise ValueError(f"total: at least one of the losses {', '.join(classes)} is needed")
        self.similarity_of = similarity_of
        self.weights = {"ckd": 1.0, "pkd": 1.0, "contrast": alpha, "anomaly_similarity": beta}

    def terms(
        self,
        coarse_maps: Sequence[Tensor],
        precise_maps: Sequence[Tensor],
        noisy: Sequence[Tensor],
        precise: Sequence[Tensor],
    ) -> dict[str, Tensor]:
        """Each loss by name, unweighted; shapes as in `forward`."""
        inputs: dict[str, tuple[Sequence[Tensor], ...]] = {
            "ckd": (coarse_maps,),
            "pkd": (precise_maps,),
            "contrast": (noisy, precise),
            "anomaly_similarity": (precise_maps if self.similarity_of == "precise" else coarse_maps,),
        }
        return {name: loss(*inputs[name]) for name, loss in self.losses.items()}

    def weigh(self, terms: dict[str, Tensor]) -> Tensor:
        """The weighted sum of eq. 6 -> scalar."""
        return torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()

    def forward(
        self,
        coarse_maps: Sequence[Tensor],
        precise_maps: Sequence[Tensor],
        noisy: Sequence[Tensor],
        precise: Sequence[Tensor],
    ) -> Tensor:
        """M_C and M_P [(b, h_k, w_k), ...], F_E and F_PS [(b, c_k, h_k, w_k), ...] -> scalar."""
        return self.weigh(self.terms(coarse_maps, precise_maps, noisy, precise))
