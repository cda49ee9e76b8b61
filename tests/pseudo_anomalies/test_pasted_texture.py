"""Pasted textures: against a literal version, with the readings of DRAEM, DeSTSeg and anomalib."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dlkd.pseudo_anomalies import ColourAndTurn, PastedTexture, Perlin, SamplePictures


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def literal(spoil: PastedTexture, images: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Image by image and pixel by pixel, with the numbers that `spoil` draws."""
    chosen = [n for n, u in enumerate(torch.rand(len(images), generator=draw).tolist()) if u < spoil.probability]
    drawn = spoil.mask(images[chosen], draw)
    textures = spoil.source(images[chosen], draw)
    textures = textures if spoil.augmentation is None else spoil.augmentation(textures, draw)
    low, high = spoil.image_weight
    weights = (low + (high - low) * torch.rand(len(chosen), generator=draw)).tolist()
    spoiled, masks = images.clone(), torch.zeros_like(images[:, :1])
    for i, n in enumerate(chosen):
        for y in range(images.shape[2]):
            for x in range(images.shape[3]):
                if drawn[i, 0, y, x] == 1:
                    masks[n, 0, y, x] = 1
                    spoiled[n, :, y, x] = weights[i] * images[n, :, y, x] + (1 - weights[i]) * textures[i, :, y, x]
    return spoiled, masks


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"probability": 1.0, "augmentation": None},
        {"image_weight": (0.0, 0.9), "mask": lambda: Perlin(redraws=10)},
    ],
    ids=["DRAEM", "DeSTSeg", "anomalib"],
)
def test_it_equals_loops(arguments: dict[str, Any]) -> None:
    spoil = PastedTexture(**arguments)
    images = torch.rand(6, 3, 12, 16)
    for found, expected in zip(spoil(images, seeded()), literal(spoil, images, seeded()), strict=True):
        torch.testing.assert_close(found, expected)


def test_half_of_the_images_stay_clean_by_default_and_none_with_one() -> None:
    images = torch.rand(300, 3, 8, 8)
    spoiled, masks = PastedTexture(augmentation=None)(images, seeded())
    marked = masks.flatten(1).any(dim=1)
    assert torch.equal(spoiled[~marked], images[~marked])
    changed = (spoiled != images).any(dim=1, keepdim=True)
    assert not (changed & (masks == 0)).any()
    assert 40 < marked.sum() < 150  # of the 150 that are spoiled, some have an empty mask
    always = PastedTexture(augmentation=None, probability=1.0, mask=lambda: Perlin(redraws=50))
    assert always(images, seeded())[1].flatten(1).any(dim=1).all()
    never, none = PastedTexture(probability=0.0)(images, seeded())
    assert torch.equal(never, images)
    assert not none.any()


class White(nn.Module):
    """Textures of ones."""

    def forward(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return torch.ones_like(images)


def test_the_weight_of_the_image_is_in_its_range() -> None:
    black = torch.zeros(200, 3, 8, 8)
    for low, high in ((0.0, 0.8), (0.5, 0.6)):
        spoil = PastedTexture(source=White, augmentation=None, probability=1.0, image_weight=(low, high))
        spoiled, masks = spoil(black, seeded())
        weights = 1 - spoiled[masks.expand_as(spoiled) == 1]
        assert low <= weights.min() < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < weights.max() <= high


def test_the_defaults_are_draems() -> None:
    spoil = PastedTexture()
    assert (type(spoil.source), type(spoil.mask), type(spoil.augmentation)) == (SamplePictures, Perlin, ColourAndTurn)
    assert (spoil.probability, spoil.image_weight) == (0.5, (0.0, 0.8))
    assert (spoil.mask.octaves, spoil.mask.degrees, spoil.mask.threshold, spoil.mask.redraws) == ((0, 5), 90, 0.5, 0)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"probability": 1.5}, "probability must be from 0 to 1, got 1.5"),
        ({"image_weight": (0.8, 0.2)}, "image_weight must be two numbers from 0 to 1, the smaller first"),
        ({"image_weight": (0.5,)}, "image_weight must be two numbers"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        PastedTexture(**arguments)


def test_without_a_generator_it_draws_from_pytorchs_own() -> None:
    images = torch.rand(4, 3, 16, 16)
    spoil = PastedTexture(probability=1.0)
    torch.manual_seed(5)
    first = spoil(images)
    torch.manual_seed(5)
    assert all(torch.equal(a, b) for a, b in zip(first, spoil(images), strict=True))


@pytest.mark.gpu
def test_a_generator_of_a_gpu_draws_on_the_cpu(gpu: torch.device) -> None:
    images = torch.rand(4, 3, 16, 16, device=gpu)
    spoil = PastedTexture(probability=1.0)
    one, two = (spoil(images, torch.Generator(gpu).manual_seed(5)) for _ in range(2))
    generator = torch.Generator(gpu).manual_seed(5)
    _, later = spoil(images, generator), spoil(images, generator)
    assert not torch.equal(one[0], later[0])
    assert all(x.device == images.device and torch.equal(x, y) for x, y in zip(one, two, strict=True))


def test_autocast_changes_nothing() -> None:
    images = torch.rand(6, 3, 32, 32)
    spoil = PastedTexture(probability=1.0, augmentation=lambda: ColourAndTurn(operations=10))
    expected = spoil(images, seeded())
    with torch.autocast("cpu", torch.bfloat16):
        found = spoil(images, seeded())
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
