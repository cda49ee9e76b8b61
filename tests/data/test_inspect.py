from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dlkd.data import ELPV, DataError, Folder, MVTecLOCO, inspect_dataset, read_image
from dlkd.data.pictures.sheet import picture_sheet


def test_a_sound_dataset(mvtec_tree: Path) -> None:
    seen = []
    report = inspect_dataset(Folder(mvtec_tree), progress=lambda done, total: seen.append((done, total)))
    assert report.dataset == "folder"
    assert report.sound
    bottle = report.categories[0]
    assert (bottle.name, bottle.train, bottle.normal, bottle.anomalous) == ("bottle", 3, 2, 4)
    assert bottle.test == {"blob": 2, "crack": 2, "good": 2}
    assert (bottle.sizes, bottle.modes, bottle.masks) == ({"16x16": 9}, {"RGB": 9}, 4)
    low, middle, high = bottle.defect_area
    assert 3 * 2 / 256 <= low <= middle <= high <= 3 * 5 / 256
    assert bottle.notes == []
    assert seen == [(i, 9) for i in range(1, 10)] * 2


def test_what_is_wrong_is_found(mvtec_tree: Path, write, tmp_path: Path) -> None:
    bottle = mvtec_tree / "bottle"
    # The same pixels under another name and format.
    Image.open(bottle / "train/good/001.png").save(bottle / "test/good/009.bmp")
    (bottle / "train/good/002.png").write_bytes(b"")
    write(bottle / "test/good/001.png", size=20)
    Image.fromarray(np.zeros((16, 16), dtype=np.uint8)).save(bottle / "ground_truth/crack/000_mask.png")
    write(bottle / "ground_truth/crack/001_mask.png", size=8, mask=True)
    Image.open(bottle / "test/blob/000.png").convert("L").save(bottle / "test/blob/000.png")
    report = inspect_dataset(Folder(mvtec_tree), categories=["bottle"])
    assert not report.sound
    sheet = picture_sheet(Folder(mvtec_tree), tmp_path / "sheet.png")
    assert (read_image(sheet)[..., 0] > read_image(sheet)[..., 1] + 150).any(), "damage is not marked"
    found = report.categories[0]
    assert len(found.problems) == 2
    assert "002.png: the file is empty" in found.problems[0]
    assert "001_mask.png: mask of 8x8" in found.problems[1]
    assert found.duplicates == [(str(bottle / "train/good/001.png"), str(bottle / "test/good/009.bmp"))]
    assert found.empty_masks == [str(bottle / "ground_truth/crack/000_mask.png")]
    assert found.notes == [
        "2 image sizes",
        "image modes are mixed: RGB, L",
        "1 masks mark no pixel",
        "1 test images are also training images",
    ]
    text = str(report)
    for line in (
        "bottle: 3 train, 3 normal and 4 anomalous test images",
        "  defects: 2 blob, 2 crack",
        "  sizes: 16x16 (8), 20x20 (1); modes: RGB (8), L (1)",
        "  note: 2 image sizes",
        f"    empty: {found.empty_masks[0]}",
        f"    twice: {found.duplicates[0][1]} is {found.duplicates[0][0]}",
        f"  problem: {found.problems[0]}",
    ):
        assert line in text.splitlines()


def test_orphans_are_problems_and_the_rest_is_counted_all_the_same(mvtec_tree: Path) -> None:
    (mvtec_tree / "bottle/test/crack/000.png").unlink()
    (mvtec_tree / "bottle/ground_truth/crack/001_mask.png").unlink()
    found = inspect_dataset(Folder(mvtec_tree)).categories[0]
    assert (found.train, found.test, found.masks) == (3, {"blob": 2, "crack": 1, "good": 2}, 2)
    assert [p.split(": ")[1] for p in found.problems] == [
        *("mask without its image", "anomalous image without its mask"),
    ]


def test_undefined_metrics_are_noted(mvtec_tree: Path, elpv_tree: Path) -> None:
    shutil.rmtree(mvtec_tree / "bottle/test")
    shutil.rmtree(mvtec_tree / "bottle/ground_truth")
    shutil.rmtree(mvtec_tree / "tile/test/good")
    bottle, tile = inspect_dataset(Folder(mvtec_tree)).categories
    assert bottle.notes == ["no test images: image metrics are undefined"]
    assert tile.notes == ["no normal images: image metrics are undefined"]
    elpv = inspect_dataset(ELPV(elpv_tree, uncertain="round")).categories[0]
    assert elpv.notes == ["no masks: pixel metrics are absent"]


def test_a_wrong_path_raises(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="looked for"):
        inspect_dataset(Folder(tmp_path))


def test_picture_sheet(loco_tree: Path, mvtec_tree: Path, tmp_path: Path) -> None:
    small = picture_sheet(Folder(mvtec_tree), tmp_path / "one.png", categories=["tile"], columns=4)
    large = picture_sheet(Folder(mvtec_tree), tmp_path / "two.png", columns=4)
    one, two = read_image(small), read_image(large)
    assert two.shape[0] == 2 * one.shape[0]
    assert two.shape[1] == one.shape[1]
    red = (two[..., 0] > 200) & (two[..., 1] < 60)
    assert red.any(), "no outline of a mask"
    picture_sheet(MVTecLOCO(loco_tree), tmp_path / "three.png")


def test_defects_smaller_than_a_pixel_of_the_network_are_said(mvtec_tree: Path) -> None:
    """The masks mark squares of 3 x 2 to 3 x 5 pixels in pictures of 16 x 16."""
    (found,) = inspect_dataset(Folder(mvtec_tree), categories=["bottle"], network=(2, 3)).categories
    assert found.small_defects == 4
    assert any("4 defects are smaller than a pixel of the network at 2x3" in note for note in found.notes)
    (found,) = inspect_dataset(Folder(mvtec_tree), categories=["bottle"], network=(16, 16)).categories
    assert found.small_defects == 0
    assert not any("smaller" in note for note in found.notes)
