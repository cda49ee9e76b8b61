"""PRL's stack and eq. 5: F_PS = P(F_CS (1 - M)) M + F_CS (1 - M)."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

from dlkd.blocks import GFRB, LFRB, PRL, refine
from dlkd.contract import ContractError


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_stacks_local_blocks_each_with_a_skip(random_weights, random_map, depth):
    block, x = random_weights(PRL(8, depth=depth)), random_map(2, 8, 3, 4)
    assert [type(b) for b in block.blocks] == [LFRB] * depth
    expected = x
    for local in block.blocks:
        expected = local(expected) + expected
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_one_skip_around_all_blocks(random_weights, random_map, depth):
    block, x = random_weights(PRL(8, depth=depth, skip="around")), random_map(2, 8, 3, 4)
    out = x
    for local in block.blocks:
        out = local(out)
    torch.testing.assert_close(block(x), x + out)
    each = PRL(8, depth=depth).double()
    each.load_state_dict(block.state_dict())
    assert torch.allclose(each.eval()(x), block.eval()(x)) == (depth == 1)


def test_the_papers_depth_is_two_and_the_blocks_share_nothing():
    first, second = PRL(8).blocks
    assert not {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}


def test_takes_another_block():
    assert isinstance(PRL(8, local=GFRB).blocks[0], GFRB)


class Scramble(nn.Module):
    """A nonlinear stand-in for P that mixes channels and places."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, padding=1, dtype=torch.float64)

    def forward(self, x):
        return torch.tanh(self.conv(x))


@pytest.mark.parametrize("use", ["flow", "clamp", "detach"])
def test_refine_equals_equation_5(random_map, use):
    precise, coarse = Scramble(3), random_map(2, 3, 4, 5)
    m = random_map(2, 4, 5, seed=2) + 0.5  # below 0 and above 1 too, as 1 - cos may be
    assert m.min() < 0
    assert m.max() > 1
    used = m.numpy().clip(0, 1) if use == "clamp" else m.numpy()
    kept = np.empty(coarse.shape)
    for n, c, i, j in np.ndindex(*coarse.shape):
        kept[n, c, i, j] = coarse[n, c, i, j] * (1 - used[n, i, j])
    refined = precise(torch.from_numpy(kept)).detach().numpy()
    expected = np.empty(coarse.shape)
    for n, c, i, j in np.ndindex(*coarse.shape):
        expected[n, c, i, j] = refined[n, c, i, j] * used[n, i, j] + kept[n, c, i, j]
    torch.testing.assert_close(refine(precise, coarse, m, use=use), torch.from_numpy(expected))


@pytest.mark.parametrize("use", ["flow", "clamp"])
def test_refine_gradient(random_map, use):
    precise, coarse = Scramble(2), random_map(1, 2, 2, 3).requires_grad_()
    m = torch.linspace(-0.4, 1.4, 6, dtype=torch.float64).reshape(1, 2, 3).requires_grad_()
    assert gradcheck(lambda f, a: refine(precise, f, a, use=use), (coarse, m))


def test_detach_cuts_the_gradient_through_the_map_alone(random_map):
    precise, coarse = Scramble(2), random_map(1, 2, 2, 3).requires_grad_()
    m = random_map(1, 2, 3).requires_grad_()
    refine(precise, coarse, m, use="detach").sum().backward()
    assert m.grad is None
    assert coarse.grad.ne(0).any()


def test_coarse_features_without_gradient_leave_the_value_and_the_maps_gradient(random_map):
    precise, coarse = Scramble(2), random_map(1, 2, 2, 3).requires_grad_()
    m = random_map(1, 2, 3).requires_grad_()
    flowing = refine(precise, coarse, m)
    (expected,) = torch.autograd.grad(flowing.sum(), m, retain_graph=True)
    cut = refine(precise, coarse, m, coarse_use="detach")
    assert torch.equal(cut, flowing)
    cut.sum().backward()
    assert coarse.grad is None
    torch.testing.assert_close(m.grad, expected)
    assert next(precise.parameters()).grad.ne(0).any()


def test_where_nothing_is_anomalous_the_coarse_features_stay(random_map):
    coarse = random_map(1, 3, 4, 4)
    assert torch.equal(refine(Scramble(3), coarse, torch.zeros(1, 4, 4).double()), coarse)


def test_where_all_is_anomalous_the_refinement_of_nothing_stays(random_map):
    precise, coarse = Scramble(3), random_map(1, 3, 4, 4)
    refined = refine(precise, coarse, torch.ones(1, 4, 4).double())
    torch.testing.assert_close(refined, precise(torch.zeros_like(coarse)))


def test_refuses_what_it_cannot_take():
    with pytest.raises(ContractError, match="prl: axis c must be multiple of 4, got 6"):
        PRL(6)
    with pytest.raises(ValueError, match="prl: depth must be at least 1, got 0"):
        PRL(8, depth=0)
    with pytest.raises(ContractError, match="prl: axis c must be == 8, got 4"):
        PRL(8)(torch.zeros(1, 4, 4, 4))
    with pytest.raises(ContractError, match="prl: axis h must be >= 2, got 1"):
        PRL(8)(torch.zeros(1, 8, 1, 4))
