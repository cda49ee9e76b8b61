"""All pixel metrics at once, from one sort of the pixels."""

from __future__ import annotations

from dataclasses import dataclass

from dlkd.metrics.aupimo import Aupimo, aupimo_per_image
from dlkd.metrics.counts import Counts, count
from dlkd.metrics.inputs import MapPairs, Masks, Stack
from dlkd.metrics.precision_recall import area_under_precision, best_f1
from dlkd.metrics.region_overlap import ProCurve, area_under_pro, curve_of
from dlkd.metrics.roc import auroc

STRICT = 0.05
"""Limit of PRO's false-positive rate in MVTec AD 2."""


@dataclass(frozen=True, eq=False)
class PixelMetrics:
    """Pixel AUROC, average precision, largest F1, PRO, PRO up to `STRICT` and AUPIMO; and what they come from.

    `images` has AUPIMO of each image; None from a histogram, which does not keep images apart.
    """

    auroc: float
    average_precision: float
    f1_max: float
    pro: float
    pro_05: float
    aupimo: float
    counts: Counts
    images: Aupimo | None = None

    @property
    def pro_curve(self) -> ProCurve:
        """PRO's curve, made on demand: it is larger than the rest."""
        return curve_of(self.counts)


def pixel_metrics(maps: Stack, masks: Masks, fpr_limit: float = 0.3) -> PixelMetrics:
    """Every exact pixel metric of maps (n, h, w) and masks (n, h, w), or of lists of maps of their own sizes.

    Time O(P log P) in the P pixels. Beside the inputs, memory grows with the anomalous pixels only (about 100
    bytes each), so maps may be memory-mapped or a sequence that reads from disk; it is read three times. Undefined
    metrics are NaN with a reason. Raises ValueError on NaN scores, shapes that differ, masks that are not 0
    or 1, and a limit outside (0, 1].
    """
    counts = count(MapPairs(maps, masks), regions=True)
    images = aupimo_per_image(maps, masks)
    return all_of(counts, fpr_limit, images.mean, images)


def all_of(counts: Counts, fpr_limit: float, aupimo: float, images: Aupimo | None = None) -> PixelMetrics:
    """Every pixel metric of `counts`; AUPIMO, whose normal pixels are of normal images alone, is given."""
    return PixelMetrics(
        auroc=auroc(counts),
        average_precision=area_under_precision(counts),
        f1_max=best_f1(counts),
        pro=area_under_pro(counts, fpr_limit),
        pro_05=area_under_pro(counts, STRICT),
        aupimo=aupimo,
        counts=counts,
        images=images,
    )
