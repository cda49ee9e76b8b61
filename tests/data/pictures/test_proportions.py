"""Images that are squeezed, since most training images have other proportions, are said before the training."""

import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dlkd.data import Folder, inspect_dataset
from dlkd.data.named import verify_data
from dlkd.data.pictures.proportions import SQUEEZED, proportions_of, squeezed, squeezed_images
from dlkd.registry import default_registry
from dlkd.text import Terminal


@pytest.fixture
def turned() -> Image.Image:
    picture = Image.new("RGB", (9, 16))
    picture.getexif()[0x0112] = 6
    return picture


def test_proportions_are_those_of_the_upright_picture(tmp_path: Path, turned: Image.Image) -> None:
    Image.new("RGB", (16, 9)).save(tmp_path / "wide.png")
    turned.save(tmp_path / "turned.jpg", exif=turned.getexif())
    for wide in (tmp_path / "wide.png", str(tmp_path / "turned.jpg"), turned, np.zeros((9, 16, 3), np.uint8)):
        assert proportions_of(wide) == pytest.approx(16 / 9)
    assert all(math.isnan(proportions_of(nothing)) for nothing in (tmp_path / "absent.png", 3, np.zeros(4)))


def test_other_proportions_are_said() -> None:
    said = str(squeezed([16 / 9, 1.0, 16 / 9, math.nan], 1.0))
    assert "2 of 4 pictures" in said
    assert "trained on width per height 1.00, theirs is 1.78" in said
    assert squeezed([1.0], 1.05) is None
    assert squeezed([1.0, 2.0], math.nan) is None


def test_one_line_per_data_set_says_it_before_the_training(mvtec_tree: Path) -> None:
    registry = default_registry()
    node = registry.complete("dataset", {"name": "folder", "root": str(mvtec_tree)})
    for name in ("tile", "bottle"):
        for place in ("train/good/000.png", "test/good/001.png"):
            Image.new("RGB", (16, 9)).save(mvtec_tree / name / place)
    assert squeezed_images(Folder(mvtec_tree).load("tile")) == 2
    for _ in range(2):  # what is known of the files is said again
        printed = io.StringIO()
        verify_data(registry, [(node, "tile"), (node, "bottle"), (node, "tile")], Terminal(file=printed))
        assert printed.getvalue() == f"tile, bottle: {SQUEEZED}\n"
    report = str(inspect_dataset(Folder(mvtec_tree), categories=["tile"]))
    assert "note: 2 images have other proportions than most training images" in report
