from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dlkd.data.pictures import resize as module
from dlkd.data.pictures.resize import resize, resize_weights

SIZES = [
    ((40, 32), (128, 128)),
    ((64, 64), (16, 16)),
    ((50, 33), (16, 21)),
    ((31, 200), (32, 64)),
    ((5, 7), (3, 60)),
    ((1, 3), (4, 1)),
]


def picture(h: int, w: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (h, w, 3), dtype=np.uint8)


def literal(levels: np.ndarray, target: int) -> np.ndarray:
    """The first axis of (n, m) at `target`: each pixel by its own sum, in float64."""
    n, m = levels.shape
    scale = n / target
    width = max(scale, 1.0)
    out = np.zeros((target, m))
    for i in range(target):
        total = 0.0
        for j in range(n):
            weight = max(0.0, 1 - abs(j + 0.5 - (i + 0.5) * scale) / width)
            out[i] += weight * levels[j].astype(float)
            total += weight
        out[i] /= total
    return out


@pytest.mark.parametrize(("source", "target"), SIZES)
def test_it_is_the_separable_sum_and_pytorchs_without_rounding(
    source: tuple[int, int], target: tuple[int, int]
) -> None:
    x = picture(*source)
    found = resize(x, target)
    assert (found.shape, found.dtype) == ((3, *target), np.float32)
    for channel, levels in zip(found, x.transpose(2, 0, 1), strict=True):
        expected = literal(literal(levels, target[0]).T, target[1]).T
        np.testing.assert_allclose(channel, expected, rtol=0, atol=1e-4)
    tensor = torch.from_numpy(x).permute(2, 0, 1)[None]
    for dtype in (torch.float32, torch.float64):
        pytorch = F.interpolate(tensor.to(dtype), target, mode="bilinear", antialias=True)[0]
        np.testing.assert_allclose(found, pytorch.numpy(), rtol=0, atol=2e-4)


def test_two_dense_products_repeat_it() -> None:
    x = picture(90, 70)
    v, h = (resize_weights(a, b).toarray() for a, b in ((90, 32), (70, 48)))
    assert (v.shape, v.dtype) == ((32, 90), np.float32)
    np.testing.assert_allclose(v.sum(axis=1), 1, rtol=0, atol=1e-6)
    repeated = v @ x.transpose(2, 0, 1).astype(np.float32) @ h.T
    np.testing.assert_allclose(resize(x, (32, 48)), repeated, rtol=0, atol=1e-4)


def test_a_size_that_is_there_already_is_left_bit_by_bit() -> None:
    x = picture(33, 47)
    np.testing.assert_array_equal(resize(x, (33, 47)), x.transpose(2, 0, 1))
    levels = x.astype(np.float32) / 3
    np.testing.assert_array_equal(resize(levels, (33, 47)), levels.transpose(2, 0, 1))
    assert resize_weights(9, 9).toarray().tolist() == np.eye(9).tolist()


def test_grey_levels_between_whole_ones_stay() -> None:
    ramp = np.repeat(np.arange(64, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(64, axis=0)
    found = resize(ramp, (16, 16))
    np.testing.assert_allclose(found[0, 0, 1:-1], 4 * np.arange(1, 15) + 1.5, rtol=0, atol=1e-4)
    np.testing.assert_allclose(resize(ramp / np.float32(255), (16, 16)) * 255, found, rtol=0, atol=1e-4)


def test_bands_of_a_large_picture_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    x = picture(301, 150)
    whole = resize(x, (64, 64))
    monkeypatch.setattr(module, "_BAND", 3000)
    np.testing.assert_array_equal(resize(x, (64, 64)), whole)


def test_a_constant_stays_constant_up_and_down() -> None:
    for n in (1, 10, 63, 64, 65, 500):
        found = resize(np.full((n, n, 3), 255, dtype=np.uint8), (64, 64))
        assert math.isclose(found.min(), 255, rel_tol=1e-6)
        assert math.isclose(found.max(), 255, rel_tol=1e-6)


@pytest.mark.parametrize("sizes", [(0, 4), (4, 0)])
def test_no_pixels(sizes: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        resize_weights(*sizes)
