from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dlkd.data import Category, DataError, Folder, ImageDataset, MVTecLOCO, Sample
from dlkd.data import digest as module
from dlkd.data.digest import category_digest, file_digest


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as long unchanged, so that their hashes are kept."""
    monkeypatch.setattr(module, "_RACY", -(10**12))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose contents are read."""
    read: list[Path] = []

    def counted(path: Path) -> str:
        read.append(path)
        return file_digest(path)

    monkeypatch.setattr(module, "file_digest", counted)
    return read


def test_digest_is_of_contents_and_not_of_places(mvtec_tree: Path, tmp_path: Path) -> None:
    before = category_digest(Folder(mvtec_tree).load("tile"))
    shutil.copytree(mvtec_tree, tmp_path / "elsewhere")
    assert category_digest(Folder(tmp_path / "elsewhere").load("tile")) == before
    assert category_digest(Folder(mvtec_tree).load("bottle")) != before


@pytest.mark.parametrize(
    "changed", ["train/good/001.png", "test/good/000.png", "test/crack/001.png", "ground_truth/crack/000_mask.png"]
)
def test_digest_changes_with_any_file(mvtec_tree: Path, changed: str) -> None:
    before = category_digest(Folder(mvtec_tree).load("tile"))
    Image.fromarray(np.full((16, 16), 7, np.uint8)).save(mvtec_tree / "tile" / changed)
    assert category_digest(Folder(mvtec_tree).load("tile")) != before


def test_digest_tells_split_label_and_defect(mvtec_tree: Path) -> None:
    image = mvtec_tree / "tile" / "train" / "good" / "000.png"
    one, other = Sample(image, 0), Sample(image, 1, "crack")
    categories = [Category("d", "c", (one,), ()), Category("d", "c", (), (one,)), Category("d", "c", (), (other,))]
    categories += [Category("d", "c", (), (Sample(image, 1, "cut"),)), Category("d", "c", (), (other, other))]
    categories.append(Category("d", "c", (), (Sample(image, 1, "crack", image),)))
    assert len({category_digest(category) for category in categories}) == len(categories)


def test_a_part_of_a_folder_of_masks_counts_for_digest_and_cached_pixels(loco_tree: Path) -> None:
    dataset = MVTecLOCO(loco_tree)
    sample = dataset.load("pushpins").anomalies[0]
    assert sample.mask is not None

    def seen() -> tuple[str, Path | None]:
        cache = ImageDataset([sample], mean=[0] * 3, std=[1] * 3, image_size=32)._cache
        return category_digest(dataset.load("pushpins")), cache.path

    before, times = seen(), sample.mask.stat()
    Image.fromarray(np.full((16, 16), 9, np.uint8)).save(next(sample.mask.iterdir()))
    assert sample.mask.stat().st_mtime_ns == times.st_mtime_ns  # the folder itself does not show it
    after = seen()
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_second_look_reads_no_file(mvtec_tree: Path, reads: list[Path]) -> None:
    category = Folder(mvtec_tree).load("tile")
    told: list[tuple[int, int]] = []
    first = category_digest(category, progress=lambda *done: told.append(done))
    assert len(reads) == 13
    assert told[-1] == (13, 13)
    assert category_digest(category) == first
    assert len(reads) == 13


def test_pictures_swapped_by_rename_are_seen(mvtec_tree: Path, reads: list[Path]) -> None:
    """Same names, sizes and mtimes: only ctime and inode differ."""
    folder = mvtec_tree / "tile" / "train" / "good"
    a, b = folder / "a.bmp", folder / "b.bmp"
    for path, value in ((a, 10), (b, 200)):
        Image.fromarray(np.full((16, 16, 3), value, np.uint8)).save(path)
        os.utime(path, ns=(10**18, 10**18))
    before = category_digest(Folder(mvtec_tree).load("tile"))
    level = ImageDataset([Sample(a, 0)], mean=[0] * 3, std=[1] * 3, image_size=32)[0]["image"].mean()
    a.rename(folder / "c")
    b.rename(a)
    (folder / "c").rename(b)
    assert category_digest(Folder(mvtec_tree).load("tile")) != before
    assert ImageDataset([Sample(a, 0)], mean=[0] * 3, std=[1] * 3, image_size=32)[0]["image"].mean() > level + 0.5


def test_a_file_that_just_changed_is_read_again(
    mvtec_tree: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RACY", 3600 * 10**9)
    category = Folder(mvtec_tree).load("tile")
    category_digest(category)
    category_digest(category)
    assert len(reads) == 26


@pytest.mark.parametrize("damage", ["garbage", "binary", "folder", "file for the folder"])
def test_a_broken_store_only_costs_time(mvtec_tree: Path, own_cache: Path, damage: str) -> None:
    category = Folder(mvtec_tree).load("tile")
    before = category_digest(category)
    (store,) = (own_cache / "digests").iterdir()
    if damage == "file for the folder":
        shutil.rmtree(store.parent)
        store.parent.write_text("")
    elif damage == "folder":
        store.unlink()
        (store / "x").mkdir(parents=True)
    else:
        store.write_bytes(b"x" * 200 if damage == "garbage" else b"\xff\n" * 200)
    assert category_digest(category) == before


def test_an_absent_file_is_named(mvtec_tree: Path) -> None:
    category = Folder(mvtec_tree).load("tile")
    category.train[1].image.unlink()
    with pytest.raises(DataError, match=r"001\.png: cannot be read \(No such file"):
        category_digest(category)
