"""A picture as somebody gives it, as RGB: what `dlkd.data.pictures` reads too, with Pillow and numpy alone."""

from __future__ import annotations

import warnings
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Picture: TypeAlias = "str | PathLike[str] | Image.Image | NDArray[np.uint8]"

_WANTED = "a picture is a path, a picture of Pillow's, or uint8 RGB (h, w, 3) or grey (h, w)"
_DEEP = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")


class PictureError(ValueError):
    """A picture that cannot be read; names it."""


def rgb_of(given: Picture) -> NDArray[np.uint8]:
    """The picture as RGB (h, w, 3), upright by its EXIF orientation.

    Grey is repeated over the channels, 16 bit is divided by 257, floats in [0, 1] are multiplied by 255, alpha is
    dropped, and of several pages the first is read: as in training. Raises PictureError.
    """
    if isinstance(given, np.ndarray):
        return _from_array(given)
    if isinstance(given, Image.Image):
        return _from_pillow(given, "the picture")
    if not isinstance(given, str | PathLike):
        raise PictureError(f"{_WANTED}, got a {type(given).__name__}")
    path = Path(given).expanduser()
    if not path.is_file():
        raise PictureError(f"{path}: {'is no file' if path.exists() else 'no such file'}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's on odd metadata: the pixels are whole, or an error is raised
        try:
            with Image.open(path) as picture:
                return _from_pillow(picture, str(path))
        except PictureError:
            raise
        except Exception as error:  # Pillow reports damage in many ways
            raise PictureError(f"{path}: cannot be read as a picture ({error})") from None


def _from_array(given: NDArray[Any]) -> NDArray[np.uint8]:
    if given.dtype != np.uint8:
        raise PictureError(f"{_WANTED}, got {given.dtype}: give grey levels from 0 to 255 as uint8")
    channels = given.shape[2] if given.ndim == 3 else 1
    if given.ndim not in (2, 3) or channels not in (1, 3, 4) or 0 in given.shape:
        raise PictureError(f"{_WANTED}, got the shape {given.shape}; give several pictures as a list")
    if channels == 1:
        return np.repeat(given.reshape(*given.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(given[..., :3])


def _from_pillow(picture: Image.Image, name: str) -> NDArray[np.uint8]:
    try:
        picture.load()
        picture = ImageOps.exif_transpose(picture)
        if picture.mode in _DEEP:
            return np.repeat(_grey(np.asarray(picture), name)[..., None], 3, axis=2)
        if picture.mode == "LA":
            picture = picture.convert("L")
        elif picture.mode in ("P", "PA"):
            picture = picture.convert("RGBA")  # a palette with transparency warns on the way straight to RGB
        return np.array(picture.convert("RGB"))
    except PictureError:
        raise
    except Exception as error:  # Pillow decodes here
        raise PictureError(f"{name}: damaged or truncated picture ({error})") from None


def _grey(values: NDArray[Any], name: str) -> NDArray[np.uint8]:
    """Deep grey levels as 8 bit. Raises PictureError on levels outside the range."""
    unit = values.dtype.kind == "f"
    top = 1 if unit else 65535
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= top):
        raise PictureError(f"{name}: levels outside [0, {top}]; save it as 8 or 16 bit")
    return np.asarray(np.rint(values * 255 if unit else values / 257), dtype=np.uint8)
