"""Schedules of the learning rate, by the part of the training that is done."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from dlkd.registry import register


class Schedule(Protocol):
    """A factor on an optimiser's learning rates."""

    def factor(self, done: float) -> float:
        """The factor once the part `done` of the training (from 0 to below 1) is done."""
        ...


@register("schedule", "drops")
class Drops:
    """The rate is multiplied by `by` once each part in `at` is done.

    Args:
        at: parts of the training, between 0 and 1.
        by: the factor.

    >>> schedule = Drops(at=[0.8, 0.9], by=0.2)
    >>> [round(schedule.factor(done), 6) for done in (0.0, 0.79, 0.8, 0.9)]
    [1.0, 1.0, 0.2, 0.04]
    """

    def __init__(self, *, at: Sequence[float] = (0.8, 0.9), by: float = 0.1) -> None:
        if not all(0 < part < 1 for part in at):
            raise ValueError(f"drops: at must hold parts of the training between 0 and 1, got {list(at)}")
        self.at = tuple(at)
        self.by = by

    def factor(self, done: float) -> float:
        """See `Schedule`."""
        return float(self.by ** sum(done >= part for part in self.at))


@register("schedule", "cosine")
class Cosine:
    """Half a cosine from 1 down to `end`, after a linear rise over the part `warmup`.

    Args:
        warmup: part of the training in which the factor rises from 0 to 1.
        end: the factor at the end.

    >>> [round(Cosine(end=0.0).factor(done), 6) for done in (0.0, 0.5)]
    [1.0, 0.5]
    """

    def __init__(self, *, warmup: float = 0.0, end: float = 0.0) -> None:
        if not 0 <= warmup < 1:
            raise ValueError(f"cosine: warmup must be a part of the training from 0 to below 1, got {warmup}")
        self.warmup = warmup
        self.end = end

    def factor(self, done: float) -> float:
        """See `Schedule`."""
        if done < self.warmup:
            return done / self.warmup
        part = (done - self.warmup) / (1 - self.warmup)
        return self.end + (1 - self.end) * (1 + math.cos(math.pi * part)) / 2
