from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dlkd.data import DataError, Sample, native_mask, read_image, read_mask
from dlkd.data.digest import file_digest
from dlkd.data.pictures import images
from dlkd.data.pictures.images import look_at_image, look_at_mask, proportions

RAMP = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
COLOUR = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=2)


def save(path: Path, pixels: np.ndarray, mode: str | None = None, **options) -> Path:
    picture = Image.fromarray(pixels)
    (picture if mode is None else picture.convert(mode)).save(path, **options)
    return path


def test_rgb_is_as_stored(tmp_path: Path) -> None:
    for name in ("a.png", "a.bmp", "a.tif"):
        image = read_image(save(tmp_path / name, COLOUR))
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, COLOUR)
        image[0, 0, 0] = 1  # writable


def test_grey_is_repeated(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", RAMP)), np.stack([RAMP] * 3, axis=2))


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bit_is_scaled_not_cut(tmp_path: Path, name: str) -> None:
    deep = np.array([[0, 257, 128 * 257 + 100, 65535]], dtype=np.uint16)
    image = read_image(save(tmp_path / name, deep))
    np.testing.assert_array_equal(image[..., 0], [[0, 1, 128, 255]])
    assert image.shape == (1, 4, 3)
    np.testing.assert_array_equal(read_mask(tmp_path / name), deep > 0)


def test_thirty_two_bit(tmp_path: Path) -> None:
    wide = np.array([[0, 65535]], dtype=np.int32)
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.tif", wide))[..., 0], [[0, 255]])
    with pytest.raises(DataError, match=r"b\.tif: 32-bit picture outside \[0, 65535\]"):
        read_image(save(tmp_path / "b.tif", wide * 2))


def test_floats(tmp_path: Path) -> None:
    real = np.array([[0.0, 0.5, 1.0]], dtype=np.float32)
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.tif", real))[..., 0], [[0, 128, 255]])
    with pytest.raises(DataError, match=r"b\.tif: float picture outside \[0, 1\]"):
        read_image(save(tmp_path / "b.tif", real * 255))


def test_alpha_is_dropped(tmp_path: Path) -> None:
    alpha = np.full((6, 8, 1), 7, dtype=np.uint8)
    path = save(tmp_path / "a.png", np.concatenate([COLOUR, alpha], axis=2))
    np.testing.assert_array_equal(read_image(path), COLOUR)
    path = save(tmp_path / "b.png", np.concatenate([RAMP[..., None], alpha], axis=2))
    np.testing.assert_array_equal(read_image(path)[..., 1], RAMP)


@pytest.mark.parametrize("transparency", [None, 0, bytes([3] * 256)])
def test_palette(tmp_path: Path, transparency: int | bytes | None) -> None:
    picture = Image.fromarray(COLOUR).quantize(48)
    options = {} if transparency is None else {"transparency": transparency}
    picture.save(tmp_path / "a.png", **options)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.asarray(picture.convert("RGB")))


def test_cmyk_and_one_bit(tmp_path: Path) -> None:
    image = read_image(save(tmp_path / "a.jpg", COLOUR, "CMYK"))
    assert image.shape == COLOUR.shape
    assert np.abs(image.astype(int) - COLOUR).mean() < 30  # JPEG
    np.testing.assert_array_equal(np.unique(read_image(save(tmp_path / "b.png", RAMP > 9))), [0, 255])


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    path = save(tmp_path / "a.png", COLOUR, exif=exif)
    np.testing.assert_array_equal(read_image(path), np.rot90(COLOUR, k=-1))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif", "a.webp"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.9])
def test_a_truncated_file_is_named(tmp_path: Path, name: str, kept: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / name, pixels)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    said = r"empty \(0 bytes\)" if kept == 0 else "damaged or truncated|not a picture"
    for read in (read_image, read_mask):
        with pytest.raises(DataError, match=said) as caught:
            read(path)
        assert str(path) in str(caught.value)


def test_damage_in_the_middle(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", COLOUR)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.png: damaged"):
        read_image(path)


def test_not_a_picture_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("hello " * 100)
    with pytest.raises(DataError, match=r"a\.png: not a picture"):
        read_image(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"b\.png: no such file"):
        read_image(tmp_path / "b.png")
    (tmp_path / "c.png").mkdir()
    with pytest.raises(DataError, match=r"c\.png: is a folder in the place of a file"):
        read_image(tmp_path / "c.png")


@pytest.mark.parametrize("value", [1, 128, 237, 255])
@pytest.mark.parametrize("mode", ["L", "RGB", "P", "RGBA"])
def test_masks_of_any_value_and_mode(tmp_path: Path, value: int, mode: str) -> None:
    marked = np.zeros((6, 8), dtype=np.uint8)
    marked[1:3, 2:5] = value
    mask = read_mask(save(tmp_path / "m.png", marked, mode))
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, marked > 0)


def test_a_folder_of_masks_is_their_union(tmp_path: Path) -> None:
    first, second = np.zeros((2, 6, 8), dtype=bool)
    first[0, 0] = first[2, 3] = second[5, 7] = second[0, 0] = True
    save(tmp_path / "000.png", first)
    save(tmp_path / "001.png", second)
    np.testing.assert_array_equal(read_mask(tmp_path), first | second)
    save(tmp_path / "002.png", second[:4])
    with pytest.raises(DataError, match=r"002\.png: mask of 8x4, but 000\.png has 8x6"):
        read_mask(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="without a mask"):
        read_mask(tmp_path / "none")


