from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dlkd.data import DataError, Folder, MVTec


def test_order_and_masks(mvtec_tree: Path) -> None:
    category = Folder(mvtec_tree).load("bottle")
    assert [s.image.name for s in category.train] == ["000.png", "001.png", "002.png"]
    assert [(s.defect, s.image.name) for s in category.test] == [
        *(("blob", "000.png"), ("blob", "001.png"), ("crack", "000.png"), ("crack", "001.png")),
        *(("good", "000.png"), ("good", "001.png")),
    ]
    for sample in category.anomalies:
        assert sample.mask == (mvtec_tree / "bottle" / "ground_truth" / sample.defect / f"{sample.image.stem}_mask.png")


def test_root_may_be_one_category(mvtec_tree: Path) -> None:
    dataset = Folder(mvtec_tree / "tile")
    assert dataset.categories() == ("tile",)
    assert dataset.load("tile").train == Folder(mvtec_tree).load("tile").train


def test_foreign_files_are_passed_over(mvtec_tree: Path) -> None:
    before = Folder(mvtec_tree).load("bottle")
    for place in ("train/good", "test/crack", "ground_truth/crack", "test"):
        for name in (".DS_Store", "._000.png", "Thumbs.db", "notes.txt"):
            (mvtec_tree / "bottle" / place / name).write_bytes(b"x")
    (mvtec_tree / "license.txt").write_text("x")
    (mvtec_tree / "scripts").mkdir()
    assert Folder(mvtec_tree).categories() == ("bottle", "tile")
    assert Folder(mvtec_tree).load("bottle") == before


def test_masks_are_optional_for_a_category_as_a_whole(mvtec_tree: Path) -> None:
    shutil.rmtree(mvtec_tree / "bottle" / "ground_truth")
    category = Folder(mvtec_tree).load("bottle")
    assert len(category.anomalies) == 4
    assert not category.has_masks


def test_a_category_without_anomalies_loads(mvtec_tree: Path) -> None:
    for defect in ("crack", "blob"):
        shutil.rmtree(mvtec_tree / "bottle" / "test" / defect)
    shutil.rmtree(mvtec_tree / "bottle" / "ground_truth")
    category = Folder(mvtec_tree).load("bottle")
    assert category.anomalies == ()
    assert not category.has_masks
    shutil.rmtree(mvtec_tree / "bottle" / "test")
    assert Folder(mvtec_tree).load("bottle").test == ()


def test_every_problem_is_in_one_error(mvtec_tree: Path, write) -> None:
    bottle = mvtec_tree / "bottle"
    lost_mask = bottle / "ground_truth" / "crack" / "000_mask.png"
    lost_mask.unlink()
    lost_image = bottle / "test" / "blob" / "001.png"
    lost_image.unlink()
    foreign = write(bottle / "ground_truth" / "dent" / "000_mask.png", mask=True)
    twice = write(bottle / "ground_truth" / "crack" / "001.bmp", mask=True)
    write(bottle / "train" / "crack" / "000.png")
    with pytest.raises(DataError) as caught:
        Folder(mvtec_tree).load("bottle")
    problems = caught.value.problems
    assert len(problems) == 5
    for path, problem in (
        (bottle / "test" / "crack" / "000.png", "anomalous image without its mask"),
        (bottle / "ground_truth" / "blob" / "001_mask.png", "mask without its image"),
        (foreign, "mask without its image"),
        (bottle / "train" / "crack", "training uses train/good only; move these images to test/"),
    ):
        assert f"{path}: {problem}" in problems
        assert f"{path}: {problem}" in str(caught.value)
    assert any(str(twice.with_name("001_mask.png")) in p or str(twice) in p for p in problems)
    assert caught.value.found is not None
    assert len(caught.value.found.train) == 3


def test_two_images_for_one_mask(mvtec_tree: Path, write) -> None:
    write(mvtec_tree / "bottle" / "test" / "crack" / "000.bmp")
    with pytest.raises(DataError, match=r"000\.png: shares its mask with 000\.bmp"):
        Folder(mvtec_tree).load("bottle")


def test_a_mask_in_capitals_is_told_its_name(mvtec_tree: Path) -> None:
    truth = mvtec_tree / "bottle" / "ground_truth" / "crack"
    mask = next(truth.iterdir())
    stem = mask.stem.removesuffix("_mask")
    mask.rename(truth / f"{stem}_MASK.PNG")
    with pytest.raises(DataError, match=rf"_MASK\.PNG: mask without its image; .* {stem}\.png or {stem}_mask\.png"):
        Folder(mvtec_tree).load("bottle")


def test_a_long_list_of_problems_is_cut_in_the_message_only(mvtec_tree: Path, write) -> None:
    for i in range(30):
        write(mvtec_tree / "bottle" / "ground_truth" / "dent" / f"{i:03d}_mask.png", mask=True)
    with pytest.raises(DataError, match="and 10 more") as caught:
        Folder(mvtec_tree).load("bottle")
    assert len(caught.value.problems) == 30


def test_an_empty_category(mvtec_tree: Path) -> None:
    shutil.rmtree(mvtec_tree / "bottle" / "train" / "good")
    (mvtec_tree / "bottle" / "train" / "ok").mkdir()
    with pytest.raises(DataError, match=r"no training images: looked for train/good/.*holds ok/"):
        Folder(mvtec_tree).load("bottle")


def test_mvtec_takes_its_own_categories_only(mvtec_tree: Path) -> None:
    (mvtec_tree / "tile").rename(mvtec_tree / "tiles")
    assert MVTec(mvtec_tree).categories() == ("bottle",)
    assert Folder(mvtec_tree).categories() == ("bottle", "tiles")
    with pytest.raises(DataError, match="unknown category 'tiles'"):
        MVTec(mvtec_tree).load("tiles")
    with pytest.raises(DataError, match="is one category; give the folder that holds it"):
        MVTec(mvtec_tree / "bottle").categories()
