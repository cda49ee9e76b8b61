"""Where the tiles of a large picture lie: the same for training and for predictions."""

from __future__ import annotations

import math
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)


def first_pixels(side: int, tile: int, overlap: float) -> list[int]:
    """The first pixel of each tile along an axis: evenly spaced from end to end, as few tiles as the overlap allows.

    Args:
        side: pixels of the axis; at least those of a tile, see `enlarged`.
        tile: pixels of a tile.
        overlap: share of a tile that its neighbour covers too, at least.

    >>> first_pixels(100, 40, 0.0), first_pixels(40, 40, 0.5)
    ([0, 30, 60], [0])
    """
    steps = math.ceil((side - tile) / max(1, round(tile * (1 - overlap)))) if side > tile else 0
    return [round(i * (side - tile) / steps) if steps else 0 for i in range(steps + 1)]


def enlarged(picture: NDArray[T], tile: tuple[int, int]) -> NDArray[T]:
    """A picture or mask (h, w, ...) whose sides are those of a tile at least, continued by its mirror image, so that
    the scale stays."""
    more = [(0, max(0, wanted - side)) for wanted, side in zip(tile, picture.shape[:2], strict=True)]
    if not any(after for _, after in more):
        return picture
    return np.pad(picture, (*more, *[(0, 0)] * (picture.ndim - 2)), mode="symmetric")
