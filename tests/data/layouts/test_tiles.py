"""Large pictures as tiles: what each shows, what it is called, once per state of the picture."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dlkd.data import DataError, Tiles, read_image, read_mask
from dlkd.data.label import dataset_label
from dlkd.data.pictures.images import read_image as read

Write = Callable[..., Path]


@pytest.fixture
def roll(tmp_path: Path, write: Write) -> Path:
    """One training picture of 40x40 pixels, one test picture with a defect in its upper left corner, one without."""
    root = tmp_path / "roll"
    for part in ("train/good/0.png", "test/good/0.png", "test/spot/0.png"):
        write(root / part, size=40)
    write(root / "ground_truth/spot/0_mask.png", size=40, mask=True)
    return root


def test_tiles_cover_a_picture_and_those_that_the_mask_marks_are_anomalous(roll: Path) -> None:
    found = Tiles(roll, size=24).load("roll")
    assert [sample.label for sample in found.train] == [0] * 4
    assert [sample.label for sample in found.test] == [0, 0, 0, 0, 1, 0, 0, 0]
    whole = read_image(roll / "test/spot/0.png")
    for sample, (top, left) in zip(found.test[4:], [(0, 0), (0, 16), (16, 0), (16, 16)], strict=True):
        assert (read_image(sample.image) == whole[top : top + 24, left : left + 24]).all()
    spot = found.test[4]
    assert spot.defect == "spot"
    assert spot.mask is not None
    assert (read_mask(spot.mask) == read_mask(roll / "ground_truth/spot/0_mask.png")[:24, :24]).all()
    assert [(s.defect, s.mask) for s in found.test if s is not spot] == [("good", None)] * 7
    assert found.notes[-1] == "cut into tiles of 24x24 pixels: 1 training images into 4"
    assert len(Tiles(roll, size=24, overlap=0.5).load("roll").train) == 9


def test_a_picture_is_cut_once_for_each_of_its_states(roll: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_files: list[Path] = []
    monkeypatch.setattr("dlkd.data.layouts.tiles.read_image", lambda path: [read(path), read_files.append(path)][0])
    before = Tiles(roll, size=24).load("roll")
    assert len(read_files) == 3
    assert Tiles(roll, size=24).load("roll") == before
    assert len(read_files) == 3
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(roll / "train/good/0.png")
    assert not read_image(Tiles(roll, size=24).load("roll").train[0].image).any()
    assert len(read_files) == 4


def test_a_smaller_picture_is_continued_by_its_mirror_image(roll: Path) -> None:
    (tile,) = Tiles(roll, size=60).load("roll").train
    whole = read_image(roll / "train/good/0.png")
    assert (read_image(tile.image)[:40, :40] == whole).all()
    assert (read_image(tile.image)[40:, :40] == whole[:19:-1]).all()


def test_what_cannot_be_cut_is_named_all_at_once(roll: Path) -> None:
    (roll / "ground_truth/spot/0_mask.png").unlink()
    (roll / "test/good/0.png").write_text("no picture")
    with pytest.raises(DataError, match=r"spot/0\.png: has no mask that says which") as error:
        Tiles(roll, size=24).load("roll")
    assert "good/0.png: not a picture" in str(error.value)
    with pytest.raises(ValueError, match="size must be at least 16 pixels, got 8"):
        Tiles(roll, size=8)
    with pytest.raises(ValueError, match=r"overlap is a share of the tile from 0 to 0\.9, got 1"):
        Tiles(roll, overlap=1)


def test_the_label_names_the_folder_and_the_size(roll: Path) -> None:
    assert dataset_label({"name": "tiles", "root": str(roll), "size": 24}) == "tiles:roll,size=24"
