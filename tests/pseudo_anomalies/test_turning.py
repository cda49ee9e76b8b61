"""Turned images: against loops, quarter turns against PyTorch's, and which images are turned."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from dlkd.pseudo_anomalies import Turned, turned


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def literal_turn(image: Tensor, degrees: float, fill: float) -> Tensor:
    """Of an image (c, h, w): each pixel reads, between four pixels, the place that comes to it."""
    c, h, w = image.shape
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    made = torch.empty_like(image)
    for row in range(h):
        for column in range(w):
            down, right = row - (h - 1) / 2, column - (w - 1) / 2
            y, x = sin * right + cos * down + (h - 1) / 2, cos * right - sin * down + (w - 1) / 2
            total = torch.zeros(c, dtype=image.dtype)
            for i in (math.floor(y), math.floor(y) + 1):
                for j in (math.floor(x), math.floor(x) + 1):
                    inside = 0 <= i < h and 0 <= j < w
                    pixel = image[:, i, j] if inside else torch.full((c,), fill, dtype=image.dtype)
                    total += (1 - abs(y - i)) * (1 - abs(x - j)) * pixel
            made[:, row, column] = total
    return made


def test_a_turn_equals_loops_with_unequal_sides_and_a_fill() -> None:
    images = torch.rand(3, 2, 7, 12, dtype=torch.float64)
    degrees = torch.tensor([33.0, -80.0, 5.0])
    found = turned(images, degrees, fill=0.4)
    for n in range(3):
        torch.testing.assert_close(found[n], literal_turn(images[n], degrees[n].item(), 0.4))


def test_quarter_turns_are_counter_clockwise() -> None:
    images = torch.rand(4, 3, 8, 8, dtype=torch.float64)
    found = turned(images, torch.tensor([0.0, 90.0, 180.0, 270.0]))
    torch.testing.assert_close(found, torch.stack([torch.rot90(images[k], k, (1, 2)) for k in range(4)]))


def test_part_of_the_images_is_turned_and_the_others_are_as_they_were() -> None:
    images = torch.rand(400, 1, 8, 8)
    draw = seeded()
    chosen = torch.rand(400, generator=draw) < 0.3
    angles = -90 + 180 * torch.rand(int(chosen.sum()), generator=draw)
    found = Turned()(images, seeded())
    assert torch.equal(found[~chosen], images[~chosen])
    assert 90 < chosen.sum() < 150
    torch.testing.assert_close(found[chosen], turned(images[chosen], angles))


def test_quarters_come_in_four_and_the_fill_from_outside() -> None:
    image = torch.rand(1, 1, 6, 6)
    found = Turned(degrees=0.0, quarters=True, probability=1.0)(image.expand(400, -1, -1, -1), seeded())
    equal = [sum(torch.allclose(x, torch.rot90(image[0], k, (1, 2)), atol=1e-5) for x in found) for k in range(4)]
    assert sum(equal) == 400
    assert min(equal) > 70
    ones = Turned(degrees=45.0, probability=1.0, fill=0.25)(torch.ones(1, 1, 16, 16), seeded())
    assert ones.min().item() == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"degrees": -1.0}, "degrees must be at least 0, got -1.0"),
        ({"probability": 1.5}, "probability must be from 0 to 1, got 1.5"),
        ({"fill": 114.0}, "fill must be from 0 to 1, got 114.0"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Turned(**arguments)
