"""The low-dimensional embedding against its layers written as loops."""

import pytest
import torch
from torch import nn

from dlkd.blocks import Embed, LayerNorm2d
from dlkd.contract import ContractError


@pytest.mark.parametrize(("channels", "ratio"), [(8, 0.25), (6, 0.5), (5, 1.0)])
@pytest.mark.parametrize("training", [False, True])
def test_equals_the_literal_layers(literal, random_weights, random_map, channels, ratio, training):
    block, x = random_weights(Embed(channels, ratio=ratio)), random_map(2, channels, 3, 5)
    expected = literal.embed(x.numpy(), literal.state_of(block), training=training)
    torch.testing.assert_close(block.train(training)(x), torch.from_numpy(expected))


def test_the_middle_is_narrow():
    widths = [m.out_channels for m in Embed(32).modules() if isinstance(m, nn.Conv2d)]
    assert widths == [8, 8, 32]


def test_norm_and_activation_are_the_classes_given(literal, random_weights, random_map):
    block, x = random_weights(Embed(4, norm=nn.Identity, act=nn.GELU)), random_map(1, 4, 3, 3)
    state = literal.state_of(block)
    hidden = literal.gelu(literal.conv(x.numpy(), state["layers.0.weight"]))
    hidden = literal.gelu(literal.conv(hidden, state["layers.3.weight"]))
    expected = literal.conv(hidden, state["layers.6.weight"], state["layers.6.bias"])
    torch.testing.assert_close(block(x), torch.from_numpy(expected))
    assert sum(isinstance(m, LayerNorm2d) for m in Embed(4, norm=LayerNorm2d).modules()) == 2


@pytest.mark.parametrize("ratio", [0, -0.25, 1.5])
def test_refuses_a_ratio_outside_its_range(ratio):
    with pytest.raises(ValueError, match=rf"embed: ratio must lie in \(0, 1\], got {ratio}"):
        Embed(8, ratio=ratio)


def test_refuses_other_channels():
    with pytest.raises(ContractError, match="embed: axis c must be multiple of 4, got 6"):
        Embed(6)
    with pytest.raises(ContractError, match="embed: axis c must be == 8, got 4"):
        Embed(8)(torch.zeros(1, 4, 3, 3))
