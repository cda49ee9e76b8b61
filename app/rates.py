"""Precision and recall on test images: at a threshold, and by threshold."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlkd.app.scored import TestScores
from dlkd.training.trials.trial_result import Alarm


def rates_at(tests: TestScores, threshold: float) -> Alarm:
    """How good the alarm is at a threshold, in the model's own scores."""
    return Alarm.at(threshold, tests.scores, tests.labels)


class Step(NamedTuple):
    """From a threshold on, up to the next step's: precision, NaN where no image is above it, and recall."""

    threshold: float
    precision: float
    recall: float


def steps(scores: NDArray[np.floating], labels: NDArray[np.int64]) -> list[Step]:
    """Precision and recall by threshold: one step per distinct score, and one below all, at minus infinity."""
    order = np.argsort(scores, kind="stable")
    ordered, anomalous = scores[order], labels[order] == 1
    distinct, first = np.unique(ordered, return_index=True)
    above_from = [*first[1:].tolist(), len(ordered)][: len(first)]  # above the i-th distinct score lie those from here
    found_from = np.append(np.cumsum(anomalous[::-1])[::-1], 0)
    total = int(anomalous.sum())
    made = []
    for threshold, start in [(-math.inf, 0), *zip(distinct.tolist(), above_from, strict=True)]:
        found, alarms = int(found_from[start]), len(ordered) - start
        made.append(Step(threshold, found / alarms if alarms else math.nan, found / total if total else math.nan))
    return made
