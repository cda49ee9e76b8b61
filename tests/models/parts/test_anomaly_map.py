"""Eq. 7 as loops, RD's anomaly map as loops, the Gaussian against SciPy, image scores."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.autograd import gradcheck

from dlkd.models import cosine_map, image_map, image_score
from dlkd.models.parts.anomaly_map import gaussian_blur


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_cosine_map_equals_equation_7():
    teacher, student = draw(2, 5, 3, 4), draw(2, 5, 3, 4, seed=1)
    expected = torch.empty(2, 3, 4, dtype=torch.float64)
    for n in range(2):
        for h in range(3):
            for w in range(4):
                t, f = teacher[n, :, h, w].tolist(), student[n, :, h, w].tolist()
                dot = sum(a * b for a, b in zip(t, f, strict=True))
                norms = math.sqrt(sum(a * a for a in t)) * math.sqrt(sum(b * b for b in f))
                expected[n, h, w] = 1 - dot / norms
    torch.testing.assert_close(cosine_map(teacher, student), expected)


def test_cosine_map_of_equal_opposite_and_orthogonal_features():
    x = draw(1, 2, 3, 3)
    turned = torch.stack([-x[:, 1], x[:, 0]], dim=1)
    for student, distance in ((3 * x, 0.0), (-x, 2.0), (turned, 1.0)):
        torch.testing.assert_close(cosine_map(x, student), torch.full((1, 3, 3), distance, dtype=torch.float64))


def test_cosine_map_of_nothing_is_finite():
    assert cosine_map(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)).eq(1).all()


def test_cosine_map_gradient():
    inputs = [draw(1, 3, 2, 2, seed=s).requires_grad_() for s in (0, 1)]
    assert gradcheck(cosine_map, inputs)


@pytest.mark.parametrize("sigma", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("side", [(64, 50), (9, 33), (3, 2), (1, 1)])
@pytest.mark.parametrize(("border", "mode"), [("symmetric", "reflect"), ("reflect", "mirror")])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_gaussian_blur_equals_scipy(sigma, side, border, mode, dtype, tolerance):
    maps = torch.rand(2, *side, generator=torch.Generator().manual_seed(0), dtype=dtype)
    expected = np.stack([gaussian_filter(m.double().numpy(), sigma, mode=mode) for m in maps])
    blurred = gaussian_blur(maps, sigma, border)
    assert blurred.dtype == dtype
    np.testing.assert_allclose(blurred.numpy(), expected, rtol=0, atol=tolerance)


def test_sigma_zero_leaves_the_map_as_it_is():
    maps = draw(2, 5, 5)
    assert torch.equal(gaussian_blur(maps, 0.0), maps)


def literal_image_map(maps, size, sigma, align_corners, combine="sum"):
    """RD: every scale upsampled bilinearly to the image, combined over scales, Gaussian; loops over pixels."""
    h, w = size

    def source(i, small, large):
        if align_corners:
            x = i * (small - 1) / (large - 1) if large > 1 else 0.0
        else:
            x = max((i + 0.5) * small / large - 0.5, 0.0)
        low = min(int(x), small - 1)
        return low, min(low + 1, small - 1), x - low

    total = np.full((len(maps[0]), h, w), 1.0 if combine == "product" else 0.0)
    for m in maps:
        for n, i, j in np.ndindex(*total.shape):
            top, bottom, down = source(i, m.shape[1], h)
            left, right, along = source(j, m.shape[2], w)
            upper = m[n, top, left] * (1 - along) + m[n, top, right] * along
            lower = m[n, bottom, left] * (1 - along) + m[n, bottom, right] * along
            value = upper * (1 - down) + lower * down
            total[n, i, j] = total[n, i, j] * value if combine == "product" else total[n, i, j] + value
    total = total / len(maps) if combine == "mean" else total
    return np.stack([gaussian_filter(t, sigma) if sigma else t for t in total])


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("sigma", [0.0, 1.5])
@pytest.mark.parametrize("size", [(12, 16), (13, 9)])
def test_image_map_equals_rds(size, sigma, align_corners):
    maps = [draw(2, 6, 8), draw(2, 3, 4, seed=1), draw(2, 2, 1, seed=2)]
    expected = literal_image_map([m.numpy() for m in maps], size, sigma, align_corners)
    found = image_map(maps, size, sigma=sigma, align_corners=align_corners)
    torch.testing.assert_close(found, torch.from_numpy(expected))


@pytest.mark.parametrize("combine", ["mean", "product"])
def test_image_map_of_the_mean_and_of_the_product(combine):
    maps = [draw(2, 3, 4), draw(2, 2, 1, seed=2), draw(2, 2, 3, seed=3)]
    expected = literal_image_map([m.numpy() for m in maps], (7, 5), 1.5, True, combine)
    torch.testing.assert_close(image_map(maps, (7, 5), sigma=1.5, combine=combine), torch.from_numpy(expected))


def test_rds_settings_are_the_defaults():
    maps = [draw(1, 4, 4)]
    torch.testing.assert_close(
        image_map(maps, (20, 20)), torch.from_numpy(literal_image_map([maps[0].numpy()], (20, 20), 4.0, True))
    )


@pytest.mark.parametrize(("top", "count"), [(0.0, 1), (0.001, 1), (0.1, 2), (0.5, 10), (1.0, 20)])
def test_image_score_is_the_maximum_or_the_mean_of_the_highest_fraction(top, count):
    maps = draw(3, 4, 5)
    expected = [sum(sorted(m.flatten().tolist())[-count:]) / count for m in maps]
    torch.testing.assert_close(image_score(maps, top=top), torch.tensor(expected, dtype=torch.float64))
