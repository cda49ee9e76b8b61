"""PatchCore's memory as a part of other models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from torch import Tensor, nn

from dlkd.blocks.memory.memory_bank import MemoryBank
from dlkd.blocks.memory.patch_pooling import PatchPooling
from dlkd.contract import ContractError
from dlkd.registry import register


@register("block", "patch_memory")
class PatchMemory(nn.Module):
    """How far the patch features of each place are from the nearest of normal images (Roth et al., CVPR 2022).

    Nothing here is trained by gradient; `fit` fills the memory.

    Args:
        channels: channels of each scale, largest map first.
        last: so many scales are taken, the smallest maps; PatchCore takes those at 1/8 and 1/16 of the image.
        patches: class of the patch features.
        memory: class of the memory bank.

    Raises:
        ContractError: the number of maps, or the channels of a map, differ from `channels`.
        ValueError: there are fewer scales than `last`; or the memory is empty when something is compared with it.
    """

    def __init__(
        self,
        channels: Sequence[int] = (256, 512, 1024),
        *,
        last: int = 2,
        patches: Callable[..., nn.Module] = PatchPooling,
        memory: Callable[..., MemoryBank] = MemoryBank,
    ) -> None:
        super().__init__()
        if not 1 <= last <= len(channels):
            raise ValueError(f"patch_memory: last must be from 1 to {len(channels)}, the number of scales, got {last}")
        self.scales = len(channels)
        self.last = last
        self.patches: Any = patches(channels[-last:])
        self.memory = memory(self.patches.out_channels)

    def fit(self, batches: Iterable[Sequence[Tensor]]) -> None:
        """Fill the memory from the features [(b, c_k, h_k, w_k), ...] of batches of normal images."""
        self.memory.fit(self._vectors(features) for features in batches)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """[(b, c_k, h_k, w_k), ...] -> distances (b, h, w), with the sides of the largest map that is taken."""
        distances: Tensor = self.memory(self._vectors(features))
        return distances

    def _vectors(self, features: Sequence[Tensor]) -> Tensor:
        if len(features) != self.scales:
            raise ContractError(f"patch_memory: expected {self.scales} maps, got {len(features)}")
        vectors: Tensor = self.patches(features[-self.last :])
        return vectors
