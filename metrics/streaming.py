"""Pixel metrics of data that does not fit in memory: a histogram over all floats, with bounds of its error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlkd.metrics.aupimo import RATES, height, why_missing
from dlkd.metrics.counts import Counts
from dlkd.metrics.inputs import MapPairs, Masks, Stack, reject_nan
from dlkd.metrics.pixels import STRICT, PixelMetrics, all_of
from dlkd.metrics.region_overlap import above_diagonal, check_limit
from dlkd.metrics.regions import Regions, mask_of, region_sizes
from dlkd.metrics.roc import missing_class

Array = np.ndarray[Any, Any]
_SIGN = np.uint32(1 << 31)
STATES = ("normal", "anomalous", "overlap", "shared", "recalled")
"""The arrays of a histogram, one number per bin."""
NUMBERS = ("n_regions", "normal_images", "anomalous_images", "shared_pixels")
"""Its other counts."""


@dataclass(frozen=True)
class ErrorBound:
    """The most by which each metric of a histogram can differ from the exact one, for the data it holds.

    `f1_max` and `aupimo` are never too large, the others may err to either side. NaN where the metric is undefined.
    """

    auroc: float
    average_precision: float
    f1_max: float
    pro: float
    pro_05: float
    aupimo: float


class PixelHistogram:
    """Pixel metrics in 40 * 2**bits bytes (42 MB), however many maps are added.

    A bin holds the scores that share the leading `bits` bits of their float32: sign, exponent and `bits` - 9
    bits of the fraction. So scores further apart than 2**(9 - bits) of their size (0.05 %) are told apart,
    and no range has to be set first. Scores in one bin are taken as a tie; `error_bound` says what that can
    have changed. Raises ValueError on `bits` outside 9..32.
    """

    def __init__(self, bits: int = 20) -> None:
        if not 9 <= bits <= 32:
            raise ValueError(f"bits must lie in 9..32 (sign and exponent are 9), got {bits}; 20 is usual")
        self.bits = bits
        self.normal = np.zeros(2**bits, np.int64)
        self.anomalous = np.zeros(2**bits, np.int64)
        self.overlap = np.zeros(2**bits, np.float64)
        self.shared = np.zeros(2**bits, np.float64)  # of each normal image the share of its pixels
        self.recalled = np.zeros(2**bits, np.float64)  # of each anomalous image the share of its anomalous pixels
        self.n_regions = 0
        self.normal_images = 0
        self.anomalous_images = 0
        self.shared_pixels = 0

    def update(self, maps: Stack, masks: Masks) -> None:
        """Add maps (n, h, w) and masks (n, h, w), or lists of both. Raises ValueError as `pro` does."""
        self.add(MapPairs(maps, masks))

    def add(self, pairs: Iterable[tuple[Array, Array | Regions]]) -> None:
        """Add pairs of a map (h, w) and its mask (h, w), already checked. Raises ValueError on NaN scores."""
        for scores, truth in pairs:
            bins = bin_of(scores, self.bits)
            mask = mask_of(truth)
            anomalous = bins[mask]
            sizes, n_regions = region_sizes(truth)
            np.add.at(self.normal, bins[~mask], 1)
            np.add.at(self.anomalous, anomalous, 1)
            np.add.at(self.overlap, anomalous, np.divide(1.0, sizes, dtype=np.float64))
            self.n_regions += n_regions
            if anomalous.size:
                np.add.at(self.recalled, anomalous, 1 / anomalous.size)
                self.anomalous_images += 1
            else:
                np.add.at(self.shared, bins, 1 / max(1, bins.size))
                self.normal_images += 1
                self.shared_pixels += bins.size

    def merge(self, other: PixelHistogram) -> None:
        """Add what another histogram holds. Raises ValueError where it has another number of bits."""
        if self.bits != other.bits:
            raise ValueError(f"histograms of {self.bits} and {other.bits} bits have no bins in common")
        for name in (*STATES, *NUMBERS):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def metrics(self, fpr_limit: float = 0.3) -> PixelMetrics:
        """Every pixel metric, within `error_bound` of the exact one."""
        return all_of(self.counts(), fpr_limit, self.aupimo())

    def error_bound(self, fpr_limit: float = 0.3, rates: tuple[float, float] = RATES) -> ErrorBound:
        """The largest error that comes from counting each bin as a tie, `rates` being those of AUPIMO; O(2**bits)."""
        return error_bound(self.counts(), fpr_limit, self._recall_between(rates)[1])

    def aupimo(self, rates: tuple[float, float] = RATES) -> float:
        """AUPIMO, with all normal pixels of a bin above the anomalous ones; never too large."""
        return self._recall_between(rates)[0]

    def _recall_between(self, rates: tuple[float, float]) -> tuple[float, float]:
        """AUPIMO; and by how much larger it is with all normal pixels of a bin below the anomalous ones."""
        missing = why_missing(self.anomalous_images, self.normal_images, self.shared_pixels, rates)
        if missing is not None:
            return missing, float("nan")
        used = np.flatnonzero(self.anomalous)
        rate = np.cumsum(self.shared[::-1])[::-1] / self.normal_images
        share = self.recalled[used] / self.anomalous_images
        least = float(share @ height(rate[used], rates))
        return least, float(share @ height(np.r_[rate, 0.0][used + 1], rates)) - least

    def counts(self) -> Counts:
        """Counts at the lower edges of the bins that hold anomalous pixels."""
        used = np.flatnonzero(self.anomalous)[::-1]
        false = np.cumsum(self.normal[::-1])[::-1]
        overlap = np.cumsum(self.overlap[used])
        return Counts(
            threshold=lower_edge(used, self.bits),
            true=np.cumsum(self.anomalous[used]),
            false=false[used],
            false_above=false[used] - self.normal[used],
            overlap=overlap / overlap[-1:],
            n_anomalous=int(self.anomalous.sum()),
            n_normal=int(self.normal.sum()),
            n_regions=self.n_regions,
        )


def error_bound(counts: Counts, fpr_limit: float, aupimo: float) -> ErrorBound:
    """Bounds for counts whose thresholds are bins: the pixels of a bin may come in any order.

    Each metric is compared with the two extreme orders, all anomalous or all normal pixels first: a curve
    stays within the rectangle of each bin's step, of which the estimate takes the diagonal. AUPIMO's bound is given.
    """
    check_limit(fpr_limit)
    if missing_class(counts) is not None:
        return ErrorBound(*[float("nan")] * 6)
    new, true, false, false_above = counts.new, counts.true, counts.false, counts.false_above
    n_anomalous = counts.n_anomalous
    gained = np.diff(counts.overlap, prepend=0.0)

    # Worst precision at a bin's i-th anomalous pixel is concave in i: its mean is above the chord's middle.
    first = true - new + 1
    worst = (first / (first + false) + true / (true + false)) / 2
    best = true / (true + false_above)
    taken = true / (true + false)
    f1 = (2 * true / (true + false + n_anomalous)).max()
    return ErrorBound(
        auroc=int(new @ (false - false_above)) / (2 * n_anomalous * counts.n_normal),
        average_precision=float(max(new @ (best - taken), new @ (taken - worst))) / n_anomalous,
        f1_max=float((2 * true / (true + false_above + n_anomalous)).max() - f1),
        pro=float(gained @ above_diagonal(counts, fpr_limit)) / fpr_limit,
        pro_05=float(gained @ above_diagonal(counts, STRICT)) / STRICT,
        aupimo=aupimo,
    )


def bin_of(scores: Array, bits: int) -> Array:
    """The bin of each score: leading bits of its float32, in an order that rises with the score.

    Raises ValueError where a score is NaN.
    """
    reject_nan(scores)
    with np.errstate(over="ignore"):  # beyond float32 is the bin of infinity
        pattern = (scores.astype(np.float32) + np.float32(0)).view(np.uint32)  # + 0 makes -0 and 0 one
    # Negative floats fall as their bits rise: flip all of them, and put positive ones above by the sign bit.
    rising = np.where(pattern & _SIGN, ~pattern, pattern | _SIGN)
    return rising >> np.uint32(32 - bits)


def lower_edge(bins: Array, bits: int) -> Array:
    """The smallest float32 in each bin."""
    rising = bins.astype(np.uint32) << np.uint32(32 - bits)
    edge = np.where(rising & _SIGN, rising ^ _SIGN, ~rising).astype(np.uint32).view(np.float32)
    return np.where(np.isnan(edge), np.float32(-np.inf), edge)  # the patterns below -inf are NaN
