"""Pictures are read as in training."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dlkd.data.pictures.picture import rgb_of as rgb_of_training
from dlkd.runtime import PictureError, rgb_of

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 9, 3), dtype=np.uint8)
DEEP = RNG.integers(0, 65536, (12, 9), dtype=np.uint16)
MODES = ["1", "L", "P", "RGB", "RGBA", "LA", "PA", "CMYK", "YCbCr", "HSV", "RGBX", "I;16", "I", "F"]


def of_mode(mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(DEEP)
    if mode == "I":
        return Image.fromarray(DEEP.astype(np.int32))
    if mode == "F":
        return Image.fromarray((DEEP / 65535).astype(np.float32))
    if mode in ("LA", "PA"):
        alpha = Image.fromarray(PIXELS[..., 0])
        made = Image.fromarray(PIXELS).convert(mode[0] if mode == "LA" else "P").convert(mode)
        made.putalpha(alpha)
        return made
    return Image.fromarray(PIXELS).convert(mode)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_is_read_as_in_training(mode: str, tmp_path: Path) -> None:
    picture = of_mode(mode)
    np.testing.assert_array_equal(rgb_of(picture), rgb_of_training(picture))
    if mode in ("1", "L", "P", "RGB", "RGBA", "LA", "I;16", "F", "CMYK"):
        file = tmp_path / ("a.tif" if mode in ("F", "CMYK") else "a.png")
        exif = Image.Exif()
        exif[0x0112] = 6  # turned by a quarter
        picture.save(file, exif=exif)
        found = rgb_of(file)
        np.testing.assert_array_equal(found, rgb_of_training(file))
        assert file.suffix == ".tif" or found.shape == (9, 12, 3)


def test_arrays_are_read_as_in_training() -> None:
    for given in (PIXELS, PIXELS[..., 0], PIXELS[..., :1], np.dstack([PIXELS, PIXELS[..., 0]]), PIXELS[::2, ::-1]):
        np.testing.assert_array_equal(rgb_of(given), rgb_of_training(given))


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(b"no picture")
    Image.fromarray(PIXELS).save(tmp_path / "c.png")
    (tmp_path / "c.png").write_bytes((tmp_path / "c.png").read_bytes()[:90])
    wrong: list[tuple[Any, str]] = [
        (tmp_path / "a.png", "a.png: no such file"),
        (tmp_path, "is no file"),
        (tmp_path / "b.png", "b.png: cannot be read as a picture"),
        (str(tmp_path / "c.png"), "c.png: damaged or truncated picture"),
        (PIXELS / 255, "got float64: give grey levels from 0 to 255 as uint8"),
        (PIXELS[None], "got the shape (1, 12, 9, 3); give several pictures as a list"),
        (None, "got a NoneType"),
        (Image.fromarray(np.full((2, 2), 2.0, np.float32)), "the picture: levels outside [0, 1]"),
    ]
    for given, says in wrong:
        with pytest.raises(PictureError, match=re.escape(says)):
            rgb_of(given)
