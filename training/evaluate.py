"""Scores, anomaly maps and metrics of a model on a category's test images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dlkd.data import native_mask
from dlkd.metrics import (
    Regions,
    Undefined,
    average_precision,
    f1_max,
    image_auroc,
    image_influences,
    pixel_influences,
    pixel_metrics,
    segmented,
    why_undefined,
)
from dlkd.metrics.inputs import Masks, Stack
from dlkd.metrics.pixels import STRICT
from dlkd.models.detector import Detector
from dlkd.training.data_module import CategoryData
from dlkd.training.device import exact_float32
from dlkd.training.step_bar import progress
from dlkd.training.trials.trial_result import METRICS, Alarm


@dataclass(frozen=True)
class Evaluation:
    """The scores, maps and metrics of a model on a category's test images.

    Attributes:
        scores: image scores (n,).
        labels: 0 normal, 1 anomalous (n,).
        maps: anomaly maps (n, h, w) at the training's image size, None from a model that gives none.
        masks: ground truth (n, h, w), None where the category has none; all false for an anomalous image without a
            mask, which pixel metrics leave out.
        metrics: value of each of `METRICS`; NaN where undefined.
        undefined: why a metric has no value, by metric.
        influences: of each test image (n,) on those of `INFLUENTIAL` that are defined; NaN for an image that the metric
            leaves out.
        seconds: time of the forward passes alone.
    """

    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    maps: NDArray[np.float32] | None
    masks: NDArray[np.bool_] | None
    metrics: dict[str, float] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)
    influences: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    seconds: float = 0.0


def evaluate(model: Detector, data: CategoryData, threshold: float | None = None, *, bar: bool = False) -> Evaluation:
    """Run the model over the test images, in eval mode and without gradients, and score it; `bar` shows how far.

    SegF1 is of the pixels above `threshold`, the alarm's; undefined without one.
    """
    model.eval()
    if not data.category.test:
        height, width = data.test_set.image_size
        nothing = np.empty(0, np.float32)
        none = Evaluation(nothing, nothing.astype(np.int64), np.empty((0, height, width), np.float32), None)
        return replace(
            none, metrics=dict.fromkeys(METRICS, math.nan), undefined=dict.fromkeys(METRICS, "there are no test images")
        )
    maps, scores, labels, masks = [], [], [], []
    seconds = 0.0
    with torch.inference_mode(), exact_float32():
        for batch in progress(data.test_dataloader(), "scoring test images", shown=bar):
            start = perf_counter()
            detected = model.detect(batch["image"].to(model.device))
            scores.append(detected.scores.float().cpu().numpy())
            if detected.maps is not None:
                maps.append(at_size(detected.maps, data.test_set.image_size).float().cpu().numpy())
            seconds += perf_counter() - start
            labels.append(batch["label"].numpy())
            if "mask" in batch:
                masks.append(batch["mask"].numpy())
    found = Evaluation(
        np.concatenate(scores),
        np.concatenate(labels),
        np.concatenate(maps) if maps else None,
        np.concatenate(masks) if masks else None,
        seconds=seconds,
    )
    if found.maps is None or found.masks is None:
        return score(found, found.maps, None, [])
    counted = data.category.for_pixels
    whole = len(counted) == len(found.maps)  # a copy of all maps is spared then
    maps_counted = found.maps if whole else found.maps[counted]
    if data.config.score_at == "native":
        native = [native_mask(data.category.test[i]) for i in counted]
        sizes = [mask.shape for mask in native]
        return score(found, _Resized(maps_counted, sizes), native, counted, data.config.pro_limit, threshold)
    regions = [Regions(data.test_set.region_sizes(i)) for i in counted]
    return score(found, maps_counted, regions, counted, data.config.pro_limit, threshold)


def alarm(found: Evaluation, threshold: float) -> Alarm:
    """How good the alarm at `threshold` is on what was evaluated."""
    return Alarm.at(threshold, found.scores, found.labels)


def at_size(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Maps (b, h', w') at another size (h, w), bilinear; as they are where that is their own."""
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps.unsqueeze(1), size, mode="bilinear").squeeze(1)


def score(
    found: Evaluation,
    maps: Stack | None,
    masks: Masks | None,
    counted: Sequence[int],
    pro_limit: float = 0.3,
    threshold: float | None = None,
) -> Evaluation:
    """`found` with its metrics and influences; the pixel metrics are those of `maps` and `masks`, of any sizes.

    `counted` says which test images these are; see `evaluate` for `threshold`.
    """
    scores, labels = found.scores, found.labels
    values: dict[str, float] = {
        "image_auroc": image_auroc(scores, labels),
        "image_ap": average_precision(scores, labels),
        "image_f1_max": f1_max(scores, labels),
    }
    influences: dict[str, NDArray[np.float64]] = {}
    if (of_images := image_influences(scores, labels)) is not None:
        influences["image_auroc"] = of_images
    if maps is None or masks is None:
        missing = "the model gives no anomaly maps" if maps is None else "the test images have no masks"
        missing = missing if labels.any() else "no anomalous test image"
        values |= dict.fromkeys([name for name in METRICS if name not in values], Undefined(missing))
    else:
        pixels, of_counted = _of_pixels(maps, masks, pro_limit, threshold)
        values |= pixels
        for name, values_counted in of_counted.items():
            influences[name] = np.full(len(labels), math.nan)
            influences[name][counted] = values_counted
    reasons = {name: reason for name in METRICS if (reason := why_undefined(values[name])) is not None}
    return replace(
        found,
        metrics={name: float(values[name]) for name in METRICS},
        undefined=reasons,
        influences=influences,
    )


def _of_pixels(
    maps: Stack, masks: Masks, pro_limit: float, threshold: float | None
) -> tuple[dict[str, float], dict[str, NDArray[np.float64]]]:
    """The pixel metrics, and the influences (n,) of these images on those of them that have any."""
    pixels = pixel_metrics(maps, masks, pro_limit)
    values = {
        "pixel_auroc": pixels.auroc,
        "pixel_ap": pixels.average_precision,
        "pixel_f1_max": pixels.f1_max,
        "pro": pixels.pro,
        "pro_05": pixels.pro_05,
        "aupimo": pixels.aupimo,
        "seg_f1": Undefined("no alarm threshold was given"),
    }
    ranked = pixel_influences(maps, masks, pixels.counts, pro_limit, STRICT)
    influences: dict[str, NDArray[np.float64] | None] = {}
    influences |= dict(zip(("pixel_auroc", "pro", "pro_05"), ranked or (), strict=ranked is not None))
    influences["aupimo"] = pixels.images.influences if pixels.images is not None else None
    if threshold is not None:
        segmentation = segmented(maps, masks, threshold)
        values["seg_f1"], influences["seg_f1"] = segmentation.f1, segmentation.influences
    return values, {name: each for name, each in influences.items() if each is not None}


class _Resized(Sequence[NDArray[np.float32]]):
    """Maps (n, h, w) at sizes of their own, bilinear; each is made when it is asked for."""

    def __init__(self, maps: NDArray[np.float32], sizes: list[tuple[int, ...]]) -> None:
        self.maps, self.sizes = maps, sizes

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, index: Any) -> Any:
        one = torch.from_numpy(self.maps[index])[None, None]
        return F.interpolate(one, self.sizes[index], mode="bilinear")[0, 0].numpy()
