"""A scan whose kernels bring their own backward, as a PyTorch operator that compiles, casts and differentiates once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dlkd.blocks.scan.inputs import ScanInputs

_INPUTS = "Tensor u, Tensor dt, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? z, Tensor? dt_bias, Tensor curves"


def fused_scan(
    backend: str,
    forward: Callable[..., tuple[Tensor, Tensor]],
    backward: Callable[..., list[Tensor]],
    states: Callable[[Tensor, Tensor, Tensor, bool], Tensor],
) -> Callable[[ScanInputs, bool, Tensor | None], Tensor]:
    """A scan of prepared inputs along int32 curves (k/2, l), made of the kernels of one backend.

    Args:
        backend: name, for the operator and its errors.
        forward: (*inputs, curves, softplus, by_channel, keep_states) -> y and the states that the backward needs.
        backward: (dy, *inputs, curves, states, softplus, by_channel) -> gradients of the eight inputs, size 0 for
            those that are absent; ddt lies in memory as `in_rows(dt, by_channel)` does, dB and dC are transposed
            views with the states innermost in memory.
        states: (u, dt, A, keep) -> empty memory for the states, of size 0 if they are not kept.
    """
    run: Any = torch.library.custom_op(
        f"dlkd::{backend}_scan",
        forward,
        mutates_args=(),
        schema=f"({_INPUTS}, bool softplus, bool by_channel, bool keep_states) -> (Tensor, Tensor)",
    )
    differentiate: Any = torch.library.custom_op(
        f"dlkd::{backend}_scan_backward",
        backward,
        mutates_args=(),
        schema=f"(Tensor dy, {_INPUTS}, Tensor states, bool softplus, bool by_channel) -> Tensor[]",
    )

    def scan(inputs: ScanInputs, softplus: bool, curves: Tensor | None) -> Tensor:
        u, dt, A, B, C, D, z, dt_bias = inputs
        A, B, C = _at_least_one_state(A, B, C)
        if curves is None:
            curves = torch.arange(u.shape[2], dtype=torch.int32, device=u.device).unsqueeze(0)
        # An argument, as a compiler may hand over other strides than it showed when it asked what comes out.
        by_channel = not dt.is_contiguous() and dt.transpose(0, 1).is_contiguous()
        keep_states = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in inputs)
        y: Tensor = run(u, dt, A, B, C, D, z, dt_bias, curves, softplus, by_channel, keep_states)[0]
        return y

    def fake_run(u: Tensor, dt: Tensor, A: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
        return torch.empty_like(u, memory_format=torch.contiguous_format), states(u, dt, A, rest[-1])

    def gradients(ctx: Any, dy: Tensor, _: Tensor | None) -> tuple[Tensor | None, ...]:
        *inputs, curves, kept = ctx.saved_tensors
        grads = differentiate(dy, *inputs, curves, kept, ctx.softplus, ctx.by_channel)
        return *(g if x is not None else None for g, x in zip(grads, inputs, strict=True)), None, None, None, None

    def refuse(ctx: Any, *grads: Any) -> None:
        refuse_second_derivative(backend)

    run.register_fake(fake_run)
    run.register_autograd(gradients, setup_context=_save)
    differentiate.register_fake(_fake_gradients)
    differentiate.register_autograd(refuse)
    return scan


def _at_least_one_state(A: Tensor, B: Tensor, C: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same, with one state of zero in place of none: a vector of the kernels has at least one lane."""
    if A.shape[1]:
        return A, B, C
    return F.pad(A, (0, 1)), F.pad(B, (0, 0, 0, 1)), F.pad(C, (0, 0, 0, 1))


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    """Keep what the backward needs."""
    *tensors, ctx.softplus, ctx.by_channel, _ = inputs
    ctx.save_for_backward(*tensors, output[1])
    ctx.mark_non_differentiable(output[1])


def in_rows(dt: Tensor, by_channel: bool) -> Tensor:
    """dt, (b, k*d, l), with its rows side by side in memory, by channel or by sample; copied where they are not.

    SS2D's projection gives them by channel, and to copy them takes as long as to make them.
    """
    return dt.transpose(0, 1).contiguous().transpose(0, 1) if by_channel else dt.contiguous()


def refuse_second_derivative(backend: str) -> None:
    """Raise the RuntimeError of a backend that can be differentiated once only."""
    raise RuntimeError(
        f"the {backend} selective scan can be differentiated once only; "
        'for second derivatives use selective_scan(..., backend="torch")'
    )


def _fake_gradients(dy: Tensor, *inputs: Any) -> list[Tensor]:
    u, dt, A, B, C, D, z, dt_bias = inputs[:8]
    by_channel = inputs[-1]
    dB, dC = (torch.empty_like(x.transpose(2, 3), memory_format=torch.contiguous_format) for x in (B, C))
    rest = [x if x is not None else u.new_empty((0,) * rank) for x, rank in ((D, 1), (z, 3), (dt_bias, 1))]
    du, dA, *rest = (torch.empty_like(x, memory_format=torch.contiguous_format) for x in (u, A, *rest))
    return [du, torch.empty_like(in_rows(dt, by_channel)), dA, dB.transpose(2, 3), dC.transpose(2, 3), *rest]
