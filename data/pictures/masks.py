"""Anomalous regions of a mask, mapped from the mask's own size to the network's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_EIGHT_CONNECTED = np.ones((3, 3), dtype=np.int8)


def resize_mask(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.float32]:
    """The regions of `mask` (h, w) at `size` (height, width), as sizes: float32 (height, width).

    Regions are 8-connected at the mask's own size, and remain the same regions at `size`. A pixel belongs to the region
    in which its centre lies. A region without any pixel centre keeps the pixel of which it covers the most, or all such
    pixels if several are covered equally. So no region vanishes or falls apart, and a pixel may belong to several
    regions.

    Each anomalous pixel holds the number of pixels of its region, a normal one 0. A pixel of several regions holds the
    number whose inverse is the sum of theirs: each region's pixels have inverses that sum to 1, which is all that PRO
    asks (`dlkd.metrics.Regions`).
    """
    from scipy.ndimage import find_objects, label  # takes a tenth of a second, which most commands need not wait for

    labelled, count = label(mask, _EIGHT_CONNECTED)
    rows, columns = ((2 * np.arange(n) + 1) * m // (2 * n) for n, m in zip(size, mask.shape, strict=True))
    at_centre = labelled[np.ix_(rows, columns)]
    pixels = np.bincount(at_centre.ravel(), minlength=count + 1)
    sizes = pixels[at_centre].astype(np.float64)
    sizes[at_centre == 0] = 0
    missed = np.flatnonzero(pixels[1:] == 0)
    if missed.size:
        boxes = find_objects(labelled)
        weight = np.divide(1.0, sizes, out=np.zeros(size), where=sizes > 0)
        for region in missed:
            box = boxes[region]
            top, down = _overlap(box[0], mask.shape[0], size[0])
            left, across = _overlap(box[1], mask.shape[1], size[1])
            covered = down @ (labelled[box] == region + 1) @ across.T
            y, x = np.nonzero(covered == covered.max())
            weight[top + y, left + x] += 1 / y.size
        np.divide(1.0, weight, out=sizes, where=weight > 0)
    found: NDArray[np.float32] = sizes.astype(np.float32)
    return found


def small_regions(mask: NDArray[np.bool_], size: tuple[int, int]) -> int:
    """How many 8-connected regions of `mask` (h, w) are smaller than one pixel of `size` (height, width)."""
    from scipy.ndimage import label

    labelled, _ = label(mask, _EIGHT_CONNECTED)
    areas = np.bincount(labelled.ravel())[1:]
    return int((areas * size[0] * size[1] < mask.size).sum())


def _overlap(part: slice, source: int, target: int) -> tuple[int, NDArray[np.float64]]:
    """Of source pixels `part` with the target pixels that they touch: the first of those, and lengths (target, part).

    Lengths are in 1 / (source target) of the axis: whole numbers, so that equal ones compare equal.
    """
    first, last = part.start * target // source, -(-part.stop * target // source)
    i, j = np.arange(first, last)[:, None], np.arange(part.start, part.stop)
    length = np.minimum((j + 1) * target, (i + 1) * source) - np.maximum(j * target, i * source)
    return first, np.maximum(length, 0).astype(np.float64)
