"""F1 of the segmentation at one threshold, which was chosen before, without test images (SegF1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlkd.metrics.inputs import MapPairs, Masks, Stack, reject_nan
from dlkd.metrics.regions import mask_of
from dlkd.metrics.undefined import Undefined

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Segmented:
    """Pixels of n images at one threshold.

    Attributes:
        true: anomalous pixels above the threshold, of each image (n,).
        called: all pixels above the threshold (n,).
        anomalous: all anomalous pixels (n,).
    """

    true: Array
    called: Array
    anomalous: Array

    @property
    def f1(self) -> float:
        """F1 of all pixels together; undefined (NaN with a reason) where nothing is anomalous."""
        return f1_of(int(self.true.sum()), int(self.called.sum()), int(self.anomalous.sum()))

    @property
    def influences(self) -> Array | None:
        """Of each image (n,) on the F1, see `dlkd.metrics.influences`; None where the F1 is undefined."""
        if math.isnan(f1 := self.f1):
            return None
        weight = self.called + self.anomalous
        found: Array = (2 * self.true - f1 * weight) / weight.sum()
        return found


def seg_f1(maps: Stack, masks: Masks, threshold: float) -> float:
    """F1 of the pixels above `threshold` of maps (n, h, w) against masks (n, h, w), or of lists of maps.

    MVTec AD 2's SegF1 is this F1, with a threshold that no test image has influenced. Takes and raises what `f1_max`
    does.

    >>> maps, masks = np.array([[[0.2, 0.9, 0.8]]]), np.array([[[0, 1, 0]]])
    >>> round(seg_f1(maps, masks, 0.5), 4), seg_f1(maps, masks, 0.9)  # a score at the threshold is not above it
    (0.6667, 0.0)
    """
    return segmented(maps, masks, threshold).f1


def segmented(maps: Stack, masks: Masks, threshold: float) -> Segmented:
    """The pixels above `threshold`, image by image, in one pass. Raises ValueError as `seg_f1` does."""
    if math.isnan(threshold):
        raise ValueError("the threshold is NaN; no score lies above it")
    counts = [_count(scores, mask_of(truth), threshold) for scores, truth in MapPairs(maps, masks)]
    return Segmented(*np.array(counts, np.int64).reshape(-1, 3).T)


def f1_of(true: int, called: int, anomalous: int) -> float:
    """F1 from numbers of pixels; undefined (NaN with a reason) where nothing is anomalous."""
    return 2 * true / (called + anomalous) if anomalous else Undefined("nothing is anomalous")


def _count(scores: Array, mask: Array, threshold: float) -> tuple[int, int, int]:
    reject_nan(scores)
    above = scores > threshold
    return int((above & mask).sum()), int(above.sum()), int(mask.sum())
