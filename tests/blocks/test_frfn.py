"""FRFN against AST's description written as loops, on maps that are not square."""

import pytest
import torch

from dlkd.blocks import FRFN
from dlkd.contract import ContractError


@pytest.mark.parametrize("channels", [4, 8])
@pytest.mark.parametrize("hidden_ratio", [0.5, 1.5, 2.0])
@pytest.mark.parametrize("side", [(1, 1), (3, 5)])
def test_equals_asts_description(literal, random_weights, random_map, channels, hidden_ratio, side):
    block, x = random_weights(FRFN(channels, hidden_ratio=hidden_ratio)), random_map(2, channels, *side)
    expected = literal.frfn(x.numpy(), literal.state_of(block))
    torch.testing.assert_close(block(x), torch.from_numpy(expected))


def test_only_a_quarter_of_the_channels_is_convolved_before_the_linear_layer(random_weights, random_map):
    """Without the depthwise convolution's neighbours, a far pixel acts through the first quarter alone."""
    block, x = random_weights(FRFN(8)), random_map(1, 8, 1, 3)
    with torch.no_grad():
        block.dwconv.weight[..., [0, 2], :] = 0
        block.dwconv.weight[..., :, [0, 2]] = 0
    x.requires_grad_()
    (grad,) = torch.autograd.grad(block(x)[..., 1].sum(), x)
    assert grad[0, :2, 0, 0].ne(0).all()
    assert grad[0, 2:, 0, 0].eq(0).all()


def test_convolutions_have_the_biases_that_ast_gives_them():
    names = {name for name, _ in FRFN(8).named_parameters()}
    assert "partial_conv.bias" not in names
    assert {"linear_in.bias", "dwconv.bias", "linear_out.bias"} <= names
    assert FRFN(8, hidden_ratio=4.0).linear_in.out_channels == 64


def test_refuses_other_channels_and_an_empty_hidden_layer():
    with pytest.raises(ContractError, match="frfn: axis c must be multiple of 4, got 6"):
        FRFN(6)
    with pytest.raises(ContractError, match="frfn: axis c must be == 8, got 4"):
        FRFN(8)(torch.zeros(1, 4, 3, 3))
    with pytest.raises(ContractError, match=r"frfn: expected a map \(b, c, h, w\), got shape \(8, 3, 3\)"):
        FRFN(8)(torch.zeros(8, 3, 3))
    with pytest.raises(ValueError, match=r"hidden_ratio 0\.0 leaves no hidden channel of 8"):
        FRFN(8, hidden_ratio=0.0)
