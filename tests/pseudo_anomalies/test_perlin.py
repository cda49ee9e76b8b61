"""Perlin masks: the noise against its definition as loops, how masks are drawn, turned and drawn anew."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from dlkd.pseudo_anomalies import Perlin, perlin_noise, turned


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def literal_noise(angles: Tensor, steps: tuple[float, float], size: tuple[int, int]) -> Tensor:
    """Of one grid: the four corners' slopes times the way from there, blended along rows and then along columns."""

    def fade(t: float) -> float:
        return 6 * t**5 - 15 * t**4 + 10 * t**3

    noise = torch.empty(size, dtype=torch.float64)
    for row in range(size[0]):
        for column in range(size[1]):
            y, x = row * steps[0], column * steps[1]
            i, j = math.floor(y), math.floor(x)
            corner = {}
            for down in (0, 1):
                for right in (0, 1):
                    angle = angles[i + down, j + right].item()
                    corner[down, right] = math.cos(angle) * (y - i - down) + math.sin(angle) * (x - j - right)
            left, right_ = (corner[0, k] + fade(y - i) * (corner[1, k] - corner[0, k]) for k in (0, 1))
            noise[row, column] = math.sqrt(2) * (left + fade(x - j) * (right_ - left))
    return noise


def test_the_noise_equals_its_definition() -> None:
    angles = 2 * math.pi * torch.rand(3, 9, 9, dtype=torch.float64)
    steps = torch.tensor([[1 / 16, 8 / 24], [8 / 16, 2 / 24], [5 / 16, 3 / 24]], dtype=torch.float64)
    found = perlin_noise(angles, steps, (16, 24))
    for n in range(3):
        torch.testing.assert_close(found[n], literal_noise(angles[n], tuple(steps[n].tolist()), (16, 24)))


@pytest.mark.parametrize(("padded", "sides"), [(False, (12, 20)), (True, (16, 32))])
def test_masks_are_turned_noise_above_the_threshold(padded: bool, sides: tuple[int, int]) -> None:
    """Cells per side are 2^k, k drawn apart for height and width."""
    masks = Perlin(octaves=[1, 3], threshold=0.2, padded=padded)(torch.zeros(4, 3, 12, 20), seeded())
    draw = seeded()
    k = torch.randint(1, 4, (8,), generator=draw).view(4, 2)
    angles = 2 * math.pi * torch.rand(4, 9, 9, generator=draw)
    degrees = -90 + 180 * torch.rand(4, generator=draw)
    for n in range(4):
        steps = tuple(2.0 ** k[n, axis].item() / sides[axis] for axis in range(2))
        noise = turned(literal_noise(angles[n], steps, (12, 20))[None, None].float(), degrees[n : n + 1])
        torch.testing.assert_close(masks[n : n + 1], (noise > 0.2).float())
    assert masks.any()
    assert len({tuple(row) for row in k.tolist()}) > 1


def test_empty_masks_stay_or_are_drawn_anew() -> None:
    images = torch.zeros(200, 1, 16, 16)
    empty = [~Perlin(octaves=[0, 1], redraws=n)(images, seeded()).flatten(1).any(dim=1) for n in (0, 1, 40)]
    assert empty[0].sum() > empty[1].sum() > empty[2].sum() == 0
    kept = Perlin(octaves=[0, 1], redraws=40)(images, seeded())[~empty[0]]
    assert torch.equal(kept, Perlin(octaves=[0, 1])(images, seeded())[~empty[0]])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"octaves": [3, 1]}, "octaves must be two numbers from 0 to 10, the smaller first"),
        ({"octaves": [0, 11]}, "octaves must be two numbers from 0 to 10"),
        ({"degrees": -1.0}, "must be at least 0, got -1.0 and 0"),
        ({"redraws": -1}, "must be at least 0, got 90.0 and -1"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Perlin(**arguments)
