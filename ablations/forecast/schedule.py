"""How long trials take from the parts of each, and many of them with so many workers."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

from dlkd.ablations.forecast.parts import Parts
from dlkd.data import Category
from dlkd.training import TrialSpec

RANGE_IMAGES = 64
"""Most normal images that `normal_range` scores."""


def trial_seconds(parts: Parts, spec: TrialSpec, category: Category) -> float:
    """Seconds of a trial in a process that has run its model before, on pictures that were read before."""
    train, test = len(category.train), len(category.test)
    held = spec.train.calibrate.count(train) if spec.train.calibrate else 0
    train -= held
    scored = test + (held or min(RANGE_IMAGES, train))
    # Two halves are fitted for the threshold, unless images are held out for it; then all of it.
    fitted = (1 if held else 2) * train * parts.fit
    trained = spec.train.steps(math.ceil(train / spec.train.batch_size)) * parts.step + fitted
    return parts.fixed + trained + scored * parts.score + test * parts.metric


def makespan(jobs: Sequence[tuple[str, float, float]], workers: int) -> float:
    """Seconds until all jobs are done, each begun by the first worker that is free.

    A job is (model, seconds, seconds more where its worker meets the model for the first time).
    """
    free = [(0.0, worker) for worker in range(workers)]
    met: set[tuple[int, str]] = set()
    for model, seconds, first in jobs:
        now, worker = heapq.heappop(free)
        heapq.heappush(free, (now + seconds + first * ((worker, model) not in met), worker))
        met.add((worker, model))
    return max(now for now, _ in free)
