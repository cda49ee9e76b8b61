"""Connected anomalous regions of a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.ndimage import label

Array = np.ndarray[Any, Any]
_EIGHT_CONNECTED = np.ones((3, 3), dtype=np.int8)  # as in the MVTec AD evaluation code


def region_sizes(mask: Array) -> tuple[Array, int]:
    """The size in pixels of its region for each anomalous pixel of `mask` (h, w); and how many regions."""
    labelled, n_regions = label(mask, _EIGHT_CONNECTED)
    of_pixel = labelled[mask]
    return np.bincount(of_pixel)[of_pixel].astype(np.int32), n_regions
