"""The mask of a sample, at its picture's own size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dlkd.data.category import DataError, Sample
from dlkd.data.pictures.images import look_at_mask, read_image, size_text, turned


def native_mask(sample: Sample, picture: NDArray[np.uint8] | None = None) -> NDArray[np.bool_]:
    """Mask (h, w) of a sample at its picture's own size, all false for one without; see `look_at_native_mask`."""
    return look_at_native_mask(sample, picture)[0]


def look_at_native_mask(
    sample: Sample, picture: NDArray[np.uint8] | None = None
) -> tuple[NDArray[np.bool_], list[str]]:
    """Mask (h, w) of a sample at its picture's own size, and in words how it was understood where that is not plain.

    Where only the picture or only the mask is turned by EXIF data, and sizes show it, the mask is turned to fit. Raises
    DataError that names both files where their sizes differ.
    """
    picture = read_image(sample.image) if picture is None else picture
    if sample.mask is None:
        return np.zeros(picture.shape[:2], dtype=bool), []
    mask, bent = look_at_mask(sample.mask)
    if mask.shape == picture.shape[:2]:
        return mask, bent
    if mask.shape == picture.shape[1::-1]:
        stored = look_at_mask(sample.mask, stored=True)[0]
        for fit in (turned(stored, sample.image), stored):
            if fit.shape == picture.shape[:2]:
                return fit, [*bent, "turned, as EXIF data turn only the picture or only the mask"]
    raise DataError(
        f"{sample.mask}: mask of {size_text(mask)} for {sample.image} of {size_text(picture)}; they must have one size"
    )
