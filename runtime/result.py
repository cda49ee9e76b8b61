"""What an exported detector says of one picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Result:
    """What an exported detector says of one picture.

    Attributes:
        score: of the picture; the higher, the more anomalous.
        label: "anomalous" if the score is above the threshold, else "normal".
        map: the anomaly map at the picture's size (h, w), float32; None from a model that gives none.
        mask: where the map is above the threshold, (h, w); None likewise.
        threshold: that of this result.
    """

    score: float
    label: Literal["normal", "anomalous"]
    map: NDArray[np.float32] | None
    mask: NDArray[np.bool_] | None
    threshold: float

    @property
    def anomalous(self) -> bool:
        """Whether the score is above the threshold."""
        return self.label == "anomalous"

    def __repr__(self) -> str:
        return f"Result({self.label}: score {self.score:.4g}, threshold {self.threshold:.4g})"
