"""Overlays: the bare image where the map is low, one colour scale, outlines of one side only."""

import numpy as np
import pytest
from PIL import Image

from dlkd.training.prediction.pictures import CONTOUR, outline, overlay, save_prediction

IMAGE = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)


def test_low_and_below_shows_the_grey_image():
    grey = IMAGE.mean(axis=2, keepdims=True).round().astype(np.uint8).repeat(3, axis=2)
    for value in (1.0, -7.0):
        np.testing.assert_array_equal(overlay(IMAGE, np.full((32, 48), value), 1.0, 2.0), grey)


def test_high_and_above_is_the_same_colour_and_brighter_than_the_middle():
    black = np.zeros_like(IMAGE)
    drawn = [overlay(black, np.full((32, 48), value), 0.0, 1.0) for value in (0.5, 1.0, 9.0, np.inf, np.nan)]
    assert drawn[1].sum() > drawn[0].sum() > 0
    for same in drawn[2:]:
        np.testing.assert_array_equal(same, drawn[1])


def test_result_is_rgb_bytes_and_the_inputs_stay():
    image, heat = IMAGE.copy(), np.linspace(0, 1, 32 * 48, dtype=np.float16).reshape(32, 48)
    drawn = overlay(image, heat, 0.0, 1.0, mask=heat > 0.5)
    assert (drawn.shape, drawn.dtype) == ((32, 48, 3), np.uint8)
    np.testing.assert_array_equal(image, IMAGE)


def test_the_outline_lies_on_the_inner_side():
    mask = np.zeros((32, 48), bool)
    mask[8:16, 10:20] = True
    drawn = outline(IMAGE, mask)
    changed = (drawn == CONTOUR).all(axis=2)
    expected = mask.copy()
    expected[9:15, 11:19] = False
    np.testing.assert_array_equal(changed, expected)
    np.testing.assert_array_equal(drawn[~expected], IMAGE[~expected])


def test_the_outline_of_a_mask_at_the_border_is_closed_and_grows_with_the_picture():
    mask = np.zeros((512, 512), bool)
    mask[:100, :100] = True
    drawn = (outline(np.zeros((512, 512, 3), np.uint8), mask) == CONTOUR).all(axis=2)
    assert drawn[0, :100].all()
    assert drawn[50].sum() == 2 * 4


def test_an_empty_mask_has_no_outline():
    np.testing.assert_array_equal(outline(IMAGE, np.zeros((32, 48), bool)), IMAGE)


def test_wrong_shapes_and_empty_scales_are_refused():
    with pytest.raises(ValueError, match=r"the map is \(48, 32\), the image \(32, 48\)"):
        overlay(IMAGE, np.zeros((48, 32)), 0, 1)
    with pytest.raises(ValueError, match=r"the mask is \(48, 32\), the picture \(32, 48\)"):
        overlay(IMAGE, np.zeros((32, 48)), 0, 1, mask=np.zeros((48, 32), bool))
    with pytest.raises(ValueError, match=r"low=1, high=1; low must be below high"):
        overlay(IMAGE, np.zeros((32, 48)), 1, 1)


@pytest.mark.parametrize("threshold", [None, 0.5, 2.0])
@pytest.mark.parametrize("masked", [False, True])
def test_predictions_are_whole_pngs(tmp_path, threshold, masked):
    heat = np.linspace(0, 1, 32 * 48, dtype=np.float32).reshape(32, 48)
    path = tmp_path / "made" / "one.png"
    mask = heat > 0.9 if masked else None
    save_prediction(path, IMAGE, heat, score=1.0, threshold=threshold, low=0, high=1, mask=mask, name="scratch/1.png")
    with Image.open(path) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert picture.width > picture.height > 100
    assert [p.name for p in path.parent.iterdir()] == ["one.png"]


def test_the_picture_tells_of_the_threshold(tmp_path):
    heat = np.linspace(0, 1, 32 * 48, dtype=np.float32).reshape(32, 48)
    grey = np.full_like(IMAGE, 90)
    shown = {}
    for threshold in (None, 0.5, 0.7):
        save_prediction(tmp_path / "a.png", grey, heat, score=1.0, threshold=threshold, low=0, high=1)
        with Image.open(tmp_path / "a.png") as picture:
            shown[threshold] = np.asarray(picture.convert("RGB"))
    cyan = {key: (np.abs(pixels.astype(int) - CONTOUR).max(axis=2) < 20).sum() for key, pixels in shown.items()}
    assert cyan[None] == 0
    assert cyan[0.5] > 100
    assert not np.array_equal(shown[0.5], shown[0.7])
