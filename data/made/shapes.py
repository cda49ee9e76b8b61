"""What planted defects are drawn with: where a spot lies, how far it differs, and values between pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float64]


def between(image: Field, rows: Field) -> Field:
    """Rows of `image` (h, w, c) at fractional places, linearly between the two nearest."""
    low = np.floor(rows).astype(np.intp)
    share = (rows - low)[:, None, None]
    return image[low] * (1 - share) + image[np.minimum(low + 1, len(image) - 1)] * share


def contrast(image: Field, rng: np.random.Generator, *, low: float, high: float) -> float:
    """A shift in grey levels, up or down, in units of the picture's own standard deviation."""
    return float(rng.uniform(low, high) * rng.choice([-1.0, 1.0]) * max(image.std(), 4.0))


def blob(h: int, w: int, rng: np.random.Generator, *, low: float, high: float, softness: float) -> Field:
    """Cover of a bumpy, turned ellipse: radius `low` to `high` of the short side, edge `softness` pixels."""
    side = min(h, w)
    radius = rng.uniform(low, high) * side
    y = np.arange(h)[:, None] + 0.5 - rng.uniform(0.1, 0.9) * h
    x = np.arange(w)[None, :] + 0.5 - rng.uniform(0.1, 0.9) * w
    turn, stretch = rng.uniform(0, np.pi), rng.uniform(1.0, 1.8)
    along = (x * np.cos(turn) + y * np.sin(turn)) / stretch
    across = (y * np.cos(turn) - x * np.sin(turn)) * stretch
    angle = np.arctan2(across, along)
    border = np.ones((h, w))
    for k in range(2, 7):
        border += rng.normal(0, 0.25 / k) * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    distance = radius * np.maximum(border, 0.3) - np.hypot(along, across)
    cover: Field = np.clip(distance / softness + 0.5, 0, 1)
    return cover
