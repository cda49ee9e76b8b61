"""GFRB, eq. 1: X_{i+1} = Embed(FRFN(GFM(X_i))) + X_i."""

import pytest
import torch
from torch import nn

from dlkd.blocks import GFRB
from dlkd.contract import ContractError


@pytest.mark.parametrize("side", [(2, 2), (5, 3)])
@pytest.mark.parametrize("training", [False, True])
def test_equals_equation_1(literal, random_weights, random_map, side, training):
    """GFM is compared with its own loop in test_gfm; what follows it is written out here."""
    block, x = random_weights(GFRB(8, d_state=2)), random_map(2, 8, *side)
    block.train(training)
    state = literal.state_of(block)
    hidden = literal.frfn(block.gfm(x).detach().numpy(), state, "frfn.")
    expected = literal.embed(hidden, state, "embed.", training=training) + x.numpy()
    torch.testing.assert_close(block(x), torch.from_numpy(expected))


def test_arguments_reach_the_parts():
    block = GFRB(
        8, d_state=3, expand=3, scan="raster2", gate=False, hidden_ratio=3.0, embed_ratio=0.5, norm=nn.Identity,
        act=nn.GELU, gfm_norm=nn.BatchNorm2d, gfm_residual=False, backend="torch",
    )  # fmt: skip
    assert block.gfm.ss2d.A_logs.shape == (2 * 24, 3)
    assert block.gfm.ss2d.in_proj.out_features == 24
    assert block.gfm.ss2d.backend == "torch"
    assert isinstance(block.gfm.norm, nn.BatchNorm2d)
    assert not block.gfm.residual
    assert block.frfn.linear_in.out_channels == 2 * 24
    assert [type(m) for m in block.embed.layers] == [
        nn.Conv2d, nn.Identity, nn.GELU, nn.Conv2d, nn.Identity, nn.GELU, nn.Conv2d
    ]  # fmt: skip
    assert block.embed.layers[0].out_channels == 4


def test_refuses_what_it_cannot_take():
    with pytest.raises(ContractError, match="gfrb: axis c must be multiple of 4, got 6"):
        GFRB(6)
    with pytest.raises(ContractError, match="gfrb: axis c must be == 8, got 4"):
        GFRB(8)(torch.zeros(1, 4, 4, 4))
    with pytest.raises(ContractError, match="gfrb: axis h must be >= 2, got 1"):
        GFRB(8)(torch.zeros(1, 8, 1, 4))
