"""The prediction of a trained model for one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from dlkd.data.pictures.picture import Picture, rgb_of
from dlkd.training.trials.trial_result import NormalRange


@dataclass(frozen=True, eq=False)
class Prediction:
    """The prediction of a trained model for one image.

    Attributes:
        picture: as it was given, or its path.
        size: (h, w) of the picture.
        normal: range of the scores and maps of normal images, with the threshold.
        score: of the image; the higher, the more anomalous.
    """

    picture: Picture
    size: tuple[int, int]
    normal: NormalRange
    score: float
    _map: torch.Tensor | None

    @property
    def threshold(self) -> float:
        """The score above which the picture counts as anomalous."""
        return self.normal.threshold

    @property
    def anomalous(self) -> bool:
        """Whether the score lies above the threshold."""
        return self.score > self.threshold

    @property
    def label(self) -> Literal["normal", "anomalous"]:
        """The verdict: "anomalous" if the score is above the threshold, else "normal"."""
        return "anomalous" if self.anomalous else "normal"

    @property
    def map(self) -> NDArray[np.float32] | None:
        """The anomaly map at the picture's size (h, w), made anew at each call; None from a model that gives none."""
        return None if self._map is None else resized_map(self._map, self.size)

    def pixels(self) -> NDArray[np.uint8]:
        """The picture as RGB (h, w, 3), read anew at each call."""
        return rgb_of(self.picture)

    def overlay(self) -> NDArray[np.uint8]:
        """The map's colours over the picture, RGB (h, w, 3), what lies above the threshold outlined.

        Raises ValueError where the model gives no map.
        """
        from dlkd.training.prediction.pictures import overlay

        if (anomaly_map := self.map) is None:
            raise ValueError("this model gives scores and no anomaly maps")
        return overlay(self.pixels(), anomaly_map, *self.normal.scale, mask=anomaly_map > self.threshold)

    def __repr__(self) -> str:
        return f"Prediction({self.label}: score {self.score:.4g}, threshold {self.threshold:.4g})"


def resized_map(small: torch.Tensor, size: tuple[int, int]) -> NDArray[np.float32]:
    """A network's anomaly map (h', w') at a picture's size (h, w), bilinear."""
    whole = small.reshape(1, 1, *small.shape[-2:])
    resized: NDArray[np.float32] = F.interpolate(whole, size, mode="bilinear")[0, 0].numpy()
    return resized
