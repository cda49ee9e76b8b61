"""Pooled patches against copies of every patch, pooled as they are written."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dlkd.blocks import PatchPooling


def pooled(values: list[Tensor], target: int) -> list[Tensor]:
    """Means of consecutive values: the i-th from floor(i n / target) to ceil((i + 1) n / target)."""
    n = len(values)
    ends = [(i * n // target, -((-(i + 1) * n) // target)) for i in range(target)]
    return [torch.stack(values[low:high]).mean(dim=0) for low, high in ends]


def literal(features: list[Tensor], size: int, first: int | None, second: int | None) -> Tensor:
    """Every patch copied, brought to the largest map value by value, and pooled twice."""
    h, w = features[0].shape[2:]
    means: list[Tensor] = []
    for x in features:
        b, c, rows, columns = x.shape
        padded = F.pad(x, [size // 2] * 4)
        values = []
        for channel, dy, dx in product(range(c), range(size), range(size)):
            place = padded[:, channel, dy : dy + rows, dx : dx + columns]
            values.append(F.interpolate(place[:, None], (h, w), mode="bilinear").view(b, h, w))
        means += pooled(values, first or c)
    return torch.stack(pooled(means, second or len(means)), dim=1)


@pytest.mark.parametrize(
    ("channels", "size", "first", "second"),
    [
        ((4, 8), 3, 8, 8),  # the ratios of WideResNet50-2 and 1024
        ((5, 7, 3), 3, 6, 11),  # outputs that are of two scales
        ((3, 5), 5, 90, 40),  # more means than values
        ((4, 6), 3, None, None),  # a mean per channel, as in anomalib
        ((4, 6), 3, None, 5),
    ],
)
def test_equals_copies_of_every_patch(channels: Any, size: int, first: int | None, second: int | None) -> None:
    features = [torch.randn(2, c, 12 >> i, 8 >> i, dtype=torch.float64) for i, c in enumerate(channels)]
    pooling = PatchPooling(channels, size=size, pooled=first, out_channels=second).double()
    expected = literal(features, size, first, second)
    torch.testing.assert_close(pooling(features), expected, rtol=1e-6, atol=1e-6)
    assert pooling.out_channels == expected.shape[1]


def test_at_the_authors_sizes_the_centre_counts_twice_and_channels_are_paired() -> None:
    pooling = PatchPooling((512, 1024))
    tenths, halves = pooling.get_buffer("kernel0"), pooling.get_buffer("kernel1")
    assert pooling.groups == [512, 512]
    assert pooling.firsts == [0, 512]
    torch.testing.assert_close(tenths[7, 0], torch.tensor([[1.0, 1, 1], [1, 2, 1], [1, 1, 1]]) / 10)
    torch.testing.assert_close(halves, torch.full((512, 2, 3, 3), 1 / 18))


@pytest.mark.parametrize("arguments", [{"size": 2}, {"pooled": 0}, {"out_channels": -1}])
def test_what_makes_no_sense_is_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"patch_pooling: {next(iter(arguments))} must be"):
        PatchPooling((4, 8), **arguments)
