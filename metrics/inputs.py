"""Scores and labels of any array type as checked pairs of numpy arrays, one image at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from dlkd.metrics.regions import Regions

Array = np.ndarray[Any, Any]
Stack = ArrayLike | Tensor | Sequence[ArrayLike] | Sequence[Tensor]
"""One array whose first axis counts images, or a sequence of arrays of different sizes; it is read several times."""
Masks = Stack | Sequence[Regions]
"""Masks of either kind; or `Regions`, image by image."""


def float_array(values: ArrayLike | Tensor) -> Array:
    """As numpy float32 or float64, without a copy where it is one already; every value is kept exactly."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = (values if values.dtype.itemsize > 2 else values.float()).numpy()
    array = np.asarray(values)
    if array.dtype in (np.float32, np.float64):
        return array
    return array.astype(np.float32 if array.dtype == np.float16 else np.float64)


def bool_array(values: ArrayLike | Tensor) -> Array:
    """As numpy bool. Raises ValueError where a value is neither 0 nor 1."""
    array = np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    if array.dtype == np.bool_:
        return array
    binary: Array = array == 1
    others = array[(array != 0) & ~binary]
    if others.size:
        raise ValueError(f"labels and masks hold 0 and 1 only, got {others[0]}; binarise first, as in mask > 0")
    return binary


def score_pairs(scores: ArrayLike | Tensor, labels: ArrayLike | Tensor) -> list[tuple[Array, Array]]:
    """Scores (n,) and labels (n,) as one pair. Raises ValueError on other shapes."""
    pair = float_array(scores), bool_array(labels)
    if pair[0].ndim != 1 or pair[0].shape != pair[1].shape:
        raise ValueError(f"scores and labels must both be (n,), got {pair[0].shape} and {pair[1].shape}")
    return [pair]


def pairs_of(
    scores: Stack | ArrayLike | Tensor, labels: Masks | ArrayLike | Tensor
) -> Iterable[tuple[Array, Array | Regions]]:
    """`score_pairs` of scores (n,), `MapPairs` of maps. Raises ValueError as they do."""
    one_image_each = len(scores) == 0 or np.ndim(scores[0]) == 0  # type: ignore[arg-type, index]
    return score_pairs(scores, labels) if one_image_each else MapPairs(scores, labels)  # type: ignore[arg-type]


def reject_nan(scores: Array) -> None:
    """Raise ValueError where a score is NaN."""
    if np.isnan(scores).any():
        raise ValueError("a score is NaN; metrics rank scores, and NaN has no rank")


class MapPairs:
    """Maps (n, h, w) and masks (n, h, w), or sequences of n (h, w) of their own sizes, pair by pair.

    A mask may be `Regions`. Nothing is copied: iterating again reads the maps again. Raises ValueError where numbers
    or shapes differ.
    """

    def __init__(self, maps: Stack, masks: Masks) -> None:
        if len(maps) != len(masks):  # type: ignore[arg-type]
            raise ValueError(f"one mask per map is needed, got {len(maps)} maps and {len(masks)} masks")  # type: ignore[arg-type]
        self._maps, self._masks = maps, masks

    def __iter__(self) -> Iterator[tuple[Array, Array | Regions]]:
        for i, (map_, mask) in enumerate(zip(self._maps, self._masks, strict=True)):  # type: ignore[arg-type, misc]
            scores = float_array(map_)
            truth = mask if isinstance(mask, Regions) else bool_array(mask)
            if scores.ndim != 2 or scores.shape != truth.shape:
                shapes = f"{scores.shape} and {truth.shape}"
                raise ValueError(f"map {i} and its mask must both be (h, w), got {shapes}; drop the channel axis")
            yield scores, truth
