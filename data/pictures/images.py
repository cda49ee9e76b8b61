"""Reads images of any kind as uint8 RGB and masks of any kind as bool; unreadable files and conversions are
reported."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from dlkd.data.category import DataError
from dlkd.data.digest import check_plain
from dlkd.data.layouts.reader import list_images

LARGEST = 2**29
"""Pixels of the largest picture that is read: 1.6 GB as RGB. Pillow's own limits warn from a sixth of it."""
Image.MAX_IMAGE_PIXELS = None

CAMERA_BITS = (8, 12, 14)
"""Bits per value, fewer than 16, that cameras and other programs use in files of 16 bits."""
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")
_PAGED = ("TIFF", "GIF", "WEBP", "PNG")
_LOSSY = ("JPEG", "MPO", "WEBP", "JPEG2000")
_LABELS = 8
"""A mask of more grey levels than this has soft edges or compression noise; fewer may be labels of defects."""


def read_image(path: Path) -> NDArray[np.uint8]:
    """Picture at `path` as RGB (h, w, 3), upright by its EXIF orientation; see `look_at_image`."""
    return look_at_image(path)[0]


def look_at_image(path: Path) -> tuple[NDArray[np.uint8], list[str]]:
    """Picture at `path` as RGB (h, w, 3), upright by its EXIF orientation, and in words what was changed on the way.

    Grey is repeated over the channels. 16 bit is divided by 257, whatever values occur, so that one level
    means the same in every picture of a set; floats must lie in [0, 1]. Alpha is dropped, not blended: the
    colour below it is what the camera saw. Of several pages the first is read. Raises DataError for a file that is
    absent, empty, truncated, no picture, larger than `LARGEST`, or of floats outside [0, 1].
    """
    return to_rgb(*_open(path), name=str(path))


