"""Selective scan in plain PyTorch: the readable backend, for any device, compiler and exporter.

The sequence is cut into about sqrt(l) chunks of about sqrt(l) steps. All chunks walk their steps together,
each from a zero state; then a second loop hands the state from chunk to chunk. Decays are exponentials of
sums of dt * A <= 0 and never of their negatives, so nothing overflows.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from dlkd.blocks.scan.inputs import ScanInputs
from dlkd.registry import register


@register("scan", "torch")
def torch_scan(inputs: ScanInputs, dt_softplus: bool) -> Tensor:
    """Scan prepared inputs, see `selective_scan`."""
    return around(_scan, inputs, dt_softplus)


def around(recurrence: Callable[..., Tensor], inputs: ScanInputs, dt_softplus: bool) -> Tensor:
    """A scan whose `recurrence` of u, dt, A, B and C does what is left: bias and softplus of dt, D and the gate."""
    u, dt, A, B, C, D, z, dt_bias = inputs
    if dt_bias is not None:
        dt = dt + dt_bias[:, None]
    if dt_softplus:
        dt = F.softplus(dt)
    y = recurrence(u, dt, A, B, C)
    if D is not None:
        y = y + D[:, None] * u
    return y if z is None else y * F.silu(z)


def _scan(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    b, d, length = u.shape
    groups = B.shape[1]
    steps = max(1, math.ceil(math.sqrt(length)))
    chunks = max(1, math.ceil(length / steps))

    def by_step(
        x: Tensor,
    ) -> Tensor:  # (..., l) -> (steps, ..., chunks); dt = 0 on the padding changes nothing
        x = F.pad(x, (0, steps * chunks - length))
        return torch.unflatten(x, -1, (chunks, steps)).movedim(-1, 0)

    def per_channel(x: Tensor) -> Tensor:  # (b, g, n, l) -> (steps, b, g, 1, chunks, n)
        return by_step(x).movedim(3, -1).unsqueeze(3)

    def grouped(x: Tensor) -> Tensor:  # (steps, b, d, chunks, n) -> (steps, b, g, d/g, chunks, n)
        return torch.unflatten(x, 2, (groups, d // groups))

    log_decay = by_step(dt).unsqueeze(-1) * A[:, None]  # (steps, b, d, chunks, n)
    entering = (grouped(by_step(dt * u).unsqueeze(-1)) * per_channel(B)).flatten(2, 3)

    state = torch.zeros_like(entering[0])
    states = []
    for decay, new in zip(log_decay.exp().unbind(0), entering.unbind(0), strict=True):
        state = decay * state + new
        states.append(state)
    local = torch.stack(states)  # each chunk on its own

    from_start = log_decay.cumsum(0).exp()
    carry = torch.zeros_like(state[:, :, 0])
    carries = []
    for decay, end in zip(from_start[-1].unbind(2), local[-1].unbind(2), strict=True):
        carries.append(carry)
        carry = decay * carry + end
    h = local + from_start * torch.stack(carries, dim=2)

    y = (grouped(h) * per_channel(C)).sum(-1)  # (steps, b, g, d/g, chunks)
    return y.permute(1, 2, 3, 4, 0).reshape(b, d, chunks * steps)[..., :length]
