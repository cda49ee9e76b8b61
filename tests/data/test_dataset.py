from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from dlkd.data import DataError, Folder, ImageDataset, Sample, read_image, read_mask
from dlkd.data import dataset as module
from dlkd.data.pictures import sample_mask

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)


def make(samples, **options) -> ImageDataset:
    return ImageDataset(samples, mean=MEAN, std=STD, **options)


def test_items(mvtec_tree: Path) -> None:
    test = Folder(mvtec_tree).load("bottle").test
    dataset = make(test, image_size=24, with_masks=True)
    assert len(dataset) == len(test)
    for index, sample in enumerate(test):
        item = dataset[index]
        assert set(item) == {"image", "label", "index", "mask"}
        assert (item["image"].shape, item["image"].dtype) == ((3, 24, 24), torch.float32)
        assert (item["mask"].shape, item["mask"].dtype) == ((24, 24), torch.bool)
        assert (item["label"], item["index"]) == (sample.label, index)
        assert bool(item["mask"].any()) == (sample.label == 1)
    assert "mask" not in make(test, image_size=24)[0]
    with pytest.raises(IndexError):
        dataset[len(test)]
    assert len(list(dataset)) == len(test)


def test_pixels_are_normalised_and_nothing_else_at_their_own_size(mvtec_tree: Path) -> None:
    sample = Folder(mvtec_tree).load("bottle").test[0]
    item = make([sample], image_size=16, with_masks=True)[0]
    scaled = read_image(sample.image).transpose(2, 0, 1).astype(np.float64) / 255
    expected = (scaled - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    torch.testing.assert_close(item["image"].double(), torch.from_numpy(expected), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(item["mask"].numpy(), read_mask(sample.mask))


def test_resize_is_antialiased_for_images_and_nearest_for_masks(tmp_path: Path) -> None:
    # One bright column in four: each output pixel must see it, where plain bilinear sees two in the middle.
    board = np.zeros((32, 64), dtype=np.uint8)
    board[:, ::4] = 255
    marked = np.zeros((32, 64), dtype=np.uint8)
    marked[8:20, 16:40] = 255
    Image.fromarray(board).save(tmp_path / "i.png")
    Image.fromarray(marked).save(tmp_path / "m.png")
    sample = Sample(tmp_path / "i.png", 1, "x", tmp_path / "m.png")
    item = ImageDataset([sample], image_size=(8, 16), mean=(0,) * 3, std=(1,) * 3, with_masks=True)[0]
    assert item["image"].shape == (3, 8, 16)
    inner = item["image"][:, 1:-1, 1:-1]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.25), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(item["mask"].numpy(), marked[::4, ::4] > 0)


def test_a_mask_of_another_size_names_both_files(mvtec_tree: Path, write) -> None:
    mask = write(mvtec_tree / "bottle/ground_truth/crack/000_mask.png", size=12, mask=True)
    dataset = make(Folder(mvtec_tree).load("bottle").test, image_size=24, with_masks=True)
    with pytest.raises(DataError, match=f"{mask}: mask of 12x12 for .*test/crack/000.png of 16x16"):
        dataset[2]
    assert "mask" not in make(dataset.samples, image_size=24)[2]  # not read where not asked for


def test_images_of_several_sizes_come_out_as_one(mvtec_tree: Path, write) -> None:
    write(mvtec_tree / "bottle/train/good/000.png", size=40)
    images = [item["image"] for item in make(Folder(mvtec_tree).load("bottle").train, image_size=24)]
    assert {image.shape for image in images} == {(3, 24, 24)}


def test_masks_cannot_be_asked_for_where_there_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="pixel metrics need them"):
        make([Sample(tmp_path / "a.png", 1, "crack")], with_masks=True)
    make([Sample(tmp_path / "a.png", 0)], with_masks=True)


@pytest.mark.parametrize("size", [0, (24,), (0, 24)])
def test_a_size_that_is_none(size: object) -> None:
    with pytest.raises(ValueError, match="image_size must be a side or"):
        make([], image_size=size)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_picture_is_decoded_once(mvtec_tree: Path, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    test = Folder(mvtec_tree).load("bottle").test
    dataset = make(test, image_size=24, with_masks=True)

    def batches() -> list:
        loader = DataLoader(dataset, batch_size=4, num_workers=workers, multiprocessing_context=None)
        return list(loader)

    first = batches()
    monkeypatch.setattr(module, "read_image", lambda path: pytest.fail(f"{path} decoded again"))
    monkeypatch.setattr(sample_mask, "look_at_mask", lambda path: pytest.fail(f"{path} decoded again"))
    again = batches()
    another_process = list(DataLoader(pickle.loads(pickle.dumps(dataset)), batch_size=4))
    for a, b, c in zip(first, again, another_process, strict=True):
        for key in a:
            assert torch.equal(a[key], b[key])
            assert torch.equal(a[key], c[key])


def test_a_changed_picture_is_read_anew(mvtec_tree: Path, write) -> None:
    train = Folder(mvtec_tree).load("bottle").train
    before = make(train, image_size=24)[0]["image"]
    write(train[0].image)
    assert not torch.equal(make(train, image_size=24)[0]["image"], before)


def test_items_do_not_share_memory_with_the_cache(mvtec_tree: Path) -> None:
    dataset = make(Folder(mvtec_tree).load("bottle").test, image_size=24, with_masks=True)
    before = dataset[2]
    image, mask = before["image"].clone(), before["mask"].clone()
    before["image"].zero_()
    before["mask"].zero_()
    assert torch.equal(dataset[2]["image"], image)
    assert torch.equal(dataset[2]["mask"], mask)


def test_damage_is_named_from_a_worker_too(mvtec_tree: Path) -> None:
    train = Folder(mvtec_tree).load("bottle").train
    train[1].image.write_bytes(b"")
    with pytest.raises(DataError, match=r"001\.png: the file is empty"):
        list(DataLoader(make(train), num_workers=1))
