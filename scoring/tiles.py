"""Large pictures in tiles that overlap, their maps blended without seams."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlkd.data.pictures.tiling import enlarged, first_pixels
from dlkd.scoring.scorer import Answer, Map, Pixels, Scorer


class Tile(NamedTuple):
    """Where a tile lies in a picture: its first row and column, and the weights (h,) and (w,) of its map there."""

    top: int
    left: int
    down: NDArray[np.float32]
    across: NDArray[np.float32]


class Tiled:
    """A scorer that cuts each picture into tiles, and asks another for each of them.

    The score of a picture is the largest of its tiles' scores. Its map is the average of the tiles' maps, weighted by
    windows that fall to 0 towards the edges of a tile (`weights`). In memory are the picture, its map and one batch of
    tiles. A side shorter than the tile's is continued by its mirror image, so that the scale stays.

    Args:
        scorer: of the tiles.
        size: height and width of a tile in pixels of the picture.
        overlap: share of a tile, in each direction, that its neighbour covers too; more where the sides require it.

    Raises:
        ValueError: a size below 2, or an overlap outside [0, 0.9].
    """

    def __init__(self, scorer: Scorer, size: tuple[int, int], overlap: float = 0.25) -> None:
        if min(size) < 2:
            raise ValueError(f"a tile has at least 2x2 pixels, got {size[0]}x{size[1]}")
        if not 0 <= overlap <= 0.9:
            raise ValueError(f"the overlap is a share of the tile from 0 to 0.9, got {overlap}")
        self.scorer, self.size, self.overlap = scorer, size, overlap
        self.normal, self.batch_size = replace(scorer.normal, proportions=math.nan), 1  # a tile is cut, not squeezed
        self.tile: tuple[int, int] | None = size
        self.tiles_at_once = scorer.batch_size

    def prepare(self, pixels: Pixels) -> Pixels:
        """The picture itself."""
        return pixels

    def detect(self, prepared: Sequence[Pixels]) -> list[Answer]:
        """See `Scorer`."""
        return [self._answer(pixels) for pixels in prepared]

    def _answer(self, pixels: Pixels) -> Answer:
        height, width = pixels.shape[:2]
        whole = enlarged(pixels, self.size)
        blended: Map | None = None
        scores = []
        tiles = self._tiles(whole)
        while batch := list(islice(tiles, self.tiles_at_once)):
            for tile, answer in zip(batch, self._detect(whole, batch), strict=True):
                scores.append(answer.score)
                if answer.make_map is None:
                    continue
                blended = np.zeros(whole.shape[:2], np.float32) if blended is None else blended
                _place(blended, tile)[...] += answer.make_map() * tile.down[:, None] * tile.across
        score = max(scores) if all(map(math.isfinite, scores)) else math.nan
        if blended is None:
            return Answer(score, None)
        found = blended[:height, :width]
        return Answer(score, lambda: found)

    def _tiles(self, whole: Pixels) -> Iterator[Tile]:
        rows, columns = (
            weights(side, tile, self.overlap) for side, tile in zip(whole.shape[:2], self.size, strict=True)
        )
        return (Tile(top, left, down, across) for top, down in rows for left, across in columns)

    def _detect(self, whole: Pixels, tiles: Sequence[Tile]) -> list[Answer]:
        prepared: list[Any] = [self.scorer.prepare(np.ascontiguousarray(_place(whole, tile))) for tile in tiles]
        return self.scorer.detect(prepared)


def weights(side: int, tile: int, overlap: float) -> list[tuple[int, NDArray[np.float32]]]:
    """The tiles along an axis: the first pixel of each, and the weight (tile,) of each of its pixels.

    Tiles lie as `first_pixels` says. The weight of pixel i is sin²(π (i + 1/2) / tile), divided by the sum over
    all tiles there: so weights sum to 1 at each pixel, change smoothly, and a picture's edge has the weight of its
    middle.
    """
    firsts = first_pixels(side, tile, overlap)
    window = np.sin(np.pi * (np.arange(tile) + 0.5) / tile) ** 2
    total = np.zeros(side)
    for first in firsts:
        total[first : first + tile] += window
    return [(first, (window / total[first : first + tile]).astype(np.float32)) for first in firsts]


def _place(picture: NDArray[Any], tile: Tile) -> NDArray[Any]:
    """A tile's part of a picture or a map, as a view."""
    return picture[tile.top : tile.top + len(tile.down), tile.left : tile.left + len(tile.across)]
