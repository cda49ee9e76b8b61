"""The metrics as torchmetrics `Metric`s, for Lightning, which gathers them over its processes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from dlkd.metrics.aupimo import RATES, Aupimo, aupimo_of, check_rates
from dlkd.metrics.counts import Counts, count_split
from dlkd.metrics.inputs import MapPairs, Masks, reject_nan
from dlkd.metrics.pixels import all_of
from dlkd.metrics.region_overlap import area_under_pro, check_limit
from dlkd.metrics.regions import mask_of, region_sizes
from dlkd.metrics.roc import auroc, image_auroc
from dlkd.metrics.seg_f1 import f1_of, segmented
from dlkd.metrics.streaming import NUMBERS, STATES, PixelHistogram
from dlkd.metrics.undefined import Undefined, why_undefined


class ImageAUROC(Metric):
    """Exact image AUROC of all scores (b,) and labels (b,) it was given, compared as float32.

    `compute` gives a float64 scalar, NaN where undefined; `undefined` then says why.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    scores: list[Tensor]
    labels: list[Tensor]
    undefined: str | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # All float32: that is what torchmetrics gathers from a process that saw no data.
        self.add_state("scores", default=[], dist_reduce_fx="cat")
        self.add_state("labels", default=[], dist_reduce_fx="cat")

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Add scores (b,) and labels (b,)."""
        self.scores.append(scores.detach().float())
        self.labels.append(labels.detach().float())

    def compute(self) -> Tensor:
        """AUROC over all that was added. Raises ValueError as `image_auroc` does."""
        value = image_auroc(dim_zero_cat(self.scores), dim_zero_cat(self.labels))
        self.undefined = why_undefined(value)
        return torch.tensor(value, dtype=torch.float64)


class _PixelMetric(Metric):
    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    normal: list[Tensor] | Tensor
    anomalous: list[Tensor] | Tensor
    sizes: list[Tensor] | Tensor
    normal_counts: list[Tensor] | Tensor
    anomalous_counts: list[Tensor] | Tensor
    n_regions: Tensor

    def __init__(self, *, bits: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bits = bits
        if bits is None:
            # All float32: that is what torchmetrics gathers from a process that saw no data.
            for state in ("normal", "anomalous", "sizes", "normal_counts", "anomalous_counts"):
                self.add_state(state, default=[], dist_reduce_fx="cat")
            self.add_state("n_regions", default=torch.tensor(0), dist_reduce_fx="sum")
        else:
            for state, empty in _histogram_states(PixelHistogram(bits)).items():
                self.add_state(state, default=empty, dist_reduce_fx="sum")

    def update(self, maps: Tensor, masks: Masks) -> None:
        """Add maps (b, h, w) and masks (b, h, w), or b `Regions`. Raises ValueError on NaN or other shapes."""
        pairs = MapPairs(maps.detach().float(), masks)
        if self.bits is None:
            self._keep(pairs)
        else:
            added = PixelHistogram(self.bits)
            added.add(pairs)
            for state, counts in _histogram_states(added).items():
                getattr(self, state).add_(counts.to(self.device))

    def counts(self) -> Counts:
        """Counts over all that was added."""
        if self.bits is None:
            anomalous, sizes = (dim_zero_cat(state).cpu().numpy() for state in (self.anomalous, self.sizes))
            # One tensor once gathered from several processes, a list before.
            normal = self.normal if isinstance(self.normal, list) else [self.normal]
            return count_split((part.cpu().numpy() for part in normal), anomalous, sizes, int(self.n_regions))
        return self._histogram(self.bits).counts()

    def aupimo(self, rates: tuple[float, float]) -> float:
        """AUPIMO over all that was added."""
        if self.bits is not None:
            return self._histogram(self.bits).aupimo(rates)
        return self.aupimo_per_image(rates).mean

    def aupimo_per_image(self, rates: tuple[float, float]) -> Aupimo:
        """AUPIMO of each image, which a histogram does not keep apart."""
        parts = [_parts(self.normal, self.normal_counts), _parts(self.anomalous, self.anomalous_counts)]
        return aupimo_of(zip(*parts, strict=True), len(parts[0]), rates)

    def _histogram(self, bits: int) -> PixelHistogram:
        histogram = PixelHistogram(bits)
        for state in STATES:
            setattr(histogram, state, getattr(self, state).cpu().numpy())
        for state in NUMBERS:
            setattr(histogram, state, int(getattr(self, state)))
        return histogram

    def _keep(self, pairs: MapPairs) -> None:
        # Where a pixel was does not matter once its region's size is known.
        for scores, truth in pairs:
            reject_nan(scores)
            mask = mask_of(truth)
            sizes, n_regions = region_sizes(truth)
            self.n_regions += n_regions
            kept = {"normal": scores[~mask], "anomalous": scores[mask], "sizes": sizes}
            kept |= {f"{kind}_counts": np.array([kept[kind].size]) for kind in ("normal", "anomalous")}
            for state, values in kept.items():
                getattr(self, state).append(torch.from_numpy(values).float().to(self.device))


class PixelAUROC(_PixelMetric):
    """Pixel AUROC of all maps (b, h, w) and masks (b, h, w) it was given; sizes may change between updates.

    With `bits` None the result is exact, and every score is kept (4 bytes per pixel) as float32 on the maps' device;
    with `bits` the memory is that of `PixelHistogram(bits)`. `compute` gives a float64 scalar, NaN where
    undefined; `undefined` then says why.
    """

    undefined: str | None = None

    def compute(self) -> Tensor:
        """Pixel AUROC over all that was added."""
        value = auroc(self.counts())
        self.undefined = why_undefined(value)
        return torch.tensor(value, dtype=torch.float64)


class PRO(_PixelMetric):
    """Area under the PRO curve up to `fpr_limit`; memory, exactness and result as `PixelAUROC`."""

    undefined: str | None = None

    def __init__(self, *, fpr_limit: float = 0.3, bits: int | None = None, **kwargs: Any) -> None:
        super().__init__(bits=bits, **kwargs)
        check_limit(fpr_limit)
        self.fpr_limit = fpr_limit

    def compute(self) -> Tensor:
        """PRO over all that was added."""
        value = area_under_pro(self.counts(), self.fpr_limit)
        self.undefined = why_undefined(value)
        return torch.tensor(value, dtype=torch.float64)


class AUPIMO(_PixelMetric):
    """AUPIMO, see `dlkd.metrics.aupimo`; memory, exactness and result as `PixelAUROC`."""

    undefined: str | None = None

    def __init__(self, *, rates: tuple[float, float] = RATES, bits: int | None = None, **kwargs: Any) -> None:
        super().__init__(bits=bits, **kwargs)
        check_rates(rates)
        self.rates = rates

    def compute(self) -> Tensor:
        """The mean over the anomalous images of all that was added."""
        value = self.aupimo(self.rates)
        self.undefined = why_undefined(value)
        return torch.tensor(value, dtype=torch.float64)


class SegF1(Metric):
    """F1 of the pixels above `threshold`, of all maps (b, h, w) and masks (b, h, w) it was given; in constant memory.

    The threshold is one that no test image has influenced. `compute` gives a float64 scalar, NaN where undefined;
    `undefined` then says why.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False
    true: Tensor
    called: Tensor
    anomalous: Tensor
    undefined: str | None = None

    def __init__(self, threshold: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.threshold = threshold
        for state in ("true", "called", "anomalous"):
            self.add_state(state, default=torch.tensor(0), dist_reduce_fx="sum")

    def update(self, maps: Tensor, masks: Masks) -> None:
        """Add maps (b, h, w) and masks (b, h, w), or b `Regions`. Raises ValueError on NaN or other shapes."""
        added = segmented(maps.detach().float(), masks, self.threshold)
        self.true += int(added.true.sum())
        self.called += int(added.called.sum())
        self.anomalous += int(added.anomalous.sum())

    def compute(self) -> Tensor:
        """F1 over all that was added."""
        value = f1_of(int(self.true), int(self.called), int(self.anomalous))
        self.undefined = why_undefined(value)
        return torch.tensor(value, dtype=torch.float64)


class PixelScores(_PixelMetric):
    """All pixel metrics: a dict of `pixel_auroc`, `pixel_ap`, `pixel_f1_max`, `pro`, `pro_05` and `aupimo`.

    Memory and exactness as `PixelAUROC`; `undefined` maps the metrics that are NaN to why.
    """

    undefined: dict[str, str]

    def __init__(self, *, fpr_limit: float = 0.3, bits: int | None = None, **kwargs: Any) -> None:
        super().__init__(bits=bits, **kwargs)
        check_limit(fpr_limit)
        self.fpr_limit = fpr_limit
        self.undefined = {}

    def compute(self) -> dict[str, Tensor]:
        """All metrics over all that was added."""
        found = all_of(self.counts(), self.fpr_limit, self.aupimo(RATES))
        values = {
            "pixel_auroc": found.auroc,
            "pixel_ap": found.average_precision,
            "pixel_f1_max": found.f1_max,
            "pro": found.pro,
            "pro_05": found.pro_05,
            "aupimo": found.aupimo,
        }
        self.undefined = {name: v.reason for name, v in values.items() if isinstance(v, Undefined)}
        return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}


def _histogram_states(histogram: PixelHistogram) -> dict[str, Tensor]:
    arrays = {name: torch.from_numpy(getattr(histogram, name)) for name in STATES}
    return arrays | {name: torch.tensor(getattr(histogram, name)) for name in NUMBERS}


def _parts(scores: list[Tensor] | Tensor, counts: list[Tensor] | Tensor) -> list[NDArray[np.float32]]:
    """The scores of each image; they lie in one tensor once they were gathered from several processes."""
    ends = dim_zero_cat(counts).cpu().numpy().astype(int).cumsum()
    return np.split(dim_zero_cat(scores).cpu().numpy(), ends[:-1])
