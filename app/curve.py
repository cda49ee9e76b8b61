"""Precision and recall by threshold as lines of a drawing, SVG path data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dlkd.app.rates import Step

WIDTH, HEIGHT = 300, 120
"""Of the drawing, in its own units."""


@dataclass(frozen=True)
class Curve:
    """Lines over thresholds from `low` to `high`, 0 at the bottom and 1 at the top.

    Attributes:
        low: threshold at the left end.
        high: threshold at the right end.
        precision: path data; with gaps where there is no alarm.
        recall: path data.
    """

    low: float
    high: float
    precision: str
    recall: str

    width, height = WIDTH, HEIGHT

    def x(self, threshold: float) -> float:
        """Where a threshold is, from 0 to `WIDTH`."""
        return _x(threshold, self.low, self.high)


def curve(made: Sequence[Step], low: float, high: float) -> Curve:
    """The lines of steps whose thresholds are in the unit of `low` and `high`."""
    return Curve(
        low, high, _path([(s.threshold, s.precision) for s in made], low, high),
        _path([(s.threshold, s.recall) for s in made], low, high),
    )  # fmt: skip


def _path(points: Sequence[tuple[float, float]], low: float, high: float) -> str:
    """A line of steps: each value from its threshold to the next one."""
    ends = [threshold for threshold, _ in points[1:]] + [math.inf]
    parts: list[str] = []
    drawing = False
    for (start, value), end in zip(points, ends, strict=True):
        if math.isnan(value) or end <= low or start >= high:
            drawing = drawing and not math.isnan(value)
            continue
        y = (1 - value) * HEIGHT
        if not drawing:
            parts.append(f"M{_x(start, low, high):.1f} {y:.1f}")
        else:
            parts.append(f"V{y:.1f}")
        parts.append(f"H{_x(end, low, high):.1f}")
        drawing = True
    return " ".join(parts)


def _x(threshold: float, low: float, high: float) -> float:
    return WIDTH * min(max((threshold - low) / (high - low), 0.0), 1.0)
