"""Selective scan on a CPU: one fused pass compiled by Numba, with its own backward, as PyTorch operators."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dlkd.blocks.kernels import HAS_NUMBA
from dlkd.blocks.kernels.threads import busy_parts, in_threads
from dlkd.blocks.scan.backend import runs_on
from dlkd.blocks.scan.fused import fused_scan, in_rows
from dlkd.blocks.scan.inputs import ScanInputs
from dlkd.registry import register


def _missing() -> str | None:
    return None if HAS_NUMBA else "numba is not installed; pip install numba"


@register("scan", "numba")
@runs_on("cpu", needs="numba", exports=False, reads_curves=True, missing=_missing)
def numba_scan(inputs: ScanInputs, dt_softplus: bool, curves: Tensor | None = None) -> Tensor:
    """Scan prepared inputs, see `selective_scan`; along int32 curves (k/2, l), see `directional_scan`.

    Differentiable once, with respect to everything; a second backward raises RuntimeError.
    """
    return _scan(inputs, dt_softplus, curves)


def _forward(
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    dt_bias: Tensor | None,
    curves: Tensor,
    softplus: bool,
    by_channel: bool,
    keep_states: bool,
) -> tuple[Tensor, Tensor]:
    """The scan, and the states before every interval of steps for the backward (empty if not to be kept)."""
    from dlkd.blocks.scan.numba.kernels import forward_rows

    y = torch.empty_like(u, memory_format=torch.contiguous_format)
    dt = in_rows(dt, by_channel)
    states = _states(u, dt, A, keep_states)
    width = (0,) * A.shape[1]
    inputs = _arrays(u, dt, A, B, C, D, z, dt_bias)
    in_threads(
        u.shape[0] * u.shape[1],
        lambda first, last: forward_rows(
            first,
            last,
            width,
            *inputs,
            softplus,
            curves.numpy(),
            _interval(A.shape[1]),
            y.numpy(),
            states.numpy(),
        ),
    )
    return y, states


def _backward(
    dy: Tensor,
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    dt_bias: Tensor | None,
    curves: Tensor,
    states: Tensor,
    softplus: bool,
    by_channel: bool,
) -> list[Tensor]:
    """Gradients of u, dt, A, B, C, D, z and dt_bias, empty for those that are absent."""
    from dlkd.blocks.scan.numba.kernels import backward_blocks

    dt = in_rows(dt, by_channel)
    b, length = u.shape[0], u.shape[2]
    blocks = _blocks(u, B)
    du, ddt = torch.empty_like(u, memory_format=torch.contiguous_format), torch.empty_like(dt)
    dA = A.new_empty(b, *A.shape)
    dB, dC = (B.new_zeros(blocks, b, B.shape[1], length, B.shape[2]) for _ in range(2))
    dD, ddt_bias = (A.new_empty((b, dt.shape[1]) if x is not None else (0, 0)) for x in (D, dt_bias))
    dz = u.new_empty(u.shape if z is not None else (0, 0, 0))
    width = (0,) * A.shape[1]
    inputs = _arrays(u, dt, A, B, C, D, z, dt_bias)
    outputs = [x.numpy() for x in (du, _flat(ddt), dA, dB, dC, dD, dz, ddt_bias)]
    dy = dy.contiguous()
    in_threads(
        b * blocks,
        lambda first, last: backward_blocks(
            first,
            last,
            blocks,
            width,
            *inputs,
            softplus,
            curves.numpy(),
            _interval(A.shape[1]),
            states.numpy(),
            dy.numpy(),
            *outputs,
        ),
    )
    dB, dC = ((x[0] if blocks == 1 else x.sum(0)).transpose(2, 3) for x in (dB, dC))
    return [du, ddt, dA.sum(0), dB, dC, dD.sum(0), dz, ddt_bias.sum(0)]


def _interval(n: int) -> int:
    """Steps between kept states: these take at most half as much memory as dt."""
    return max(32, 2 * n)


def _states(u: Tensor, dt: Tensor, A: Tensor, keep: bool) -> Tensor:
    if not keep:
        return u.new_empty(0)
    intervals = -(-u.shape[2] // _interval(A.shape[1]))
    return u.new_empty(u.shape[0] * dt.shape[1] * intervals * A.shape[1])


def _blocks(u: Tensor, B: Tensor) -> int:
    """Parts that each sample's channels are cut into for the backward, every one with its own dB and dC.

    As few as keep all threads busy, and no more than make those copies as large as u.
    """
    b, d, _ = u.shape
    return busy_parts(b, most=d // (2 * B.shape[1] * B.shape[2]))


def _arrays(
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    dt_bias: Tensor | None,
) -> list[Any]:
    """What the kernels read: contiguous arrays, states last in B and C, size 0 for what is absent; dt with strides."""
    tensors = [u, A, B.transpose(2, 3), C.transpose(2, 3), D, z, dt_bias]
    ranks = [3, 2, 4, 4, 1, 3, 1]
    absent = [u.new_empty((0,) * rank) for rank in ranks]
    u_array, *rest = (
        (a if x is None else x.detach().contiguous()).numpy() for x, a in zip(tensors, absent, strict=True)
    )
    return [u_array, _flat(dt.detach()).numpy(), dt.stride()[:2], *rest]


def _flat(x: Tensor) -> Tensor:
    """The memory of a tensor without holes, in its own order."""
    return x.as_strided((x.numel(),), (1,))


_scan = fused_scan("numba", _forward, _backward, _states)
