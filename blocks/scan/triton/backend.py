"""Selective scan on a GPU by our own Triton kernels, forward and backward."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dlkd.blocks.kernels.traced import assumed_constant
from dlkd.blocks.scan.backend import runs_on
from dlkd.blocks.scan.fused import fused_scan, in_rows
from dlkd.blocks.scan.inputs import ScanInputs
from dlkd.registry import register

HAS_TRITON = find_spec("triton") is not None


def _missing() -> str | None:
    return None if HAS_TRITON else "triton is not installed; pip install triton"


@assumed_constant
def _interpreted() -> bool:
    """Whether TRITON_INTERPRET=1 is set."""
    if not HAS_TRITON:
        return False
    from triton import knobs

    return bool(knobs.runtime.interpret)


@register("scan", "triton")
@runs_on("cuda", needs="triton", exports=False, reads_curves=True, missing=_missing, interpreted=_interpreted)
def triton_scan(inputs: ScanInputs, dt_softplus: bool, curves: Tensor | None = None) -> Tensor:
    """Scan prepared inputs, see `selective_scan`; along int32 curves (k/2, l), see `directional_scan`.

    Differentiable once, with respect to everything; a second backward raises RuntimeError. dB and dC are sums
    in no fixed order, so that their last digits may differ between runs.
    """
    y = _scan(inputs._replace(z=None), dt_softplus, None if curves is None else curves.to(inputs.u.device))
    return y if inputs.z is None else y * F.silu(inputs.z)


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
    """The scan, and the states before every tile of steps for the backward (empty if not to be kept)."""
    from dlkd.blocks.scan.triton.kernels import forward_kernel

    dt = in_rows(dt, by_channel)
    y = torch.empty_like(dt, memory_format=torch.contiguous_format)
    states = _states(u, dt, A, keep_states)
    arrays = [*_arrays(u, dt, A, B, C, D, dt_bias), curves, y, states if keep_states else None]
    _launch(forward_kernel, u, dt, B, curves, softplus, arrays)
    return _summed(y, u), states


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
    from dlkd.blocks.scan.triton.kernels import backward_kernel

    dt = in_rows(dt, by_channel)
    inputs = _arrays(u, dt, A, B, C, D, dt_bias)
    du, ddt = torch.empty_like(dt, memory_format=torch.contiguous_format), torch.empty_like(dt)
    dB, dC = (x.new_zeros(x.shape[0], x.shape[1], x.shape[3], x.shape[2]) for x in (B, C))
    dA = A.new_empty(u.shape[0], *A.shape)
    dD, ddt_bias = (None if x is None else A.new_empty(dt.shape[:2]) for x in (D, dt_bias))
    arrays = [*inputs, curves, states, dy.contiguous(), du, ddt, dA, dB, dC, dD, ddt_bias]
    _launch(backward_kernel, u, dt, B, curves, softplus, arrays)
    return [
        _summed(du, u),
        ddt,
        dA.sum(0),
        dB.transpose(2, 3),
        dC.transpose(2, 3),
        u.new_empty(0) if dD is None else dD.sum(0),
        u.new_empty(0, 0, 0),
        u.new_empty(0) if ddt_bias is None else ddt_bias.sum(0),
    ]


def _launch(
    kernel: Any, u: Tensor, dt: Tensor, B: Tensor, curves: Tensor, softplus: bool, arrays: list[Tensor | None]
) -> None:
    """Run a kernel on every row of dt; `arrays` are its pointers."""
    b, channels, length = dt.shape
    if b * channels == 0:
        return
    d, (groups, n) = u.shape[1], B.shape[1:3]
    with torch.cuda.device_of(u):  # type: ignore[no-untyped-call]
        kernel[(b * channels,)](
            *arrays,
            d,
            length,
            groups,
            channels // d,
            curves.shape[0],
            n,
            *dt.stride()[:2],
            SOFTPLUS=softplus,
            STEPS=_steps(n),
            WIDTH=_width(n),
        )


def _width(n: int) -> int:
    """The least power of two that holds n states: the side of a tile."""
    return 1 << (n - 1).bit_length()


def _steps(n: int) -> int:
    """Steps in a tile: as many as its registers hold; few where a program runs element by element."""
    return 16 if _interpreted() else min(256, max(16, 1024 // _width(n)))


def _states(u: Tensor, dt: Tensor, A: Tensor, keep: bool) -> Tensor:
    if not keep:
        return u.new_empty(0)
    return u.new_empty(dt.shape[0] * dt.shape[1] * -(-u.shape[2] // _steps(A.shape[1])) * A.shape[1])


def _arrays(
    u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor | None, dt_bias: Tensor | None
) -> list[Tensor | None]:
    """What the kernels read: contiguous, states last in B and C; dt as it is."""
    tensors = [u, A, B.transpose(2, 3), C.transpose(2, 3), D, dt_bias]
    first, *rest = (None if x is None else x.detach().contiguous() for x in tensors)
    return [first, dt.detach(), *rest]


def _summed(x: Tensor, u: Tensor) -> Tensor:
    """(b, k*d, l) -> (b, d, l), the directions summed."""
    return x if x.shape[1] == u.shape[1] else torch.unflatten(x, 1, (-1, u.shape[1])).sum(1)


_scan = fused_scan("triton", _forward, _backward, _states)
