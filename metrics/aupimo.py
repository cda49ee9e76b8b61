"""AUPIMO: the recall of each anomalous image at low false-positive rates, which all images share.

Bertoldo et al., "AUPIMO: Redefining Visual Anomaly Detection Benchmarks with High Speed and Low Tolerance" (BMVC 2024).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlkd.metrics.inputs import MapPairs, Masks, Stack, reject_nan
from dlkd.metrics.regions import mask_of
from dlkd.metrics.undefined import Undefined

Array = np.ndarray[Any, Any]
RATES = (1e-5, 1e-4)
"""The false-positive rates between which the authors integrate."""


@dataclass(frozen=True, eq=False)
class Aupimo:
    """AUPIMO of a set of images.

    Attributes:
        mean: over the anomalous images; NaN with a reason where undefined.
        per_image: of each image (n,), NaN for a normal one, and everywhere if the mean is undefined.
        influences: of each image (n,) on the mean, see `dlkd.metrics.influences`; None if the mean is undefined.
    """

    mean: float
    per_image: Array
    influences: Array | None


def aupimo(maps: Stack, masks: Masks, rates: tuple[float, float] = RATES) -> float:
    """Exact AUPIMO of maps (n, h, w) and masks (n, h, w), the mean over the anomalous images; see `aupimo_per_image`.

    >>> maps, masks = np.zeros((2, 400, 400)), np.zeros((2, 400, 400), bool)
    >>> masks[1, :2, :2], maps[1, :2, :2], maps[0, 0, :2] = True, 1.0, 2.0
    >>> round(aupimo(maps, masks), 4)  # 2 of 160,000 normal pixels lie above all of the defect: a rate of 1.25e-5
    0.9031
    >>> aupimo(maps[:, :200], masks[:, :200])
    Undefined('the normal images have 80,000 pixels in all; a false-positive rate of 1e-05 needs 100,000')
    """
    return aupimo_per_image(maps, masks, rates).mean


def aupimo_per_image(maps: Stack, masks: Masks, rates: tuple[float, float] = RATES) -> Aupimo:
    """AUPIMO of each image of maps (n, h, w) and masks (n, h, w), or of lists of maps of their own sizes.

    The false-positive rate of a threshold is the mean over the normal images, those whose mask is empty, of the share
    of pixels with a score >= threshold. An anomalous image's recall at a rate is the share of its anomalous pixels at
    the lowest threshold that keeps to the rate; AUPIMO is the mean of this recall over the logarithms of the rates from
    `rates[0]` to `rates[1]`. It is exact, without a grid of thresholds. Beside the scores of anomalous pixels, memory
    holds n * `rates[1]` of the normal ones; the maps are read once and not sorted.

    Undefined (NaN with a reason) without an anomalous image, without a normal image, and where the normal images have
    so few pixels that a single one is a higher rate than `rates[0]`. Raises ValueError on NaN scores, shapes that
    differ, masks that are not 0 or 1, and rates that do not rise inside (0, 1].
    """
    split = ((scores[~mask_of(truth)], scores[mask_of(truth)]) for scores, truth in MapPairs(maps, masks))
    return aupimo_of(split, len(maps), rates)  # type: ignore[arg-type]


def aupimo_of(images: Iterable[tuple[Array, Array]], total: int, rates: tuple[float, float]) -> Aupimo:
    """AUPIMO of so many images, each as the scores of its normal and of its anomalous pixels; as `aupimo_per_image`."""
    check_rates(rates)
    recalled: dict[int, Array] = {}
    top: dict[int, Array] = {}
    pixels: dict[int, int] = {}
    for image, (normal, anomalous) in enumerate(images):
        reject_nan(normal)
        reject_nan(anomalous)
        if anomalous.size:
            recalled[image] = anomalous
        else:
            top[image], pixels[image] = _highest(normal, total * rates[1]), normal.size
    per_image = np.full(total, math.nan)
    if (missing := why_missing(len(recalled), len(pixels), sum(pixels.values()), rates)) is not None:
        return Aupimo(missing, per_image, None)
    rate_of = _SharedRate(top, pixels)
    rate = {image: rate_of(scores) for image, scores in recalled.items()}
    for image, of_pixels in rate.items():
        per_image[image] = height(of_pixels, rates).mean()
    mean = float(np.nanmean(per_image))
    influences = np.where(np.isnan(per_image), 0.0, (per_image - mean) / len(recalled))
    lost = _Lost(recalled, rate, rates)
    for image, scores in top.items():
        influences[image] = (lost.mean - lost.up_to(scores).sum() / pixels[image]) / len(top)
    return Aupimo(mean, per_image, influences)


def height(rate: Array, rates: tuple[float, float]) -> Array:
    """The share of the integral, in [0, 1], at which a pixel is recalled whose score has this false-positive rate."""
    low, high = rates
    return np.clip(np.log(high / np.maximum(rate, low)) / math.log(high / low), 0.0, 1.0)


def why_missing(anomalous: int, normal: int, pixels: int, rates: tuple[float, float]) -> Undefined | None:
    """Why AUPIMO is undefined for so many anomalous and normal images, the latter with so many pixels in all."""
    if not anomalous:
        return Undefined("nothing is anomalous" if normal else "there is nothing to score")
    if not normal:
        return Undefined("no image is normal")
    needed = math.ceil(1 / rates[0] - 1e-6)
    if pixels < needed:
        return Undefined(
            f"the normal images have {pixels:,} pixels in all; a false-positive rate of {rates[0]:g} needs {needed:,}"
        )
    return None


def check_rates(rates: tuple[float, float]) -> None:
    """Raise ValueError unless both lie in (0, 1] and rise."""
    if not 0 < rates[0] < rates[1] <= 1:
        raise ValueError(f"rates must rise inside (0, 1], got {rates[0]} and {rates[1]}; 1e-5 and 1e-4 are usual")


def _highest(scores: Array, share: float) -> Array:
    """The highest scores of an image: more than `share` of them, but not all.

    One that is left out lies, by its own image alone, at a higher rate than the highest that counts.
    """
    count = min(scores.size, int(share * scores.size) + 1)
    return np.partition(scores, scores.size - count)[scores.size - count :]


class _SharedRate:
    """The mean over normal images of the share of pixels with a score >= s; too low only where the rate is too high."""

    def __init__(self, top: dict[int, Array], pixels: dict[int, int]) -> None:
        scores = np.concatenate(list(top.values()))
        weights = np.concatenate([np.full(len(top[i]), 1 / (pixels[i] * len(top))) for i in top])
        order = np.argsort(scores)
        self._rising = scores[order]
        self._above = np.r_[np.cumsum(weights[order][::-1])[::-1], 0.0]

    def __call__(self, scores: Array) -> Array:
        rates: Array = self._above[np.searchsorted(self._rising, scores, side="left")]
        return rates


class _Lost:
    """By how much the mean falls with the false-positive rate at each score of an anomalous pixel."""

    def __init__(self, recalled: dict[int, Array], rate: dict[int, Array], rates: tuple[float, float]) -> None:
        scores, rate_of = np.concatenate(list(recalled.values())), np.concatenate(list(rate.values()))
        share = np.concatenate([np.full(each.size, 1 / (each.size * len(recalled))) for each in recalled.values()])
        counts = (rates[0] < rate_of) & (rate_of < rates[1])  # elsewhere the recall does not depend on the rate
        slope = share[counts] / (rate_of[counts] * math.log(rates[1] / rates[0]))
        order = np.argsort(scores[counts])
        self._rising = scores[counts][order]
        self._sums = np.r_[0.0, np.cumsum(slope[order])]
        self.mean = float(slope @ rate_of[counts])

    def up_to(self, scores: Array) -> Array:
        """What a normal pixel of each score costs: the sum over the anomalous pixels whose score is not higher."""
        sums: Array = self._sums[np.searchsorted(self._rising, scores, side="right")]
        return sums
