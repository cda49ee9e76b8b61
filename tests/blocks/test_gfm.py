"""GFM: VM-UNet's x + SS2D(LN(x)), with the scan written as steps along four directions."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from dlkd.blocks import GFM
from dlkd.contract import ContractError


def literal_gfm(literal, m: GFM, x: np.ndarray) -> np.ndarray:
    """Loops over samples, directions and steps; the directions are rows, columns and both reversed."""
    s = {k.removeprefix("ss2d."): v for k, v in literal.state_of(m).items()}
    b, _, h, w = x.shape
    normed = np.empty_like(x)
    for n, i, j in np.ndindex(b, h, w):
        v = x[n, :, i, j]
        normed[n, :, i, j] = (v - v.mean()) / math.sqrt(v.var() + 1e-6) * s["norm.weight"] + s["norm.bias"]
    xz = literal.conv(normed, s["in_proj.weight"][:, :, None, None])
    d = s["conv2d.weight"].shape[0]
    inner, z = xz[:, :d], xz[:, d:]
    inner = silu(literal.conv(inner, s["conv2d.weight"], s["conv2d.bias"], depthwise=True))
    rows = [(i, j) for i in range(h) for j in range(w)]
    columns = [(i, j) for j in range(w) for i in range(h)]
    total = np.zeros((b, d, h, w))
    states = s["A_logs"].shape[1]
    for n in range(b):
        for k, path in enumerate([rows, columns, rows[::-1], columns[::-1]]):
            A, D = -np.exp(s["A_logs"][k * d : (k + 1) * d]), s["Ds"][k * d : (k + 1) * d]
            state = np.zeros((d, states))
            for i, j in path:
                u = inner[n, :, i, j]
                low, B, C = np.split(s["x_proj_weight"][k] @ u, [m.ss2d.dt_rank, m.ss2d.dt_rank + states])
                dt = np.log1p(np.exp(s["dt_projs_weight"][k] @ low + s["dt_projs_bias"][k]))
                for channel in range(d):
                    for t in range(states):
                        decay = math.exp(dt[channel] * A[channel, t])
                        state[channel, t] = decay * state[channel, t] + dt[channel] * B[t] * u[channel]
                total[n, :, i, j] += state @ C + D * u
    out = np.empty_like(x)
    for n, i, j in np.ndindex(b, h, w):
        v = total[n, :, i, j]
        v = (v - v.mean()) / math.sqrt(v.var() + 1e-5) * s["out_norm.weight"] + s["out_norm.bias"]
        v = v * silu(z[n, :, i, j]) if z.shape[1] else v
        out[n, :, i, j] = (x[n, :, i, j] if m.residual else 0) + s["out_proj.weight"] @ v
    return out


def silu(x):
    return x / (1 + np.exp(-x))


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize("gate", [True, False])
@pytest.mark.parametrize(("side", "residual"), [((2, 2), True), ((3, 4), True), ((2, 3), False)])
def test_equals_vm_unets_block(literal, random_weights, random_map, backend, gate, side, residual):
    block = random_weights(GFM(3, d_state=2, gate=gate, residual=residual, backend=backend))
    x = random_map(2, 3, *side)
    torch.testing.assert_close(block(x), torch.from_numpy(literal_gfm(literal, block, x.numpy())))


def test_arguments_reach_the_scan():
    block = GFM(8, d_state=3, expand=3, scan="cross8", gate=False, norm=nn.BatchNorm2d)
    assert block.ss2d.A_logs.shape == (8 * 24, 3)
    assert block.ss2d.in_proj.out_features == 24
    assert isinstance(block.norm, nn.BatchNorm2d)


def test_every_place_sees_every_other(random_map):
    """Global modelling: the gradient of one corner reaches the opposite one."""
    torch.manual_seed(0)
    x = random_map(1, 4, 5, 6).requires_grad_()
    (grad,) = torch.autograd.grad(GFM(4).double()(x)[..., 0, 0].sum(), x)
    assert grad.abs().sum(dim=1).gt(0).all()


def test_refuses_what_it_cannot_scan():
    with pytest.raises(ContractError, match="gfm: axis c must be >= 2, got 1"):
        GFM(1)
    with pytest.raises(ContractError, match="gfm: axis c must be == 4, got 8"):
        GFM(4)(torch.zeros(1, 8, 4, 4))
    with pytest.raises(ContractError, match="gfm: axis w must be >= 2, got 1"):
        GFM(4)(torch.zeros(1, 4, 4, 1))
