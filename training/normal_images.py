"""The scores of normal training images, and the range of normal images: the alarm's threshold and the colour scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from dlkd.data import ImageDataset
from dlkd.data.pictures.images import proportions
from dlkd.models.detector import Detector
from dlkd.training.data_module import CategoryData
from dlkd.training.device import exact_float32
from dlkd.training.step_bar import progress
from dlkd.training.thresholds.calibrate_config import HELD
from dlkd.training.thresholds.calibration import for_false_alarm_rate
from dlkd.training.trials.trial_result import DEVIATIONS, NormalRange


@dataclass(frozen=True)
class NormalScores:
    """Normal images as a model scores them: their proportions, their scores, and the medians of their maps."""

    proportions: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    levels: list[float] = field(default_factory=list)

    def extend(self, other: NormalScores) -> None:
        """Add those of other images."""
        self.proportions.extend(other.proportions)
        self.scores.extend(other.scores)
        self.levels.extend(other.levels)

    def range(self, threshold: float | None = None) -> NormalRange:
        """The range of these images; the threshold is the mean + 3 standard deviations of their scores by default."""
        if threshold is None:
            threshold = float(np.mean(self.scores) + DEVIATIONS * np.std(self.scores))
        level = float(np.median(self.levels)) if self.levels else math.nan
        return NormalRange(level, threshold, len(self.scores), float(np.median(self.proportions)))


def range_after_training(model: Detector, data: CategoryData, *, bar: bool = False) -> NormalRange:
    """`calibrated_range` where the training held images out, else `normal_range`."""
    if data.config.calibrate is None:
        return normal_range(model, data, bar=bar)
    return calibrated_range(model, data, data.config.calibrate.false_alarm_rate, bar=bar)


def normal_range(model: Detector, data: CategoryData, *, images: int = 64, bar: bool = False) -> NormalRange:
    """The range of normal training images; the threshold is the mean + 3 standard deviations of their scores.

    Takes at most `images` of them, evenly spaced, in batches as training does, and no test image. The student was
    trained on them, so that the threshold tends to be low. `held_out.held_out_range` is for models with a `fit`.
    """
    return score_normal(model, data.train_set, spaced(data, images), data.config.batch_size, bar=bar).range()


def calibrated_range(model: Detector, data: CategoryData, rate: float, *, bar: bool = False) -> NormalRange:
    """The range of the normal training images that were held out; the threshold is for a false-alarm rate.

    Raises CalibrationError where they are too few for it.
    """
    numbers = range(len(data.held_set))
    found = score_normal(model, data.held_set, numbers, data.config.batch_size, bar=bar)
    threshold, calibration = for_false_alarm_rate(found.scores, rate, HELD)
    return found.range(threshold).calibrated(threshold, calibration)


def spaced(data: CategoryData, images: int) -> list[int]:
    """Numbers of at most so many training images, evenly spaced."""
    total = len(data.train_set)
    return sorted({int(i) for i in np.linspace(0, total - 1, min(images, total))})


def score_normal(
    model: Detector, images: ImageDataset, numbers: Sequence[int], batch_size: int, *, bar: bool = False
) -> NormalScores:
    """The images of these numbers, in batches."""
    model.eval()
    found = NormalScores([proportions(images.samples[i].image) for i in numbers])
    with torch.inference_mode(), exact_float32():
        starts = range(0, len(numbers), batch_size)
        for start in progress(starts, "scoring normal images", shown=bar):
            batch = torch.stack([images[i]["image"] for i in numbers[start : start + batch_size]])
            detected = model.detect(batch.to(model.device))
            found.scores.extend(detected.scores.double().tolist())
            if detected.maps is not None:
                found.levels.extend(detected.maps.float().flatten(1).median(dim=1).values.tolist())
    return found