def to_rgb(picture: Image.Image, bent: list[str], *, name: str) -> tuple[NDArray[np.uint8], list[str]]:
    """A decoded picture, upright already, as RGB (h, w, 3), and `bent` with what was changed; `name` is for errors."""
    if picture.mode in (*_SIXTEEN_BIT, "I", "F"):
        values = np.asarray(picture)
        top = int(values.max(initial=0)) if picture.mode != "F" else 0
        if bits := next((bits for bits in CAMERA_BITS if 0 < top < 2**bits), None):
            bent.append(
                f"16 bit without a value above {2**bits - 1} ({bits} bits in 16?): read as 16 bit, "
                f"{2 ** (16 - bits)} times too dark if so; multiply all by {2 ** (16 - bits)}, or save them as 8 bit"
            )
        return np.repeat(_deep_grey(name, picture)[..., None], 3, axis=2), bent
    if picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") and np.asarray(picture.getchannel("A")).min() < 255:
        bent.append("transparency is dropped")
    elif picture.mode not in ("1", "L", "P", "RGB", "RGBA", "LA", "PA", "RGBX"):
        bent.append(f"{picture.mode} colours become RGB")
    if picture.mode == "LA":
        picture = picture.convert("L")
    elif picture.mode == "P" or picture.mode == "PA":
        picture = picture.convert("RGBA")  # a palette with transparency warns on the way straight to RGB
    return np.array(picture.convert("RGB")), bent


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Mask at `path` as (h, w), true where it is marked; of a folder, the union of its masks; see `look_at_mask`."""
    return look_at_mask(path)[0]


def look_at_mask(path: Path, *, stored: bool = False) -> tuple[NDArray[np.bool_], list[str]]:
    """Mask at `path` as (h, w), and in words how it was understood where that is not plain.

    Marked are pixels with any colour above 0 that are not transparent; if there are none, the pixels that are not
    transparent.
    A mask with soft edges or compression noise (lossy formats, or more than 8 levels up to the upper half of
    the range) is marked from half of its largest value. `stored` ignores the rotation in the EXIF data.

    Raises DataError as read_image does, for an empty folder, for masks of one image that differ in size, and for
    floats that are no numbers.
    """
    if not path.is_dir():
        picture, bent = _open(path, stored=stored)
        return _marked(path, picture, bent), bent
    parts = list_images(path)
    if not parts:
        raise DataError(f"{path}: folder of masks without a mask")
    union, bent = look_at_mask(parts[0], stored=stored)
    for part in parts[1:]:
        mask, more = look_at_mask(part, stored=stored)
        if mask.shape != union.shape:
            raise DataError(f"{part}: mask of {size_text(mask)}, but {parts[0].name} has {size_text(union)}")
        union = union | mask
        bent += [what for what in more if what not in bent]
    return union, bent


def turned(mask: NDArray[np.bool_], image: Path) -> NDArray[np.bool_]:
    """A mask that was drawn on the stored image, rotated as the EXIF data of `image` say."""
    try:
        with Image.open(image) as picture:
            exif = picture.getexif()
        canvas = Image.fromarray(mask)
        canvas.getexif().update({ExifTags.Base.Orientation: exif.get(ExifTags.Base.Orientation, 1)})
        return np.array(ImageOps.exif_transpose(canvas))
    except Exception:  # whatever damaged EXIF data cause: the mask stays as it is, and its size is told
        return mask


def proportions(path: Path) -> float:
    """Width per height of a picture as it is read, upright, from its header alone; NaN where that cannot be read."""
    try:
        check_plain(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as picture:
                width, height = picture.size
                on_its_side = picture.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    except Exception:  # whoever reads the pixels says what is wrong with them
        return math.nan
    return height / width if on_its_side else width / height


def size_text(picture: NDArray[np.generic]) -> str:
    """Width x height as error messages give it."""
    return f"{picture.shape[1]}x{picture.shape[0]}"


def _open(path: Path, *, stored: bool = False) -> tuple[Image.Image, list[str]]:
    """The decoded picture, turned upright unless as `stored`, and what that changed."""
    bent: list[str] = []
    try:
        check_plain(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's on odd metadata: the pixels are whole, or an error is raised
            with Image.open(path) as picture:
                if picture.width * picture.height > LARGEST:
                    raise DataError(
                        f"{path}: {picture.width}x{picture.height} pixels; at most {LARGEST >> 20} million are read: "
                        "cut it into parts, or make it smaller"
                    )
                pages = getattr(picture, "n_frames", 1) if picture.format in _PAGED else 1
                picture.load()
                kind = picture.format
                upright = picture if stored else ImageOps.exif_transpose(picture)
                if pages > 1:
                    bent.append("several pages or frames: the first is read")
                if upright is not picture and picture.getexif().get(ExifTags.Base.Orientation, 1) != 1:
                    bent.append("turned upright, as their EXIF data say")
                upright.format = kind
                return upright, bent
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except UnidentifiedImageError:
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty (0 bytes)") from None
        raise DataError(f"{path}: not a picture in a format that Pillow reads (16-bit colour TIFF is not)") from None
    except MemoryError:
        raise DataError(f"{path}: too large for this machine's memory") from None
    # Pillow reports damage as OSError, as SyntaxError (PNG chunks), or as whatever a wrong header leads to.
    except Exception as error:
        system = isinstance(error, OSError) and error.errno is not None
        what = "cannot be read" if system else "damaged or truncated picture"
        raise DataError(f"{path}: {what} ({error})") from None


def _marked(path: Path, picture: Image.Image, bent: list[str]) -> NDArray[np.bool_]:
    lossy = picture.format in _LOSSY
    opaque = None
    if picture.mode in ("P", "PA", "LA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
    elif picture.mode not in ("1", "L", "RGB", "RGBA", "F", "I", *_SIXTEEN_BIT):
        picture = picture.convert("RGB")
    values = np.atleast_3d(np.asarray(picture))
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise DataError(f"{path}: mask with values that are no numbers")
    if picture.mode == "RGBA":
        values, opaque = values[..., :3], values[..., 3]
    grey = values.max(axis=2)
    if opaque is not None and opaque.min() < 255:
        shown = np.where(opaque > 0, grey, 0)
        if not shown.any():
            bent.append("marked by transparency alone: what is not transparent is anomalous")
            shown = opaque
        grey = shown
    top = grey.max(initial=0)
    if grey.dtype == np.bool_:
        return np.asarray(grey, dtype=np.bool_)
    full = 1 if grey.dtype.kind == "f" else np.iinfo(grey.dtype).max if grey.dtype.itemsize < 4 else 65535
    if top > 0 and (lossy or top > full / 2):
        # Counting is a hundred times as fast as the sort of `np.unique`, for the levels that masks mostly have.
        levels = np.count_nonzero(np.bincount(grey.ravel())) if grey.dtype == np.uint8 else len(np.unique(grey))
        if levels > 2 and (lossy or levels > _LABELS):
            bent.append("soft edges or compression noise: marked from half of the largest value")
            return np.asarray(grey >= top / 2)
    return np.asarray(grey > 0)


def _deep_grey(name: str, picture: Image.Image) -> NDArray[np.uint8]:
    values = np.asarray(picture)
    if picture.mode == "F":
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise DataError(f"{name}: float picture outside [0, 1]; save it as 8 or 16 bit")
        return np.asarray(np.rint(values * 255), dtype=np.uint8)
    if values.min() < 0 or values.max() > 65535:
        raise DataError(f"{name}: 32-bit picture outside [0, 65535]; save it as 8 or 16 bit")
    return np.asarray(np.rint(values / 257), dtype=np.uint8)
