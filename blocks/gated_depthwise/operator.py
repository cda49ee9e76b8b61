"""The middle of FRFN as one function: fused kernels where they run, PyTorch's operators elsewhere."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dlkd.blocks.kernels import HAS_NUMBA
from dlkd.blocks.kernels.threads import busy_parts, in_threads
from dlkd.blocks.kernels.traced import why_not_traced
from dlkd.blocks.layout import in_layout_of

_ROWS = 8  # at least, of a band
_LANES = 16  # at most; the floats of an AVX-512 register, of two of AVX2


def gated_depthwise(value: Tensor, gate: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """GELU(DWConv(GELU(value))) * GELU(gate), with a 3x3 window, zeros around the map and the exact GELU.

    In float32 on a CPU with Numba it is one pass forward and one backward, which read and write each map once; else,
    and in exported models, PyTorch's operators (`plain`). The fused backward can be differentiated no further.

    Args:
        value: (b, c, h, w).
        gate: (b, c, h, w).
        weight: of the depthwise convolution, (c, 1, 3, 3).
        bias: (c,).

    Returns:
        (b, c, h, w), contiguous where value is.
    """
    if HAS_NUMBA and _fits(value, gate, weight, bias):
        taps = weight.flatten(1).t()
        maps = (x.permute(0, 2, 3, 1).contiguous() for x in (value, gate))
        out: Tensor = _run(*maps, taps.contiguous(), bias.contiguous())
        return in_layout_of(out.permute(0, 3, 1, 2), value)
    return plain(value, gate, weight, bias)


def plain(value: Tensor, gate: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The definition, in PyTorch's operators; see `gated_depthwise`."""
    inner = F.conv2d(F.gelu(value), weight, bias, padding=1, groups=value.shape[1])
    return F.gelu(inner) * F.gelu(gate)


def _fits(*inputs: Tensor) -> bool:
    if why_not_traced() is not None or any(x.device.type != "cpu" or x.dtype != torch.float32 for x in inputs):
        return False
    return not torch.is_autocast_enabled("cpu") and inputs[0].numel() > 0


def _width(channels: int) -> tuple[int, ...]:
    """The widest vector of a power of two lanes that divides the channels."""
    lanes = _LANES
    while channels % lanes:
        lanes //= 2
    return (0,) * lanes


@torch.library.custom_op("dlkd::gated_depthwise", mutates_args=())
def _run(value: Tensor, gate: Tensor, taps: Tensor, bias: Tensor) -> Tensor:
    """On maps (b, h, w, c) and taps (9, c)."""
    from dlkd.blocks.gated_depthwise.kernels import forward_bands

    out = torch.empty_like(value)
    b, *shape = value.shape
    bands = busy_parts(b, most=shape[0] // _ROWS)
    arrays = [x.detach().flatten().numpy() for x in (value, gate, taps, bias, out)]
    width = _width(shape[2])
    in_threads(b * bands, lambda first, last: forward_bands(first, last, bands, width, tuple(shape), *arrays))
    return out


@torch.library.custom_op("dlkd::gated_depthwise_backward", mutates_args=())
def _differentiate(dout: Tensor, value: Tensor, gate: Tensor, taps: Tensor, bias: Tensor) -> list[Tensor]:
    """Gradients of value, gate, taps and bias."""
    from dlkd.blocks.gated_depthwise.kernels import backward_bands

    b, *shape = value.shape
    bands = busy_parts(b, most=shape[0] // _ROWS)
    dvalue, dgate = torch.empty_like(value), torch.empty_like(gate)
    dtaps, dbias = taps.new_zeros(b * bands, *taps.shape), bias.new_zeros(b * bands, *bias.shape)
    tensors = (value, gate, taps, bias, dout.contiguous(), dvalue, dgate, dtaps, dbias)
    arrays = [x.detach().flatten().numpy() for x in tensors]
    width = _width(shape[2])
    in_threads(b * bands, lambda first, last: backward_bands(first, last, bands, width, tuple(shape), *arrays))
    return [dvalue, dgate, dtaps.sum(0), dbias.sum(0)]


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _gradients(ctx: Any, dout: Tensor) -> tuple[Tensor, ...]:
    return tuple(_differentiate(dout, *ctx.saved_tensors))


def _refuse(ctx: Any, *grads: Any) -> None:
    raise RuntimeError("gated_depthwise can be differentiated once only; for second derivatives use float64")


_run.register_fake(lambda value, gate, taps, bias: torch.empty_like(value))
_run.register_autograd(_gradients, setup_context=_save)
_differentiate.register_fake(lambda dout, *inputs: [torch.empty_like(x) for x in inputs])
_differentiate.register_autograd(_refuse)
