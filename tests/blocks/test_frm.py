"""FRM, eq. 4: F_out = Conv(Concat(F_G, F_L)) + F_in, with each branch left out."""

import functools

import numpy as np
import pytest
import torch
from torch import nn

from dlkd.blocks import FRM, GFRB, LFRB
from dlkd.contract import ContractError

SMALL = functools.partial(GFRB, d_state=2)


@pytest.mark.parametrize(("global_", "local"), [(SMALL, LFRB), (None, LFRB), (SMALL, None), (LFRB, SMALL)])
def test_equals_equation_4(literal, random_weights, random_map, global_, local):
    block, x = random_weights(FRM(8, global_=global_, local=local)), random_map(2, 8, 3, 5)
    branches = [block.branches[name](x).detach().numpy() for name in ("global", "local") if name in block.branches]
    assert len(branches) == (global_ is not None) + (local is not None)
    stacked = np.concatenate(branches, axis=1)
    weight, bias = block.fuse.weight.detach().numpy()[:, :, 0, 0], block.fuse.bias.detach().numpy()
    expected = np.empty(x.shape)
    for n, o, i, j in np.ndindex(*x.shape):
        mixed = sum(weight[o, k] * stacked[n, k, i, j] for k in range(stacked.shape[1]))
        expected[n, o, i, j] = mixed + bias[o] + x[n, o, i, j]
    torch.testing.assert_close(block(x), torch.from_numpy(expected))


def test_the_default_branches_are_the_papers():
    block = FRM(8)
    assert isinstance(block.branches["global"], GFRB)
    assert isinstance(block.branches["local"], LFRB)


def test_without_branches_it_is_the_identity(random_map):
    block, x = FRM(8, global_=None, local=None), random_map(1, 8, 3, 3)
    assert torch.equal(block(x), x)
    assert not list(block.parameters())


def test_any_class_that_keeps_the_shape_is_a_branch(random_map):
    block = FRM(8, global_=None, local=lambda c: nn.Conv2d(c, c, 1)).double()
    assert block(random_map(1, 8, 2, 2)).shape == (1, 8, 2, 2)


def test_refuses_what_it_cannot_take():
    with pytest.raises(ContractError, match="frm: axis c must be multiple of 4, got 6"):
        FRM(6)
    with pytest.raises(ContractError, match="frm: axis c must be == 8, got 4"):
        FRM(8)(torch.zeros(1, 4, 4, 4))
    with pytest.raises(ContractError, match="frm: axis w must be >= 2, got 1"):
        FRM(8)(torch.zeros(1, 8, 4, 1))
