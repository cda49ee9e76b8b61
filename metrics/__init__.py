"""Exact and streaming metrics of anomaly detection and localisation.

Every function returns a float; a metric that is undefined for its data is `Undefined`: NaN with a `reason`.
`dlkd.metrics.modules` has the metrics as torchmetrics.
"""

from dlkd.metrics.aupimo import Aupimo, aupimo, aupimo_per_image
from dlkd.metrics.influences import image_influences, pixel_influences
from dlkd.metrics.pixels import PixelMetrics, pixel_metrics
from dlkd.metrics.precision_recall import average_precision, f1_max
from dlkd.metrics.region_overlap import ProCurve, pro, pro_curve
from dlkd.metrics.regions import Regions
from dlkd.metrics.roc import image_auroc, pixel_auroc
from dlkd.metrics.seg_f1 import Segmented, seg_f1, segmented
from dlkd.metrics.streaming import ErrorBound, PixelHistogram
from dlkd.metrics.undefined import Undefined, why_undefined

__all__ = [
    "Aupimo",
    "ErrorBound",
    "PixelHistogram",
    "PixelMetrics",
    "ProCurve",
    "Regions",
    "Segmented",
    "Undefined",
    "aupimo",
    "aupimo_per_image",
    "average_precision",
    "f1_max",
    "image_auroc",
    "image_influences",
    "pixel_auroc",
    "pixel_influences",
    "pixel_metrics",
    "pro",
    "pro_curve",
    "seg_f1",
    "segmented",
    "why_undefined",
]
