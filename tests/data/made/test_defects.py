from __future__ import annotations

import numpy as np
import pytest

from dlkd.data.made.defects import DEFECTS, plant
from dlkd.data.made.validation_defects import VALIDATION_DEFECTS

KINDS = {**DEFECTS, **VALIDATION_DEFECTS}


def picture(h: int, w: int) -> np.ndarray:
    return np.random.default_rng(0).integers(60, 180, (h, w, 3), dtype=np.uint8)


@pytest.mark.parametrize("defect", KINDS)
@pytest.mark.parametrize("size", [(32, 32), (48, 96), (129, 65)])
def test_the_mask_is_exact(defect: str, size: tuple[int, int]) -> None:
    image = picture(*size)
    for seed in range(20):
        planted, mask = plant(image, defect, np.random.default_rng(seed), KINDS)
        assert (planted.shape, planted.dtype) == (image.shape, np.uint8)
        assert (mask.shape, mask.dtype) == (size, bool)
        changed = (planted != image).any(axis=2)
        assert not (changed & ~mask).any(), "a pixel outside the mask changed"
        assert changed[mask].mean() > 0.8
        assert 12 <= mask.sum() < 0.5 * mask.size


@pytest.mark.parametrize("defect", KINDS)
def test_defects_vary_in_size_place_and_contrast(defect: str) -> None:
    image = np.full((96, 96, 3), 120, dtype=np.uint8)
    image += np.arange(96, dtype=np.uint8)[:, None, None] // 2
    image[::8] = 180
    areas, centres, changes = [], [], []
    for seed in range(40):
        planted, mask = plant(image, defect, np.random.default_rng(seed), KINDS)
        areas.append(mask.mean())
        centres.append(np.argwhere(mask).mean(axis=0))
        changes.append(np.abs(planted.astype(int) - image)[mask].mean())
    assert max(areas) > 3 * min(areas)
    assert np.std(centres, axis=0).min() > 10
    assert max(changes) > 1.5 * min(changes)


@pytest.mark.parametrize("defect", KINDS)
def test_one_seed_is_one_defect(defect: str) -> None:
    image = picture(64, 64)
    one, again, other = (plant(image, defect, np.random.default_rng(seed), KINDS) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one[0], again[0])
    np.testing.assert_array_equal(one[1], again[1])
    assert (one[0] != other[0]).any()
    np.testing.assert_array_equal(image, picture(64, 64))  # the original stays as it is


def test_validation_has_no_kind_of_the_textures_test_images() -> None:
    assert not set(DEFECTS) & set(VALIDATION_DEFECTS)
    assert not set(DEFECTS.values()) & set(VALIDATION_DEFECTS.values())


def test_what_cannot_be_planted() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="at least 32x32, got 40x31"):
        plant(picture(31, 40), "hole", rng)
    with pytest.raises(ValueError, match="unknown defect 'dent'; known: cut_paste, scratch, stain, hole"):
        plant(picture(32, 32), "dent", rng)
