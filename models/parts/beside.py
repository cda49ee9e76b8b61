"""A memory's map beside a model's own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from torch import Tensor, nn

from dlkd.blocks.standardise import Standardise
from dlkd.models.parts.anomaly_map import image_map

Features: TypeAlias = Callable[[Tensor], list[Tensor]]
"""The teacher's features of images (b, 3, h, w)."""
OwnMap: TypeAlias = Callable[[Tensor], tuple[Tensor, list[Tensor]]]
"""A model's own map (b, h, w) of images (b, 3, h, w), and the teacher's features of them."""


class Beside(nn.Module):
    """The sum of a model's map and a memory's, both standardised by what normal images give.

    The memory's statistics are those of images that it does not hold: a vector of its own is at distance zero. So a
    copy of the memory is filled from every second image for the statistics of the others, and the other way round; the
    memory itself holds all images.

    Args:
        memory: gives distances (b, h', w') of the teacher's features, and has a `fit`.
        sigma: Gaussian smoothing of its map, in pixels.
        align_corners: how its map is upsampled.
    """

    def __init__(self, memory: nn.Module, *, sigma: float, align_corners: bool) -> None:
        super().__init__()
        self.memory: Any = memory
        self.standardise = Standardise(2)
        self.sigma = sigma
        self.align_corners = align_corners

    def fit(self, batches: Iterable[Tensor], teacher: Features, own: OwnMap) -> None:
        """Fill the memory from batches of normal images (b, 3, h, w), which are read several times.

        Raises ValueError where there are fewer than two images.
        """
        if sum(map(len, batches)) < 2:
            raise ValueError("memory: there must be at least two normal images")
        self.standardise.fit(self._maps_of_others(batches, teacher, own))
        self.memory.fit(map(teacher, batches))

    def forward(self, own: Tensor, features: Sequence[Tensor]) -> Tensor:
        """The model's map (b, h, w) and the teacher's features of the same images -> (b, h, w)."""
        maps: list[Tensor] = self.standardise([own, self._map(self.memory, own, features)])
        return maps[0] + maps[1]

    def _maps_of_others(self, batches: Iterable[Tensor], teacher: Features, own: OwnMap) -> Iterator[list[Tensor]]:
        """Both maps of every image, the memory's from a copy that was filled without it."""
        for half in (0, 1):
            memory = copy.deepcopy(self.memory)
            memory.fit(map(teacher, every_second(batches, 1 - half)))
            for images in every_second(batches, half):
                found, features = own(images)
                yield [found, self._map(memory, found, features)]

    def _map(self, memory: nn.Module, own: Tensor, features: Sequence[Tensor]) -> Tensor:
        size = (own.shape[1], own.shape[2])
        return image_map([memory(features)], size, sigma=self.sigma, align_corners=self.align_corners)


def every_second(batches: Iterable[Tensor], start: int) -> Iterator[Tensor]:
    """Batches of every second image, from the first or from the second on; without empty batches."""
    before = 0
    for images in batches:
        chosen = images[(start - before) % 2 :: 2]
        before += len(images)
        if len(chosen):
            yield chosen
