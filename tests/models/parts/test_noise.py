"""Pseudo-anomalies: x + intensity * N(0, 1), absolute or in units of the map's own spread."""

import pytest
import torch

from dlkd.models import GaussianNoise


def seeded():
    return torch.Generator().manual_seed(3)


def test_absolute_noise_is_the_generators_own():
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    drawn = torch.randn(x.shape, generator=seeded(), dtype=torch.float64)
    torch.testing.assert_close(GaussianNoise(intensity=0.3)(x, generator=seeded()), x + 0.3 * drawn)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 7, 6)])
def test_relative_noise_is_in_units_of_each_samples_spread(shape):
    """Features are maps (b, c, h, w), and a ViT's inner ones tokens (b, n, c)."""
    x = torch.randn(shape, dtype=torch.float64) * torch.tensor([1.0, 9.0]).reshape(2, *[1] * (len(shape) - 1))
    drawn = torch.randn(shape, generator=seeded(), dtype=torch.float64)
    expected = torch.stack([x[n] + 0.3 * x[n].std() * drawn[n] for n in range(2)])
    torch.testing.assert_close(GaussianNoise(intensity=0.3, relative=True)(x, generator=seeded()), expected)


def test_the_papers_intensity_is_a_standard_deviation_of_a_fifth():
    noise = GaussianNoise()(torch.zeros(1, 1, 300, 300), generator=seeded())
    assert noise.std().item() == pytest.approx(0.2, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.003)


def test_no_intensity_is_no_noise_and_a_negative_one_is_refused():
    x = torch.randn(1, 2, 3, 3)
    assert torch.equal(GaussianNoise(intensity=0.0)(x), x)
    with pytest.raises(ValueError, match=r"noise: intensity must be at least 0, got -0.1"):
        GaussianNoise(intensity=-0.1)
