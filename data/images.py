"""Pictures of any kind to uint8 RGB, masks of any kind to bool; what cannot be read is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dlkd.data.category import DataError
from dlkd.data.layout import list_images

_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")


def read_image(path: Path) -> NDArray[np.uint8]:
    """Picture at `path` as RGB (h, w, 3), upright by its EXIF orientation.

    Grey is repeated over the channels. 16 bit is divided by 257, whatever values occur, so that one level
    means the same in every picture of a set; floats must lie in [0, 1]. Alpha is dropped, not blended: the
    colour below it is what the camera saw. Raises DataError for a file that is absent, empty, truncated, no
    picture, or of floats outside [0, 1].
    """
    picture = _open(path)
    if picture.mode in (*_SIXTEEN_BIT, "I", "F"):
        return np.repeat(_deep_grey(path, picture)[..., None], 3, axis=2)
    if picture.mode == "LA":
        picture = picture.convert("L")
    elif picture.mode == "P" or picture.mode == "PA":
        picture = picture.convert("RGBA")  # a palette with transparency warns on the way straight to RGB
    return np.array(picture.convert("RGB"))


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Mask at `path` as (h, w), true where any colour is above 0; of a folder, the union of its masks.

    Raises DataError as read_image does, for an empty folder, and for masks of one image that differ in size.
    """
    if not path.is_dir():
        picture = _open(path)
        if picture.mode in ("P", "PA", "LA", "RGBA", "CMYK"):
            picture = picture.convert("RGB")
        values = np.atleast_3d(np.asarray(picture))
        return np.asarray((values > 0).any(axis=2))
    parts = list_images(path)
    if not parts:
        raise DataError(f"{path}: folder of masks without a mask")
    union = read_mask(parts[0])
    for part in parts[1:]:
        mask = read_mask(part)
        if mask.shape != union.shape:
            raise DataError(f"{part}: mask of {size_text(mask)}, beside {parts[0].name} of {size_text(union)}")
        union = union | mask
    return union


def size_text(picture: NDArray[np.generic]) -> str:
    """Width x height as error messages give it."""
    return f"{picture.shape[1]}x{picture.shape[0]}"


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as picture:
            picture.load()
            return ImageOps.exif_transpose(picture)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except UnidentifiedImageError:
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty (0 bytes)") from None
        raise DataError(f"{path}: not a picture in a format that Pillow reads") from None
    # Pillow reports damage as OSError, as SyntaxError (PNG chunks), or from the unpacking of a header.
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, Image.DecompressionBombError) as error:
        system = isinstance(error, OSError) and error.errno is not None
        what = "cannot be read" if system else "damaged or truncated picture"
        raise DataError(f"{path}: {what} ({error})") from None


def _deep_grey(path: Path, picture: Image.Image) -> NDArray[np.uint8]:
    values = np.asarray(picture)
    if picture.mode == "F":
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise DataError(f"{path}: float picture outside [0, 1]; save it as 8 or 16 bit")
        return np.asarray(np.rint(values * 255), dtype=np.uint8)
    if values.min() < 0 or values.max() > 65535:
        raise DataError(f"{path}: 32-bit picture outside [0, 65535]; save it as 8 or 16 bit")
    return np.asarray(np.rint(values / 257), dtype=np.uint8)
