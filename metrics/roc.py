"""Area under the receiver operating characteristic, of images and of pixels."""

from __future__ import annotations

from numpy.typing import ArrayLike
from torch import Tensor

from dlkd.metrics.counts import Counts, count
from dlkd.metrics.inputs import MapPairs, Masks, Stack, score_pairs
from dlkd.metrics.undefined import Undefined


def image_auroc(scores: ArrayLike | Tensor, labels: ArrayLike | Tensor) -> float:
    """Exact image AUROC of scores (n,) against labels (n,), 1 = anomalous; a tie counts one half.

    Undefined (NaN with a reason) unless both classes are present. Raises ValueError on NaN scores, other
    shapes and labels that are not 0 or 1.

    >>> image_auroc([0.1, 0.4, 0.3, 0.8], [0, 0, 1, 1])  # 3 of the 4 pairs are in order
    0.75
    >>> image_auroc([0.1, 0.4], [0, 0])
    Undefined('nothing is anomalous')
    """
    return auroc(count(score_pairs(scores, labels), regions=False))


def pixel_auroc(maps: Stack, masks: Masks) -> float:
    """Exact pixel AUROC of maps (n, h, w) against masks (n, h, w), or of lists of maps of their own sizes.

    Undefined (NaN with a reason) unless there are normal and anomalous pixels. Raises ValueError on NaN
    scores, shapes that differ and masks that are not 0 or 1.
    """
    return auroc(count(MapPairs(maps, masks), regions=False))


def auroc(counts: Counts) -> float:
    """AUROC: the chance that an anomalous score exceeds a normal one, a tie counting one half."""
    if (missing := missing_class(counts)) is not None:
        return missing
    beaten_by = counts.false + counts.false_above  # twice, so that halves stay integers
    pairs = counts.n_anomalous * counts.n_normal
    return 1.0 - int(counts.new @ beaten_by) / (2 * pairs)


def missing_class(counts: Counts) -> Undefined | None:
    """Why a metric that compares anomalous with normal scores is undefined; None where it is defined."""
    if not counts.n_anomalous and not counts.n_normal:
        return Undefined("there is nothing to score")
    if not counts.n_anomalous:
        return Undefined("nothing is anomalous")
    if not counts.n_normal:
        return Undefined("nothing is normal")
    return None
