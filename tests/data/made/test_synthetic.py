from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dlkd.data import ELPV, Category, DataError, Sample, carve_validation, read_image, read_mask


@pytest.fixture
def category(tmp_path: Path, write) -> Category:
    train = tuple(Sample(write(tmp_path / "in" / f"{i:02d}.png", size=48), 0) for i in range(20))
    return Category("folder", "tile", train, (Sample(tmp_path / "secret.png", 1, "crack"),))


def test_only_training_images_are_used(category: Category) -> None:
    carved = carve_validation(category, share=0.3)
    normal = [s for s in carved.test if s.label == 0]
    assert (carved.dataset, carved.name) == ("folder", "tile")
    assert (len(carved.train), len(normal), len(carved.anomalies)) == (14, 6, 6)
    assert set(carved.train) | set(normal) == set(category.train)
    assert not set(carved.train) & set(normal)
    assert [s.defect for s in carved.anomalies] == [
        *("smear", "warp", "slip", "stripes", "specks", "tint"),
    ]
    assert carved.has_masks
    for source, planted in zip(normal, carved.anomalies, strict=True):
        before, after, mask = read_image(source.image), read_image(planted.image), read_mask(planted.mask)
        assert not (before != after).any(axis=2)[~mask].any()
        assert (before != after).any(axis=2)[mask].any()


def test_the_same_twice_and_other_seeds_differ(category: Category, tmp_path: Path) -> None:
    one, again = carve_validation(category), carve_validation(category)
    assert one == again
    elsewhere = carve_validation(category, root=tmp_path / "other")
    for a, b in zip(one.anomalies, elsewhere.anomalies, strict=True):
        np.testing.assert_array_equal(read_image(a.image), read_image(b.image))
    assert carve_validation(category, seed=1).train != one.train


def test_a_changed_source_is_planted_anew(category: Category, write) -> None:
    before = carve_validation(category)
    write(before.test[0].image, size=48)
    assert carve_validation(category).anomalies[0].image != before.anomalies[0].image


@pytest.mark.parametrize("share", [0.0, 0.05, 0.95, 1.0])
def test_too_few_on_one_side(category: Category, share: float) -> None:
    with pytest.raises(DataError, match="at least 2 must be held out and 2 left"):
        carve_validation(category, share=share)


def test_an_image_level_dataset_gets_masks(elpv_tree: Path) -> None:
    cells = ELPV(elpv_tree).load("mono")
    with pytest.raises(ValueError, match="at least 32x32"):
        carve_validation(cells, share=0.4)


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_cache_that_cannot_be_written_is_named(
    category: Category, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"planted defects to .*file/planted-.*set DLKD_CACHE"):
        carve_validation(category, root=tmp_path / "file")
    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(DataError, match=r"No space left on device; set DLKD_CACHE"):
        carve_validation(category, root=tmp_path / "full")
    assert list((tmp_path / "full").iterdir()) == []
