"""What a finished trial measured, and its file in the trial's folder."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pydantic
from numpy.typing import NDArray

from dlkd.training.thresholds.calibration import Calibration
from dlkd.training.trials.trial_folder import RESULT
from dlkd.training.trials.trial_spec import TrialError

ADDED = ("pro_05", "aupimo", "seg_f1")
"""Metrics that trials of an older dlkd lack."""

METRICS = ("image_auroc", "pixel_auroc", "pro", "image_ap", "image_f1_max", "pixel_ap", "pixel_f1_max", *ADDED)
"""Image and pixel AUROC and PRO are the paper's; then average precision, the largest F1, PRO up to 0.05, AUPIMO, and F1
of the pixels above the alarm threshold."""

SEARCHED = tuple(name for name in METRICS if name != "seg_f1")
"""Metrics that a search may maximise: those that need no alarm threshold, which a search does not find."""

NOT_MEASURED = "the trial is of an older dlkd, which did not measure it"

SECONDS = ("train_seconds", "normal_seconds", "score_seconds", "other_seconds")
"""Costs that say where the time of a trial went, beside other trials of the run: training, with what is fitted; the
range of normal images, with the models that are fitted to halves of them for it; the forward passes over the test
images; the rest. A trial that went on from a checkpoint has those of its last part alone."""

DEVIATIONS = 3.0
"""Standard deviations that the threshold lies above the mean of normal scores."""


@dataclass(frozen=True)
class NormalRange:
    """What a model says of normal images: the alarm's threshold and the pictures' colour scale.

    Attributes:
        level: median of the anomaly maps' pixels, NaN from a model that gives none.
        threshold: image score above which an image counts as anomalous.
        images: how many normal training images it was taken from.
        proportions: width per height of these pictures, their median; NaN where it is not known.
        calibration: how the threshold was chosen for a wanted rate; None where it was not.
    """

    level: float
    threshold: float
    images: int = 0
    proportions: float = math.nan
    calibration: Calibration | None = None

    @property
    def scale(self) -> tuple[float, float]:
        """Both ends of a colour scale that begins at the level and has the threshold in its middle."""
        return self.level, max(2 * self.threshold - self.level, self.level + 1e-6)

    @property
    def origin(self) -> str:
        """Where the threshold comes from, in words."""
        if self.calibration is not None:
            return self.calibration.origin
        what = f"mean + {DEVIATIONS:g} standard deviations of the scores of {self.images} normal training images"
        return f"the threshold is the {what}"

    def calibrated(self, threshold: float, calibration: Calibration) -> NormalRange:
        """The same colour scale and proportions with a threshold that was chosen for a wanted rate."""
        return replace(self, threshold=threshold, calibration=calibration)


@dataclass(frozen=True)
class Alarm:
    """How good the alarm is on test images: an image whose score lies above the threshold counts as anomalous.

    Attributes:
        threshold: of the image score.
        anomalous: test images with a defect.
        found: those of them above the threshold.
        normal: test images without a defect.
        false_alarms: those of them above the threshold.
    """

    threshold: float
    anomalous: int
    found: int
    normal: int
    false_alarms: int

    @classmethod
    def at(cls, threshold: float, scores: NDArray[np.floating], labels: NDArray[np.integer]) -> Alarm:
        """The alarm on images with these scores (n,) and labels (n,), 1 anomalous."""
        above, anomalous = scores > threshold, labels == 1
        return cls(
            threshold,
            int(anomalous.sum()),
            int((above & anomalous).sum()),
            int((~anomalous).sum()),
            int((above & ~anomalous).sum()),
        )

    @property
    def recall(self) -> float:
        """Share of the defects that are found; NaN without any."""
        return self.found / self.anomalous if self.anomalous else math.nan

    @property
    def precision(self) -> float:
        """Share of the alarms that are defects; NaN without an alarm."""
        alarms = self.found + self.false_alarms
        return self.found / alarms if alarms else math.nan

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN without any defect."""
        return 2 * self.found / (self.found + self.false_alarms + self.anomalous) if self.anomalous else math.nan

    @property
    def false_alarm_rate(self) -> float:
        """Share of the normal images that raise an alarm; NaN without any."""
        return self.false_alarms / self.normal if self.normal else math.nan

    def __str__(self) -> str:
        found = f"{self.found} of {self.anomalous} defects found" if self.anomalous else "no defects to find"
        false = f"{self.false_alarms} of {self.normal} false alarms" if self.normal else "no normal images"
        if not self.anomalous and not self.normal:
            return f"at threshold {self.threshold:.4g}: no test images"
        return f"at threshold {self.threshold:.4g}: {found}, {false}"


@dataclass(frozen=True)
class TrialResult:
    """What a finished trial measured; see `result.json`.

    Attributes:
        metrics: value of each metric, NaN where undefined.
        undefined: why a metric has no value.
        costs: see `costs`, and `SECONDS`; a trial of an older dlkd has only the first of these.
        curve: mean of each loss, by epoch.
        normal: range of the normal training images: threshold and colour scale.
        alarm: how good the alarm at that threshold is on the test images.
        versions: see `versions`.
    """

    metrics: dict[str, float]
    undefined: dict[str, str]
    costs: dict[str, float]
    curve: list[dict[str, float]]
    normal: NormalRange
    alarm: Alarm
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # One NaN for all, since dictionaries take the same object as equal: a result equals what is read of its file.
        for name, value in self.metrics.items():
            if math.isnan(value):
                self.metrics[name] = math.nan


_RESULTS = pydantic.TypeAdapter(TrialResult)


def read_result(folder: Path) -> TrialResult:
    """The result of a finished trial. Raises TrialError where it is not finished, or its result is broken."""
    path = folder / RESULT
    try:
        result = _RESULTS.validate_python(json.loads(path.read_text(encoding="utf-8")))
        lacks = dict.fromkeys(name for name in ADDED if name not in result.metrics)
        metrics = result.metrics | dict.fromkeys(lacks, math.nan)
        return replace(
            result,
            metrics={name: metrics[name] for name in METRICS},
            undefined=result.undefined | dict.fromkeys(lacks, NOT_MEASURED),
        )
    except FileNotFoundError as error:
        raise TrialError(f"{folder} has no {RESULT}: the trial is not finished") from error
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        raise TrialError(f"{path} cannot be read: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except KeyError as error:
        raise TrialError(f"{path} cannot be read: the metric {error} is missing") from error
    except (OSError, ValueError, RecursionError) as error:
        raise TrialError(f"{path} cannot be read: {error}") from error