MARKED = np.zeros((32, 48), dtype=bool)
MARKED[5:15, 8:30] = True


def _noisy() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 11, MARKED.shape)
    return np.where(MARKED, 255 - noise, noise).astype(np.uint8)


@pytest.mark.parametrize("name", ["m.png", "m.jpg", "m.webp", "m.tif", "m.bmp"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_masks_with_noise_are_marked_from_half(tmp_path: Path, name: str, mode: str) -> None:
    path = save(tmp_path / name, _noisy(), mode)
    np.testing.assert_array_equal(read_mask(path), MARKED)
    assert any("noise" in what for what in look_at_mask(path)[1])


@pytest.mark.parametrize("value", [1, 3, 255])
@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_deep_masks(tmp_path: Path, mode: str, value: int) -> None:
    kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
    np.testing.assert_array_equal(read_mask(save(tmp_path / "m.tif", (MARKED * value).astype(kind))), MARKED)


def test_labels_of_defects_are_all_marked(tmp_path: Path) -> None:
    labels = np.zeros((32, 48), dtype=np.uint8)
    labels[:20] = np.arange(20)[:, None]
    np.testing.assert_array_equal(read_mask(save(tmp_path / "m.png", labels)), labels > 0)


@pytest.mark.parametrize("colour", [0, 255])
def test_a_mask_in_the_alpha_channel(tmp_path: Path, colour: int) -> None:
    pixels = np.full((32, 48, 4), colour, dtype=np.uint8)
    pixels[..., 3] = MARKED * 255
    np.testing.assert_array_equal(read_mask(save(tmp_path / "rgba.png", pixels)), MARKED)
    np.testing.assert_array_equal(read_mask(save(tmp_path / "la.png", pixels[..., 2:])), MARKED)


def test_an_opaque_alpha_channel_says_nothing(tmp_path: Path) -> None:
    pixels = np.dstack([np.repeat(MARKED[..., None] * 255, 3, axis=2), np.full(MARKED.shape, 255)]).astype(np.uint8)
    np.testing.assert_array_equal(read_mask(save(tmp_path / "m.png", pixels)), MARKED)


def test_masks_turn_with_their_picture(tmp_path: Path) -> None:
    """EXIF turns the picture only, the mask only, both or none: the mask always lies on its defect."""
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = np.rot90(MARKED, k=-1)
    image = save(tmp_path / "i.png", MARKED, "RGB", exif=exif)
    plain = save(tmp_path / "plain.png", upright, "RGB")
    cases = [
        (image, save(tmp_path / "a.png", MARKED, "L")),
        (image, save(tmp_path / "b.png", upright, "L")),
        (image, save(tmp_path / "c.png", MARKED, "L", exif=exif)),
        (plain, save(tmp_path / "d.png", upright, "L", exif=exif)),
        (plain, save(tmp_path / "e.png", upright, "L")),
    ]
    for picture, mask in cases:
        np.testing.assert_array_equal(native_mask(Sample(picture, 1, "x", mask)), upright, err_msg=str(mask))


def test_very_large_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow warns from 89 million pixels on; here there is one limit, and it is an error that says so."""
    assert Image.MAX_IMAGE_PIXELS is None
    monkeypatch.setattr(images, "LARGEST", 2**20)
    path = save(tmp_path / "a.png", np.zeros((1024, 1024), dtype=bool))
    assert read_mask(path).shape == (1024, 1024)
    path = save(tmp_path / "a.png", np.zeros((1025, 1024), dtype=bool))
    with pytest.raises(DataError, match=r"a\.png: 1024x1025 pixels; at most 1 million are read"):
        read_image(path)


def test_what_is_no_plain_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for name, what in (("pipe", "a pipe, a socket or a device"), ("folder", "a folder")):
        for read in (read_image, file_digest):
            with pytest.raises(DataError, match=rf"{name}\.png: is {what} in the place of a file"):
                read(tmp_path / f"{name}.png")
    assert math.isnan(proportions(tmp_path / "pipe.png"))


def test_what_is_changed_is_told(tmp_path: Path) -> None:
    pages = [Image.fromarray(COLOUR), Image.fromarray(COLOUR[::-1])]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    exif = Image.Exif()
    exif[0x0112] = 3
    told = {
        "pages.tif": "several pages",
        save(tmp_path / "cmyk.jpg", COLOUR, "CMYK").name: "CMYK colours become RGB",
        save(tmp_path / "turned.jpg", COLOUR, exif=exif).name: "turned upright",
        save(
            tmp_path / "dark.png", np.full((4, 4), 4095, np.uint16)
        ).name: "4095 (12 bits in 16?): read as 16 bit, 16 times",
        save(
            tmp_path / "deep.png", np.full((4, 4), 16000, np.uint16)
        ).name: "16383 (14 bits in 16?): read as 16 bit, 4 t",
        save(
            tmp_path / "black.png", np.full((4, 4), 255, np.uint16)
        ).name: "255 (8 bits in 16?): read as 16 bit, 256 t",
        save(tmp_path / "alpha.png", np.full((4, 4, 4), 9, np.uint8)).name: "transparency is dropped",
    }
    for name, wanted in told.items():
        (what,) = look_at_image(tmp_path / name)[1]
        assert wanted in what
    for name in ("plain.png", "plain.jpg", "plain.tif", "plain.webp"):
        assert look_at_image(save(tmp_path / name, COLOUR))[1] == []
