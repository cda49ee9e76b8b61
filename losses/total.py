"""The total objective (eq. 6) with its four losses, and any further losses."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from dlkd.losses.contrast import Contrast
from dlkd.losses.distillation import CKD, PKD
from dlkd.losses.similarity import AnomalySimilarity
from dlkd.registry import register

LossClass: TypeAlias = Callable[[], nn.Module]

QUANTITIES = ("coarse_maps", "precise_maps", "noisy", "precise", "coarse", "features", "images")
"""The quantities that a loss may take: M_C and M_P [(b, h_k, w_k), ...], F_E, F_PS, F_CS and T_E
[(b, c_k, h_k, w_k), ...], and the images (b, 3, h, w)."""


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
        more: classes of further losses, under names that you choose. Each loss receives the quantities that the
            parameters of its `forward` are named after, see `QUANTITIES`, or those that `of` lists.
        weights: weights of the losses in `more`, of `ckd` and of `pkd`; 1 by default.
        of: quantities that a loss in `more` receives, in the order of its parameters.

    Raises:
        ValueError: no term is left, a name is used twice, or a loss takes an unknown quantity.

    >>> loss = TotalLoss(contrast=None, anomaly_similarity=None, weights={"pkd": 2.0})
    >>> maps = [torch.full((2, 8, 8), 0.5)]
    >>> loss(coarse_maps=maps, precise_maps=maps, noisy=[], precise=[])  # 1 * 0.5 + 2 * 0.5
    tensor(1.5000)
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
        more: Mapping[str, LossClass] | None = None,
        weights: Mapping[str, float] | None = None,
        of: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__()
        more, weights, of = more or {}, weights or {}, of or {}
        classes = {"ckd": ckd, "pkd": pkd, "contrast": contrast, "anomaly_similarity": anomaly_similarity}
        taken = sorted({*classes, "total"} & set(more))
        if taken:
            raise ValueError(f"total: the name {taken[0]} of a loss in `more` is taken; give another one")
        self.losses = nn.ModuleDict({name: make() for name, make in {**classes, **more}.items() if make is not None})
        if not self.losses:
            raise ValueError(f"total: at least one of the losses {', '.join(classes)} is needed")
        self.similarity_of = similarity_of
        named = ["ckd", "pkd", *more]
        _known("weights", weights, named)
        _known("of", of, list(more))
        self.weights = {"ckd": 1.0, "pkd": 1.0, "contrast": alpha, "anomaly_similarity": beta}
        self.weights |= {**dict.fromkeys(more, 1.0), **weights}
        self.inputs: dict[str, tuple[str, ...]] = {
            "ckd": ("coarse_maps",),
            "pkd": ("precise_maps",),
            "contrast": ("noisy", "precise"),
            "anomaly_similarity": (f"{similarity_of}_maps",),
        }
        for name in more:
            takes = of.get(name) or tuple(inspect.signature(self.losses[name].forward).parameters)
            if not takes or set(takes) - set(QUANTITIES):
                raise ValueError(
                    f"total: {name} takes {', '.join(takes) or 'nothing'}; there are {', '.join(QUANTITIES)}: name the "
                    f"parameters of its forward so, or say `of: {{{name}: [...]}}`"
                )
            self.inputs[name] = tuple(takes)

    def terms(
        self,
        coarse_maps: Sequence[Tensor],
        precise_maps: Sequence[Tensor],
        noisy: Sequence[Tensor],
        precise: Sequence[Tensor],
        **others: Sequence[Tensor] | Tensor,
    ) -> dict[str, Tensor]:
        """Each loss by name, unweighted; shapes as in `QUANTITIES`; `others` are the quantities not named here."""
        known = {"coarse_maps": coarse_maps, "precise_maps": precise_maps, "noisy": noisy, "precise": precise, **others}
        return {name: loss(*(known[key] for key in self.inputs[name])) for name, loss in self.losses.items()}

    def weigh(self, terms: dict[str, Tensor]) -> Tensor:
        """The weighted sum of eq. 6 -> scalar."""
        return torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()

    def forward(
        self,
        coarse_maps: Sequence[Tensor],
        precise_maps: Sequence[Tensor],
        noisy: Sequence[Tensor],
        precise: Sequence[Tensor],
        **others: Sequence[Tensor] | Tensor,
    ) -> Tensor:
        """The same arguments as `terms` -> scalar."""
        return self.weigh(self.terms(coarse_maps, precise_maps, noisy, precise, **others))


def _known(argument: str, given: Mapping[str, Any], names: list[str]) -> None:
    for name in given:
        if name not in names:
            hint = {"contrast": "; its weight is `alpha`", "anomaly_similarity": "; its weight is `beta`"}.get(name, "")
            raise ValueError(f"total: {argument} names {name}, which is none of {', '.join(names) or 'more'}{hint}")
