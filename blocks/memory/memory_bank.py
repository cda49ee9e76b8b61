"""A memory bank: vectors of normal images, and how far others are from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from dlkd.blocks.memory.farthest_first import FarthestFirst
from dlkd.blocks.memory.nearest import nearest
from dlkd.contract import require_map
from dlkd.registry import register

Distance: TypeAlias = Literal["squared", "euclidean"]
"""Of two vectors: the sum of squared differences, or its root."""


class Coreset(Protocol):
    """Chooses vectors for a bank."""

    def __call__(self, parts: Sequence[Tensor]) -> Tensor:
        """Numbers (k,) of the chosen vectors; `parts` are vectors [(n_i, c), ...]."""
        ...


@register("block", "memory_bank")
class MemoryBank(nn.Module):
    """Distance of each place's vector to the nearest of a bank, as in PatchCore (Roth et al., CVPR 2022).

    Defaults are those of amazon-science/patchcore-inspection; docs/systems.md says where anomalib differs. Nothing here
    is trained by gradient; `fit` fills the bank, which is part of the state dict.

    Args:
        channels: length of the vectors.
        coreset: class of the choice of vectors; None keeps all.
        distance: see `Distance`.
        neighbors: the mean distance to so many nearest vectors is taken, or to all of a smaller bank.

    Raises:
        ContractError: a map has other channels.
        ValueError: `neighbors` is below 1; or the bank is empty when something is compared with it.
    """

    bank: Tensor

    def __init__(
        self,
        channels: int,
        *,
        coreset: Callable[[], Coreset] | None = FarthestFirst,
        distance: Distance = "squared",
        neighbors: int = 1,
    ) -> None:
        super().__init__()
        if neighbors < 1:
            raise ValueError(f"memory_bank: neighbors must be at least 1, got {neighbors}")
        self.channels = channels
        self.coreset = None if coreset is None else coreset()
        self.distance: Distance = distance
        self.neighbors = neighbors
        self.register_buffer("bank", torch.empty(0, channels))

    @torch.no_grad()
    def fit(self, maps: Iterable[Tensor]) -> None:
        """Fill the bank from maps (b, c, h, w) of normal images.

        All vectors are held until the bank is chosen: 0.7 GB for 200 images of the defaults of PatchCore.
        """
        parts = [x.permute(0, 2, 3, 1).flatten(0, 2) for x in maps]
        if self.coreset is None:
            self.bank = torch.cat(parts).to(self.bank.dtype)
            return
        chosen = self.coreset(parts)
        self.bank = self.bank.new_empty(len(chosen), self.channels)
        start = 0
        for part in parts:
            here = (chosen >= start) & (chosen < start + len(part))
            rows = chosen[here] - start
            self.bank[here.to(self.bank.device)] = part[rows.to(part.device)].to(self.bank.dtype)
            start += len(part)

    def search(self, vectors: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """Distances (n, k) and numbers (n, k) of the k nearest in the bank of vectors (n, c); fewer of a smaller bank.

        Raises ValueError if the bank is empty.
        """
        if not len(self.bank):
            raise ValueError("memory_bank: the bank is empty; it is filled by `fit`, or by loading what was saved")
        far, numbers = nearest(vectors, self.bank, min(k, len(self.bank)))
        return (far.sqrt() if self.distance == "euclidean" else far), numbers

    def forward(self, maps: Tensor) -> Tensor:
        """Maps (b, c, h, w) -> distances (b, h, w)."""
        require_map("memory_bank", maps, self.channels)
        vectors = maps.permute(0, 2, 3, 1)
        far, _ = self.search(vectors.flatten(0, 2), self.neighbors)
        return far.mean(dim=1).view(vectors.shape[:3])

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take the size of the bank that is loaded."""
        if f"{prefix}bank" in state:
            self.bank = self.bank.new_empty(state[f"{prefix}bank"].shape)
        super()._load_from_state_dict(state, prefix, *rest)
