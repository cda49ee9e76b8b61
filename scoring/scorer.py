"""The interface that a model has for a prediction, and the model of a trial behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Values = TypeVar("Values", float, NDArray[np.float32], NDArray[np.float64])

Pixels = NDArray[np.uint8]
Map = NDArray[np.float32]


@dataclass(frozen=True)
class Answer:
    """What a model says of one picture.

    Attributes:
        score: the higher, the more anomalous.
        make_map: gives the anomaly map at the picture's size (h, w); None from a model that gives none.
    """

    score: float
    make_map: Callable[[], Map] | None


@dataclass(frozen=True)
class Normal:
    """What a model says of normal pictures.

    Attributes:
        threshold: image score above which a picture counts as anomalous.
        origin: where the threshold comes from, in words.
        level: median of the maps' pixels, NaN from a model that gives none.
        proportions: width per height of the pictures that it was trained on, NaN where that is not known.
    """

    threshold: float
    origin: str
    level: float
    proportions: float

    def scale(self, threshold: float) -> tuple[float, float]:
        """Both ends of a colour scale that begins at the level and has the threshold in its middle."""
        return self.level, max(2 * threshold - self.level, self.level + 1e-6)

    @property
    def unit(self) -> float:
        """What scores and maps of two models have in common: the way from the level to the threshold.

        The threshold's own size, or 1, where the level is unknown or not below it.
        """
        way = self.threshold - self.level
        return way if way > 0 else abs(self.threshold) or 1.0

    def in_units(self, values: Values) -> Values:
        """Scores or a map in the common unit: 1 is the threshold, and 0 is the level where that is below it."""
        return (values - self.threshold) / self.unit + 1

    def from_units(self, units: float) -> float:
        """The score that `in_units` makes `units` of."""
        return self.threshold + (units - 1) * self.unit


class Scorer(Protocol):
    """A model that scores pictures in two steps, so that of a batch only what the model needs of it is in memory.

    Attributes:
        normal: what it says of normal pictures.
        batch_size: pictures per batch where the user names none.
        tile: height and width of the tiles that it was trained on; None of whole pictures, or where it is not known.
    """

    normal: Normal
    batch_size: int
    tile: tuple[int, int] | None

    def prepare(self, pixels: Pixels) -> Any:
        """What `detect` needs of a picture (h, w, 3)."""

    def detect(self, prepared: Sequence[Any]) -> list[Answer]:
        """The answers for a batch, in order."""
