"""The ten operations, each against its definition, and how they are drawn."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from dlkd.pseudo_anomalies import ColourAndTurn, colour_and_turn, turned


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(low: float, high: float, count: int = 1, seed: int = 0) -> list[float]:
    """The first numbers that an operation draws."""
    return (low + (high - low) * torch.rand(count, generator=seeded(seed))).tolist()


@pytest.fixture
def image() -> Tensor:
    """(3, 9, 8), whole numbers over 255."""
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 9, 8))).float() / 255


def bytes_of(image: Tensor) -> np.ndarray[Any, Any]:
    return (image * 255).round().to(torch.uint8).movedim(0, 2).numpy()


def by_pillow(image: Tensor, change: Any) -> Tensor:
    return torch.from_numpy(np.array(change(Image.fromarray(bytes_of(image))))).movedim(2, 0) / 255


def test_gamma_is_a_power_per_channel(image: Tensor) -> None:
    powers = drawn(0.5, 2, 3)
    found = colour_and_turn.gamma(image, seeded())
    for c in range(3):
        torch.testing.assert_close(found[c], image[c] ** powers[c])


def test_brightness_moves_all_channels_by_the_change_of_luma(image: Tensor) -> None:
    draw = seeded()
    factor = 0.8 + 0.4 * torch.rand(1, generator=draw).item()
    more = (-30 + 60 * torch.rand(1, generator=draw).item()) / 255
    luma = 0.299 * image[0] + 0.587 * image[1] + 0.114 * image[2]
    for c, found in enumerate(colour_and_turn.brightness(image, seeded())):
        torch.testing.assert_close(found, image[c] + factor * luma + more - luma)


def test_sharpness_posterisation_inversion_and_equalisation_are_pillows(image: Tensor) -> None:
    [factor] = drawn(0, 3)
    bits = int(torch.randint(1, 9, (1,), generator=seeded()))
    cases = {
        colour_and_turn.sharpness: lambda x: ImageEnhance.Sharpness(x).enhance(factor),
        colour_and_turn.inverted: ImageOps.invert,
        colour_and_turn.equalised: ImageOps.equalize,
    }
    for operation, change in cases.items():
        found = operation(image, seeded()).clamp(0, 1)
        torch.testing.assert_close(found, by_pillow(image, change), atol=1.5 / 255, rtol=0)
    posterised = colour_and_turn.posterised(image, seeded())
    torch.testing.assert_close(posterised, (image * 2**bits).floor().clamp(max=2**bits - 1) / 2**bits)


def test_hue_and_saturation_are_added_in_hsv(image: Tensor) -> None:
    for seed in range(4):
        draw = seeded(seed)
        saturation, hue = ((-50 + 100 * torch.rand(1, generator=draw).item()) / 255 for _ in range(2))
        found = colour_and_turn.hue_and_saturation(image, seeded(seed))
        for y in range(9):
            for x in range(8):
                h, s, v = colorsys.rgb_to_hsv(*image[:, y, x].tolist())
                expected = colorsys.hsv_to_rgb((h + hue) % 1, min(max(s + saturation, 0), 1), v)
                torch.testing.assert_close(found[:, y, x], torch.tensor(expected), atol=1e-4, rtol=0)


def test_half_of_the_images_are_solarised(image: Tensor) -> None:
    changed = 0
    for seed in range(60):
        threshold, coin = torch.rand(2, generator=seeded(seed)).tolist()
        expected = torch.where(image >= (32 + 96 * threshold) / 255, 1 - image, image) if coin < 0.5 else image
        torch.testing.assert_close(colour_and_turn.solarised(image, seeded(seed)), expected)
        changed += coin < 0.5
    assert 20 < changed < 40


def test_contrast_is_stretched_without_the_ends(image: Tensor) -> None:
    [cut] = drawn(0, 0.2)
    found = colour_and_turn.contrasted(image, seeded())
    for c in range(3):
        low, high = np.quantile(image[c].numpy(), [cut, 1 - cut])
        torch.testing.assert_close(found[c], (image[c] - low) / (high - low), atol=1e-5, rtol=1e-4)
    flat = torch.full((3, 4, 4), 0.3)
    torch.testing.assert_close(colour_and_turn.contrasted(flat, seeded()), flat)


def test_it_turns_up_to_45_degrees(image: Tensor) -> None:
    expected = turned(image[None], torch.tensor(drawn(-45, 45)))[0]
    torch.testing.assert_close(colour_and_turn.rotated(image, seeded()), expected)


def test_three_of_ten_are_drawn_and_done_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []

    def remember(i: int) -> Any:
        return lambda image, draw: (done.append(i), image)[1]

    monkeypatch.setattr(colour_and_turn, "OPERATIONS", tuple(map(remember, range(10))))
    images = torch.rand(50, 3, 4, 4)
    assert torch.equal(ColourAndTurn()(images, seeded()), images)
    each = [tuple(done[i : i + 3]) for i in range(0, 150, 3)]
    assert all(len(set(three)) == 3 for three in each)
    assert set(done) == set(range(10))
    assert len(set(each)) > 40
    with pytest.raises(ValueError, match="operations must be 1 to 10, got 11"):
        ColourAndTurn(operations=11)
