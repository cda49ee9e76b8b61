"""A picture as somebody gives it in Python: a file, a picture of Pillow's, or an array."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dlkd.data.category import DataError
from dlkd.data.pictures.images import read_image, to_rgb
from dlkd.machine import expanded

Picture: TypeAlias = "str | PathLike[str] | Image.Image | NDArray[np.uint8]"


def rgb_of(given: Picture) -> NDArray[np.uint8]:
    """The picture as RGB (h, w, 3), upright, as `read_image` reads its file.

    Args:
        given: a path, a picture of Pillow's of any mode, or uint8 (h, w), (h, w, 3), or (h, w, 4) with an alpha, which
            is dropped.

    Raises:
        DataError: the file is damaged or absent.
        ValueError: it is no picture, or an array of another type or shape.
    """
    if isinstance(given, str | PathLike):
        return read_image(expanded(given) if isinstance(given, str) else Path(given))
    if isinstance(given, Image.Image):
        try:
            return to_rgb(ImageOps.exif_transpose(given), [], name="the picture")[0]
        except DataError:
            raise
        except Exception as error:  # Pillow decodes here, and reports damage in many ways
            raise DataError(f"damaged or truncated picture ({error})") from error
    return _from_array(given)


def _from_array(given: Any) -> NDArray[np.uint8]:
    wanted = "a picture is a path, a picture of Pillow's, or uint8 RGB (h, w, 3)"
    if not isinstance(given, np.ndarray):
        hint = "; a tensor (3, h, w) is .permute(1, 2, 0).numpy()" if hasattr(given, "permute") else ""
        raise ValueError(f"{wanted}, got a {type(given).__name__}{hint}")
    if given.dtype != np.uint8:
        raise ValueError(f"{wanted}, got {given.dtype}: give grey levels from 0 to 255 as uint8, or the file")
    channels = given.shape[2] if given.ndim == 3 else 1
    if given.ndim not in (2, 3) or channels not in (1, 3, 4) or 0 in given.shape:
        raise ValueError(f"{wanted} or grey (h, w), got the shape {given.shape}; give several pictures as a list")
    if channels == 1:
        return np.repeat(given.reshape(*given.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(given[..., :3])
