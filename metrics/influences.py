"""The influence of each image on AUROC and PRO: by how much the metric moves with the image's weight.

With these values a report says how much other test images would change a metric, without scoring any. Image k with
weight 1 + e among images of weight 1 moves the metric by e times its influence, to first order (the infinitesimal
jackknife): DeLong et al. (1988) for images, Obuchowski (1997) for the pixels of images. The influences of a metric sum
to zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from dlkd.metrics.counts import Counts, count
from dlkd.metrics.inputs import MapPairs, Masks, Stack, score_pairs
from dlkd.metrics.region_overlap import above_diagonal, area_under_pro
from dlkd.metrics.regions import mask_of, region_sizes
from dlkd.metrics.roc import auroc, missing_class

Array = np.ndarray[Any, Any]
_LEVELS = 4096  # thresholds at which the normal pixels of an image are counted


@dataclass(frozen=True)
class _Shares:
    """What one score adds to the influence of its image, by its place among the k rising thresholds.

    `anomalous` (k,): of an anomalous score, which is a threshold itself; `tied` (k,): of a normal score at a threshold;
    `between` (k + 1,): of a normal score above so many thresholds.
    """

    anomalous: Array
    tied: Array
    between: Array

    def thinned(self, kept: Array) -> tuple[Array, Array, Array]:
        """All three; normal scores by the thresholds `kept` (b,) alone, between two of them the mean of both ends."""
        first, last = np.r_[0, kept + 1], np.r_[kept, self.between.size - 1]
        return self.anomalous, self.tied[kept], (self.between[first] + self.between[last]) / 2


def image_influences(scores: ArrayLike | Tensor, labels: ArrayLike | Tensor) -> Array | None:
    """Influence (n,) of each image on the image AUROC of scores (n,) and labels (n,).

    None where the AUROC is undefined. Raises ValueError as `image_auroc` does.

    >>> image_influences([0.1, 0.4, 0.3, 0.8], [0, 0, 1, 1])
    array([ 0.125, -0.125, -0.125,  0.125])
    """
    [(values, truth)] = pairs = score_pairs(scores, labels)
    counts = count(pairs, regions=False)
    if missing_class(counts) is not None:
        return None
    rising = counts.threshold[::-1]
    shares = _auroc_shares(counts)
    place = np.searchsorted(rising, values)
    equal = rising[np.minimum(place, rising.size - 1)] == values
    normal = np.where(equal, shares.tied[np.minimum(place, rising.size - 1)], shares.between[place])
    return np.where(truth, shares.anomalous[np.minimum(place, rising.size - 1)], normal)


def pixel_influences(maps: Stack, masks: Masks, counts: Counts, *fpr_limits: float) -> tuple[Array, ...] | None:
    """Influences (n,) of each image on the pixel AUROC, and (n,) on PRO up to each of `fpr_limits`, by default 0.3.

    `counts` are those of the same maps (n, h, w) and masks (n, h, w), as `pixel_metrics` gives them. The maps are read
    once more, one at a time, so that memory grows as it does there. Normal pixels go by 4,096 of the thresholds where
    there are more: one between two of them counts as the mean of both. None where the metrics are undefined.
    """
    if missing_class(counts) is not None:
        return None
    rising = np.ascontiguousarray(counts.threshold[::-1])
    kept = np.unique(np.linspace(0, rising.size - 1, min(rising.size, _LEVELS)).astype(int))
    edges = rising[kept]
    # One after another: each has three numbers per anomalous pixel, of which one stays.
    limits = fpr_limits or (0.3,)
    parts = [_auroc_shares(counts).thinned(kept), *(_pro_shares(counts, limit).thinned(kept) for limit in limits)]
    anomalous, *thinned = zip(*parts, strict=True)
    tied, between = map(np.stack, thinned)
    per_region = [area_under_pro(counts, limit) / counts.n_regions for limit in limits]
    found = np.zeros((len(parts), len(maps)))  # type: ignore[arg-type]
    # BLAS may sum three rows in another order than two: further limits are apart, so that they change no bit.
    blocks = [slice(0, 2), *(slice(i, i + 1) for i in range(2, len(parts)))]
    for image, (scores, truth) in enumerate(MapPairs(maps, masks)):
        mask = mask_of(truth)
        normal = np.sort(scores[~mask])
        below, up_to = (np.searchsorted(normal, edges, side) for side in ("left", "right"))
        at, beside = up_to - below, np.r_[below, normal.size] - np.r_[0, up_to]
        for block in blocks:
            found[block, image] = tied[block] @ at + between[block] @ beside
        if mask.any():
            place = np.searchsorted(rising, scores[mask])
            sizes, n_regions = region_sizes(truth)
            found[0, image] += anomalous[0][place].sum()
            for row, share, mean in zip(found[1:], anomalous[1:], per_region, strict=True):
                row[image] += (share[place] / sizes).sum() - mean * n_regions
    return tuple(found)


def _auroc_shares(counts: Counts) -> _Shares:
    """An anomalous score: the share of normal ones below it, ties half, less the AUROC; a normal one likewise."""
    area = auroc(counts)
    beaten = 1.0 - (counts.false + counts.false_above)[::-1] / (2 * counts.n_normal)
    above = np.r_[counts.true[::-1], 0] / counts.n_anomalous
    return _Shares(
        anomalous=(beaten - area) / counts.n_anomalous,
        tied=((above[:-1] + above[1:]) / 2 - area) / counts.n_normal,
        between=(above - area) / counts.n_normal,
    )


def _pro_shares(counts: Counts, limit: float) -> _Shares:
    """Of a pixel of a region, times the region's size, and of a normal pixel.

    A normal pixel moves the false-positive rate at every threshold up to its score. PRO loses by that at the thresholds
    within the limit; at the one whose step crosses the limit it loses in part.
    """
    start = counts.false_above[::-1] / counts.n_normal
    width = counts.false[::-1] / counts.n_normal - start
    gained = np.diff(counts.overlap, prepend=0.0)[::-1]
    within = np.clip(limit - start, 0.0, None)
    inside = np.minimum(np.divide(within, width, out=np.sign(within), where=width > 0), 1.0)
    passed, at = gained * inside / limit, gained * inside**2 / (2 * limit)
    below = np.r_[0.0, np.cumsum(passed)]
    mean = float(passed @ start + at @ width)
    lost = np.minimum(start, limit) + above_diagonal(counts, limit)[::-1]
    return _Shares(
        anomalous=(1.0 - lost / limit) / counts.n_regions,
        tied=(mean - below[:-1] - at) / counts.n_normal,
        between=(mean - below) / counts.n_normal,
    )
