"""A threshold for a wanted false-alarm rate or recall, from the scores of images that the model was not trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from dlkd.training.thresholds.order_statistics import (
    Rate,
    beyond,
    counted,
    least_images,
    least_rate,
    of_order_statistic,
)

ROUNDING = 1e-4
"""By this share a threshold lies beside the score that it is taken from, so that equal images are judged alike."""

Goal = Literal["false_alarm_rate", "recall"]


class CalibrationError(ValueError):
    """Images that cannot give the threshold that was asked for; says how many there are and what they can support."""


@dataclass(frozen=True)
class Calibration:
    """How a threshold was chosen on purpose.

    Attributes:
        goal: what was asked for.
        wanted: its value.
        rank: place, in rising order, of the score that the threshold is taken from.
        images: how many images gave the scores.
        source: what these images are, in words.
        false_alarms: of new normal images; None where no normal image was there.
        recall: of new anomalous images like those given; None where there was none.
    """

    goal: Goal
    wanted: float
    rank: int
    images: int
    source: str
    false_alarms: Rate | None = None
    recall: Rate | None = None

    @property
    def origin(self) -> str:
        """Where the threshold comes from, in words."""
        place = f"score {self.rank} of {self.images}, in rising order, of {self.source}"
        if self.goal == "false_alarm_rate":
            side, said = "above", f"a new one like them is a false alarm with a probability of {self.wanted:g} at most"
        else:
            side, said = "below", f"one more of them is found with a probability of {self.wanted:g} at least"
        rates = {"false-alarm rate": self.false_alarms, "recall": self.recall}
        told = "; ".join(f"{name} {rate}" for name, rate in rates.items() if rate is not None)
        return f"the threshold lies just {side} {place}: {said}; {told}"


def check_goal(goal: Goal, wanted: float, images: int, source: str, remedy: str = "") -> None:
    """Raise CalibrationError where so many images cannot give a threshold for the wanted rate.

    Args:
        goal: what is wanted.
        wanted: false-alarm rate or recall.
        images: normal images for a false-alarm rate, anomalous ones for a recall.
        source: what the images are, in words.
        remedy: what else than more images or another rate would help.
    """
    name = goal.replace("_", "-")
    if not 0 < wanted < 1:
        raise CalibrationError(f"the {name.replace('-', ' ')} must lie between 0 and 1, got {wanted:g}")
    rate = wanted if goal == "false_alarm_rate" else 1 - wanted
    if beyond(images, rate):
        return
    if not images:
        raise CalibrationError(f"there are no {source}, from whose scores a threshold could be taken{remedy}")
    limit, kind = least_rate(images), "least"
    if goal == "recall":
        limit, kind = 1 - limit, "highest"
    raise CalibrationError(
        f"{images} {source} are too few for a {name.replace('-', ' ')} of {wanted:g}: the {kind} that they can support "
        f"is {_rounded(limit, up=goal == 'false_alarm_rate')}; {wanted:g} takes {least_images(rate)} of them{remedy}"
    )


def for_false_alarm_rate(
    normal: Sequence[float], wanted: float, source: str, anomalous: Sequence[float] = ()
) -> tuple[float, Calibration]:
    """The threshold above which a new normal score lies with a probability of `wanted` at most, and what it does.

    Args:
        normal: scores of normal images that the model was not trained on.
        wanted: false-alarm rate.
        source: what these images are, in words.
        anomalous: scores of anomalous images, for the recall at the threshold.

    Raises:
        CalibrationError: the images are too few, or a score is no number.
    """
    _check(normal, anomalous)
    check_goal("false_alarm_rate", wanted, len(normal), source)
    gaps = beyond(len(normal), wanted)
    rank = len(normal) + 1 - gaps
    threshold = _beside(float(np.sort(normal)[rank - 1]), 1)
    found = Calibration("false_alarm_rate", wanted, rank, len(normal), source, of_order_statistic(len(normal), gaps))
    if len(anomalous):
        found = replace(found, recall=counted(int((np.asarray(anomalous) > threshold).sum()), len(anomalous)))
    return threshold, found


def for_recall(
    anomalous: Sequence[float], wanted: float, source: str, normal: Sequence[float] = ()
) -> tuple[float, Calibration]:
    """The threshold above which a new anomalous score lies with a probability of `wanted` at least, and what it does.

    Args:
        anomalous: scores of anomalous images, which new ones are like.
        wanted: recall.
        source: what these images are, in words.
        normal: scores of normal images that the model was not trained on, for the false-alarm rate at the threshold.

    Raises:
        CalibrationError: the images are too few, or a score is no number.
    """
    _check(normal, anomalous)
    check_goal("recall", wanted, len(anomalous), source)
    rank = beyond(len(anomalous), 1 - wanted)
    threshold = _beside(float(np.sort(anomalous)[rank - 1]), -1)
    recall = of_order_statistic(len(anomalous), len(anomalous) + 1 - rank)
    found = Calibration("recall", wanted, rank, len(anomalous), source, recall=recall)
    if len(normal):
        found = replace(found, false_alarms=counted(int((np.asarray(normal) > threshold).sum()), len(normal)))
    return threshold, found


def _beside(score: float, side: int) -> float:
    """A threshold just above (1) or below (-1) a score: further than it differs in other batches and runtimes."""
    return score + side * max(ROUNDING * abs(score), float(np.finfo(np.float32).tiny))


def _rounded(value: float, *, up: bool) -> str:
    """Three digits, rounded to the side on which the images can support the value."""
    digits = 2 - math.floor(math.log10(value))
    scaled = value * 10**digits
    return f"{(math.ceil(scaled - 1e-9) if up else math.floor(scaled + 1e-9)) / 10**digits:g}"


def _check(*scores: Sequence[float]) -> None:
    for each in scores:
        if not np.isfinite(np.asarray(each, np.float64)).all():
            raise CalibrationError("a score is no finite number, so that no threshold can be taken from the scores")
