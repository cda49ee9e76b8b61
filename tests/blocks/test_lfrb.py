"""LFRB, eqs. 2 and 3: patches cut out, passed one by one through the CNN and FRFN, put back, embedded."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from dlkd.blocks import LFRB
from dlkd.contract import ContractError


def literal_branch(literal, y, state, prefix):
    """Eq. 2: FRFN(Conv(DWConv3x3(Conv(Y))))."""
    y = literal.conv(y, state[f"{prefix}conv.0.weight"])
    y = literal.relu(literal.batch_norm(y, state, f"{prefix}conv.1"))
    y = literal.conv(y, state[f"{prefix}conv.3.weight"], depthwise=True)
    y = literal.relu(literal.batch_norm(y, state, f"{prefix}conv.4"))
    y = literal.conv(y, state[f"{prefix}conv.6.weight"])
    if f"{prefix}conv.7.weight" in state:  # last_norm
        y = literal.batch_norm(y, state, f"{prefix}conv.7")
    return literal.frfn(y, state, f"{prefix}frfn.")


def literal_spatial(literal, x, state, grid, *, shared):
    """A grid of equal patches; a map that the grid does not divide is continued by zeros below and to the right."""
    b, c, h, w = x.shape
    ph, pw = math.ceil(h / grid), math.ceil(w / grid)
    padded = np.zeros((b, c, grid * ph, grid * pw))
    padded[:, :, :h, :w] = x
    whole = np.empty_like(padded)
    for p in range(grid):
        for q in range(grid):
            branch = 0 if shared else p * grid + q
            place = (..., slice(p * ph, (p + 1) * ph), slice(q * pw, (q + 1) * pw))
            whole[place] = literal_branch(literal, padded[place], state, f"branches.{branch}.")
    return literal.embed(whole[:, :, :h, :w], state, "embed.")


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("patches", "side"), [(1, (3, 2)), (4, (4, 6)), (4, (5, 3)), (16, (5, 6)), (16, (4, 4))])
def test_spatial_patches_equal_equations_2_and_3(literal, random_weights, random_map, patches, side, shared):
    block, x = random_weights(LFRB(4, patches=patches, shared=shared)), random_map(2, 4, *side)
    expected = literal_spatial(literal, x.numpy(), literal.state_of(block), math.isqrt(patches), shared=shared)
    torch.testing.assert_close(block(x), torch.from_numpy(expected))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("patches", [1, 2, 3])
def test_channel_groups_equal_equations_2_and_3(literal, random_weights, random_map, patches, shared):
    channels = 4 * patches
    block = random_weights(LFRB(channels, patches=patches, split="channel", shared=shared))
    x = random_map(2, channels, 3, 2)
    state = literal.state_of(block)
    groups = [
        literal_branch(literal, x[:, 4 * s : 4 * s + 4].numpy(), state, f"branches.{0 if shared else s}.")
        for s in range(patches)
    ]
    expected = literal.embed(np.concatenate(groups, axis=1), state, "embed.")
    torch.testing.assert_close(block(x), torch.from_numpy(expected))


def test_without_the_last_norm_the_last_convolution_meets_frfn(literal, random_weights, random_map):
    block, x = random_weights(LFRB(4, last_norm=False)), random_map(2, 4, 4, 6)
    assert [type(m) for m in block.branches[0].conv].count(nn.BatchNorm2d) == 2
    expected = literal_spatial(literal, x.numpy(), literal.state_of(block), 2, shared=True)
    torch.testing.assert_close(block(x), torch.from_numpy(expected))


def test_a_patch_sees_nothing_of_its_neighbours_before_the_embedding(random_weights, random_map):
    block, x = random_weights(LFRB(4)), random_map(1, 4, 6, 8)
    block.embed = nn.Identity()
    changed = x.clone()
    changed[..., :3, :4] += 1
    differs = (block(changed) - block(x)).abs().sum(dim=1)[0].ne(0)
    assert differs[:3, :4].all()
    assert not differs[3:].any()
    assert not differs[:, 4:].any()


def test_arguments_reach_the_parts():
    block = LFRB(8, patches=9, shared=False, hidden_ratio=3.0, embed_ratio=0.5, norm=nn.Identity, act=nn.SiLU)
    assert len(block.branches) == 9
    assert block.branches[0].frfn.linear_in.out_channels == 48
    assert block.embed.layers[0].out_channels == 4
    assert not [m for m in block.modules() if isinstance(m, (nn.BatchNorm2d, nn.ReLU))]


def test_parameters_of_shared_weights_do_not_depend_on_the_number_of_patches():
    def count(**arguments):
        return sum(p.numel() for p in LFRB(8, **arguments).branches.parameters())

    assert count(patches=1) == count(patches=16)
    assert count(patches=4, shared=False) == 4 * count(patches=1)


@pytest.mark.parametrize("patches", [0, -4, 2, 3, 8])
def test_refuses_spatial_patches_that_are_no_square_number(patches):
    with pytest.raises(ValueError, match=rf"lfrb: .*square number such as 1, 4 or 16, got {patches}"):
        LFRB(8, patches=patches)


def test_refuses_what_it_cannot_take():
    with pytest.raises(ContractError, match="lfrb: axis c must be multiple of 4, got 6"):
        LFRB(6)
    with pytest.raises(ContractError, match="lfrb: axis c must be multiple of 12, got 8"):
        LFRB(8, patches=3, split="channel")
    with pytest.raises(ValueError, match=r"lfrb: .*got 0"):
        LFRB(8, patches=0, split="channel")
    with pytest.raises(ContractError, match="lfrb: axis h must be >= 2, got 1"):
        LFRB(8)(torch.zeros(1, 8, 1, 4))
    with pytest.raises(ContractError, match="lfrb: axis w must be >= 4, got 3"):
        LFRB(8, patches=16)(torch.zeros(1, 8, 4, 3))
    with pytest.raises(ContractError, match="lfrb: axis c must be == 8, got 4"):
        LFRB(8)(torch.zeros(1, 4, 4, 4))
