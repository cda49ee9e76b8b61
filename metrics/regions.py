"""Connected anomalous regions of a mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import label

Array = np.ndarray[Any, Any]
_EIGHT_CONNECTED = np.ones((3, 3), dtype=np.int8)  # as in the MVTec AD evaluation code


@dataclass(frozen=True, eq=False)
class Regions:
    """Known regions of one image, in place of a mask: a region may have separate parts, and regions may share a pixel.

    Attributes:
        sizes: (h, w), for each anomalous pixel the number of pixels of its region, 0 for a normal pixel. A pixel of
            several regions has the number whose inverse is the sum of theirs. Raises ValueError on others.
    """

    sizes: Array

    def __post_init__(self) -> None:
        if self.sizes.ndim != 2 or not (np.isfinite(self.sizes).all() and (self.sizes >= 0).all()):
            raise ValueError(f"sizes must be (h, w), finite and at least 0, got {self.sizes.shape}")

    @property
    def shape(self) -> tuple[int, int]:
        """(h, w)."""
        height, width = self.sizes.shape
        return height, width

    @property
    def mask(self) -> Array:
        """All regions together: bool (h, w)."""
        return self.sizes > 0


def mask_of(truth: Array | Regions) -> Array:
    """The anomalous pixels of a mask or of regions: bool (h, w)."""
    return truth.mask if isinstance(truth, Regions) else truth


def region_sizes(truth: Array | Regions) -> tuple[Array, int]:
    """The size in pixels of its region for each anomalous pixel of a mask (h, w); and how many regions."""
    if isinstance(truth, Regions):
        given = truth.sizes[truth.mask]
        return given, round(float(np.divide(1.0, given, dtype=np.float64).sum()))
    rows = np.flatnonzero(truth.any(axis=1))
    if not rows.size:
        return np.zeros(0, np.int32), 0
    columns = np.flatnonzero(truth.any(axis=0))
    # Labelling takes as long for normal pixels as for anomalous ones: leave out those around all regions.
    box = truth[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    labelled, n_regions = label(box, _EIGHT_CONNECTED)
    of_pixel = labelled[box]
    return np.bincount(of_pixel)[of_pixel].astype(np.int32), n_regions
