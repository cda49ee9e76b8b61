"""Per-region overlap (PRO): the curve over the false-positive rate, and the area under it up to a limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dlkd.metrics.counts import Counts, count
from dlkd.metrics.inputs import MapPairs, Masks, Stack
from dlkd.metrics.roc import missing_class

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ProCurve:
    """Corners of the PRO curve: `fpr` (m,) and `pro` (m,) of the pixels with a score >= `threshold` (m,).

    The curve goes from (0, 0) to (1, 1), in straight lines from corner to corner. If PRO is undefined, there are no
    corners.
    """

    fpr: Array
    pro: Array
    threshold: Array


def pro(maps: Stack, masks: Masks, fpr_limit: float = 0.3) -> float:
    """Exact area under the PRO curve of maps (n, h, w) and masks (n, h, w) up to `fpr_limit`, divided by it.

    Regions are 8-connected within an image, or given as `Regions` in place of a mask. Regions of any size have the same
    weight; the false-positive rate is over the normal pixels of all images. As the MVTec AD evaluation code
    (Bergmann et al., IJCV 2021): one point per distinct score, from (0, 0), the trapezoidal rule, a straight line
    to the limit. Lists of maps of their own sizes are taken too. Undefined (NaN with a reason) unless there are
    normal and anomalous pixels. Raises ValueError on NaN scores, shapes that differ, masks that are not 0 or 1, and
    a limit outside (0, 1].

    >>> mask = np.zeros((1, 8, 8), dtype=bool)
    >>> mask[0, 2:5, 2:5] = True
    >>> pro(mask.astype(float), mask), round(pro(np.zeros((1, 8, 8)), mask), 6)  # a perfect map, and a flat one
    (1.0, 0.15)
    """
    return area_under_pro(count(MapPairs(maps, masks), regions=True), fpr_limit)


def pro_curve(maps: Stack, masks: Masks) -> ProCurve:
    """Exact PRO curve of maps (n, h, w) and masks (n, h, w); takes and raises what `pro` does."""
    return curve_of(count(MapPairs(maps, masks), regions=True))


def curve_of(counts: Counts) -> ProCurve:
    """The curve's corners: just above a threshold only the normal pixels have changed, at it both have."""
    if missing_class(counts) is not None:
        return ProCurve(fpr=np.zeros(0), pro=np.zeros(0), threshold=np.zeros(0))
    level = np.r_[0.0, counts.overlap]
    at = counts.threshold
    just_above = np.nextafter(at, np.array(np.inf, at.dtype))
    fpr = np.r_[0.0, _interleave(counts.false_above, counts.false) / counts.n_normal, 1.0]
    overlap = np.r_[0.0, _interleave(level[:-1], level[1:]), 1.0]
    threshold = np.r_[np.inf, _interleave(just_above, at), -np.inf]
    corner = np.r_[True, (np.diff(fpr) != 0) | (np.diff(overlap) != 0)]
    return ProCurve(fpr=fpr[corner], pro=overlap[corner], threshold=threshold[corner])


def area_under_pro(counts: Counts, fpr_limit: float) -> float:
    """Area under the PRO curve up to `fpr_limit`, divided by it. Raises ValueError on one outside (0, 1]."""
    check_limit(fpr_limit)
    if (missing := missing_class(counts)) is not None:
        return missing
    gained = np.diff(counts.overlap, prepend=0.0)
    # What a threshold gains counts from where its step starts, but for the part above the diagonal.
    lost = np.minimum(counts.false_above / counts.n_normal, fpr_limit)
    lost += above_diagonal(counts, fpr_limit)
    return max(0.0, 1.0 - float(gained @ lost) / fpr_limit)  # rounding may leave 0 a hair below


def above_diagonal(counts: Counts, fpr_limit: float) -> Array:
    """Area (k,) above the diagonal of each threshold's step, up to `fpr_limit`, for a step of height 1."""
    start = counts.false_above / counts.n_normal
    width = counts.false / counts.n_normal
    width -= start
    np.subtract(fpr_limit, start, out=start)
    within = np.clip(start, 0.0, width, out=start)
    # Up to a limit at share s of its width, the diagonal has s/2 of the step's height below it on average.
    share = np.divide(within, width, out=width, where=width > 0)
    share *= -0.5
    share += 1.0
    return np.multiply(within, share, out=within)


def check_limit(fpr_limit: float) -> None:
    """Raise ValueError unless `fpr_limit` lies in (0, 1]."""
    if not 0 < fpr_limit <= 1:
        raise ValueError(f"fpr_limit must lie in (0, 1], got {fpr_limit}; 0.3 is usual")


def _interleave(first: Array, second: Array) -> Array:
    return np.stack([first, second], axis=1).ravel()
