"""Anomaly maps in units of what normal images give."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from dlkd.contract import ContractError
from dlkd.registry import register

Per: TypeAlias = Literal["scale", "place"]
"""What has a mean and a spread of its own: each scale, or each place of each scale."""


@register("block", "standardise")
class Standardise(nn.Module):
    """(map - mean) / spread, with the mean and the standard deviation of the maps of normal images.

    So every scale weighs the same in the sum of all scales, however large its distances are. Nothing here is trained by
    gradient; before `fit` maps stay as they are.

    Args:
        scales: number of maps.
        per: see `Per`. Places need images of one size.
        smallest: a spread below it is set to it.

    Raises:
        ContractError: another number of maps, or maps of other sides than at `fit` where places are standardised.
        ValueError: `scales` is below 1, `smallest` is not above 0, or there is nothing to fit to.

    >>> standardise = Standardise(1)
    >>> standardise.fit([[torch.tensor([[[1.0, 3.0]]])], [torch.tensor([[[1.0, 3.0]]])]])
    >>> standardise([torch.tensor([[[2.0, 4.0]]])])
    [tensor([[[0., 2.]]])]
    """

    def __init__(self, scales: int = 3, *, per: Per = "scale", smallest: float = 1e-6) -> None:
        super().__init__()
        if scales < 1:
            raise ValueError(f"standardise: scales must be at least 1, got {scales}")
        if smallest <= 0:
            raise ValueError(f"standardise: smallest must be above 0, got {smallest}")
        self.scales = scales
        self.per: Per = per
        self.smallest = smallest
        for k in range(scales):
            self.register_buffer(f"mean{k}", torch.zeros(1, 1))
            self.register_buffer(f"spread{k}", torch.ones(1, 1))

    @torch.no_grad()
    def fit(self, batches: Iterable[Sequence[Tensor]]) -> None:
        """Take mean and spread from the maps [(b, h_k, w_k), ...] of batches of normal images."""
        found = [_Moments() for _ in range(self.scales)]
        for maps in batches:
            self._require(maps)
            for moments, m in zip(found, maps, strict=True):
                moments.add(m if self.per == "place" else m.reshape(-1, 1, 1))
        for k, moments in enumerate(found):
            if not moments.count:
                raise ValueError("standardise: there are no normal images to fit to")
            mean, spread = self.get_buffer(f"mean{k}"), (moments.squares / moments.count).sqrt()
            setattr(self, f"mean{k}", moments.mean.to(mean))
            setattr(self, f"spread{k}", spread.clamp(min=self.smallest).to(mean))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """[(b, h_k, w_k), ...] -> the same shapes."""
        self._require(maps)
        made = []
        for k, m in enumerate(maps):
            mean = self.get_buffer(f"mean{k}")
            if mean.numel() > 1 and mean.shape != m.shape[1:]:
                raise ContractError(
                    f"standardise: per place it takes maps of {tuple(mean.shape)} at scale {k}, as at its fit, "
                    f"got {tuple(m.shape[1:])}"
                )
            made.append((m - mean) / self.get_buffer(f"spread{k}"))
        return made

    def _require(self, maps: Sequence[Tensor]) -> None:
        if len(maps) != self.scales:
            raise ContractError(f"standardise: expected {self.scales} maps, got {len(maps)}")

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take the sides of what is loaded."""
        for name, buffer in list(self.named_buffers(recurse=False)):
            if f"{prefix}{name}" in state:
                setattr(self, name, buffer.new_empty(state[f"{prefix}{name}"].shape))
        super()._load_from_state_dict(state, prefix, *rest)


class _Moments:
    """Mean, and sum of squared differences from it, of tensors (n, h, w) over n, in float64 batch by batch.

    The sum of a batch and of those before it is that of Chan, Golub and LeVeque (1979).
    """

    def __init__(self) -> None:
        self.count = 0
        self.mean = self.squares = torch.zeros(())

    def add(self, values: Tensor) -> None:
        values = values.double()
        own = values.mean(dim=0)
        squares = (values - own).square().sum(dim=0)
        if self.count:
            total, apart = self.count + len(values), own - self.mean
            squares = self.squares + squares + apart.square() * (self.count * len(values) / total)
            own = self.mean + apart * (len(values) / total)
        self.mean, self.squares, self.count = own, squares, self.count + len(values)
