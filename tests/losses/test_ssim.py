"""Structural similarity, against loops over windows and against scikit-image's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dlkd.contract import ContractError
from dlkd.losses import SSIM


def literal(x: Tensor, y: Tensor, window: int, sigma: float, border: str) -> float:
    """Of two images (c, h, w): the mean over channels and pixels, from the moments in each window."""
    radius = window // 2
    weights = [math.exp(-(d**2) / (2 * sigma**2)) for d in range(-radius, radius + 1)]
    total = sum(weights)
    mode: Any = {"zero": "constant", "reflect": "reflect"}[border]
    values = []
    for a, b in zip(x.numpy(), y.numpy(), strict=True):
        a, b = np.pad(a, radius, mode=mode), np.pad(b, radius, mode=mode)
        for top in range(x.shape[1]):
            for left in range(x.shape[2]):
                moments = [0.0] * 5
                for i in range(window):
                    for j in range(window):
                        w = weights[i] * weights[j] / total**2
                        p, q = a[top + i, left + j], b[top + i, left + j]
                        moments = [m + w * v for m, v in zip(moments, (p, q, p * p, q * q, p * q), strict=True)]
                p, q, pp, qq, pq = moments
                light = (2 * p * q + 0.0001) / (p * p + q * q + 0.0001)
                values.append(light * (2 * (pq - p * q) + 0.0009) / (pp - p * p + qq - q * q + 0.0009))
    return 1 - sum(values) / len(values)


@pytest.mark.parametrize("border", ["zero", "reflect"])
@pytest.mark.parametrize(("window", "sigma"), [(11, 1.5), (3, 0.8)])
def test_it_equals_loops_over_windows(window: int, sigma: float, border: Any) -> None:
    x, y = torch.rand(2, 2, 2, 7, 8, dtype=torch.float64)
    found = SSIM(window=window, sigma=sigma, border=border)(x, y)
    expected = sum(literal(a, b, window, sigma, border) for a, b in zip(x, y, strict=True)) / 2
    assert found.item() == pytest.approx(expected)


def test_inside_it_is_scikit_images() -> None:
    from skimage.metrics import structural_similarity

    x, y = torch.rand(2, 1, 1, 30, 40, dtype=torch.float64)
    options = {"data_range": 1.0, "gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    _, expected = structural_similarity(x[0, 0].numpy(), y[0, 0].numpy(), full=True, **options)
    inside = (slice(None), slice(None), slice(5, -5), slice(5, -5))
    torch.testing.assert_close(SSIM().similarity(x, y)[inside][0, 0], torch.from_numpy(expected)[5:-5, 5:-5])


def test_under_autocast_it_has_the_digits_of_float32() -> None:
    x = torch.rand(1, 3, 16, 16)
    y = x + 0.01 * torch.randn_like(x)
    with torch.autocast("cpu", torch.bfloat16):
        found = SSIM()(x, y)
    torch.testing.assert_close(found, SSIM()(x, y))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [({"window": 10}, "window must be an odd number of pixels, got 10"), ({"sigma": 0.0}, "sigma must be above 0")],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        SSIM(**arguments)


def test_images_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ContractError, match=r"two batches of images .* got \(1, 3, 8, 8\) and \(1, 1, 8, 8\)"):
        SSIM()(torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8))
    with pytest.raises(ContractError, match="a mirrored border of 5 pixels needs larger images"):
        SSIM(border="reflect")(torch.zeros(1, 3, 5, 8), torch.zeros(1, 3, 5, 8))
