"""MFFM: every scale through strided convolutions to the smallest, concatenated, fused at half its side."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from dlkd.blocks import MFFM
from dlkd.contract import ContractError


def literal_mffm(literal, block, features):
    """RD's layout: scale k passes as many strided convolutions as halvings separate it from the last."""
    state = literal.state_of(block)

    def strided(x, name):
        x = literal.conv(x, state[f"{name}.0.weight"], stride=2)
        return literal.relu(literal.batch_norm(x, state, f"{name}.1"))

    maps = []
    for k, x in enumerate(features):
        y = x.numpy()
        for step in range(round(math.log2(block.reductions[-1] / block.reductions[k]))):
            y = strided(y, f"scales.{k}.{step}")
        maps.append(y)
    return strided(np.concatenate(maps, axis=1), "fuse")


@pytest.mark.parametrize(
    ("channels", "reductions", "sides"),
    [
        ((2, 3, 4), None, [(8, 12), (4, 6), (2, 3)]),
        ((2, 3, 4), (4, 8, 16), [(9, 7), (5, 4), (3, 2)]),  # odd sides, rounded up as strided stages do
        ((2, 3), (4, 16), [(12, 8), (3, 2)]),
        ((3,), (8,), [(5, 4)]),
        ((3, 3, 3), (16, 16, 16), [(3, 4)] * 3),  # a ViT
        ((2, 5, 3), (16, 16, 16), [(3, 4)] * 3),
        ((2, 3, 4), (8, 8, 16), [(6, 4), (6, 4), (3, 2)]),
    ],
)
def test_equals_the_literal_layout(literal, random_weights, random_map, channels, reductions, sides):
    block = random_weights(MFFM(channels, reductions=reductions))
    features = [random_map(2, c, *side, seed=i) for i, (c, side) in enumerate(zip(channels, sides, strict=True))]
    out = block(features)
    assert out.shape == (2, 2 * channels[-1], math.ceil(sides[-1][0] / 2), math.ceil(sides[-1][1] / 2))
    torch.testing.assert_close(out, torch.from_numpy(literal_mffm(literal, block, features)))


def test_resnet18_at_256_gives_512_at_8():
    block = MFFM((64, 128, 256), reductions=(4, 8, 16)).eval()
    out = block([torch.zeros(1, 64, 64, 64), torch.zeros(1, 128, 32, 32), torch.zeros(1, 256, 16, 16)])
    assert out.shape == (1, 512, 8, 8)
    assert block.out_channels == 512
    assert block.fuse[0].in_channels == 768
    widths = [[(s[0].in_channels, s[0].out_channels) for s in scale] for scale in block.scales]
    assert widths == [[(64, 128), (128, 256)], [(128, 256)], []]


def test_backbones_that_round_sides_down_are_brought_to_the_smallest_scale(random_map):
    """VGG on an odd image: 7 -> 3 by pooling, but 7 -> 4 by a strided convolution."""
    block = MFFM((2, 4)).double().eval()
    assert block([random_map(1, 2, 7, 9), random_map(1, 4, 3, 4)]).shape == (1, 8, 2, 2)


def test_width_norm_and_activation_are_arguments():
    block = MFFM((2, 4), out_channels=7, norm=nn.Identity, act=nn.SiLU)
    assert block.out_channels == block.fuse[0].out_channels == 7
    assert isinstance(block.fuse[1], nn.Identity)
    assert isinstance(block.scales[0][0][2], nn.SiLU)


def test_refuses_features_that_were_not_announced():
    block = MFFM((2, 4))
    with pytest.raises(ContractError, match="mffm: expected 2 maps, got 1"):
        block([torch.zeros(1, 2, 4, 4)])
    with pytest.raises(ContractError, match="mffm: axis c must be == 4, got 2"):
        block([torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 2, 2)])


@pytest.mark.parametrize(
    ("channels", "reductions", "message"),
    [
        ((), None, "at least one scale"),
        ((2, 4), (4, 8, 16), "2 channels but 3 reductions"),
        ((2, 4), (4, 12), r"powers of two, got \[4, 12\]"),
        ((2, 4), (8, 4), r"powers of two, got \[8, 4\]"),
    ],
)
def test_refuses_impossible_scales(channels, reductions, message):
    with pytest.raises(ValueError, match=f"mffm: .*{message}"):
        MFFM(channels, reductions=reductions)
