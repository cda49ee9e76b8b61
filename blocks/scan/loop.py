"""Selective scan as a loop of steps that stays one node of an exported graph; `exportable` asks for it."""

from __future__ import annotations

import torch
from torch import Tensor

from dlkd.blocks.scan.inputs import ScanInputs
from dlkd.blocks.scan.torch_backend import around
from dlkd.registry import register


@register("scan", "loop")
def loop_scan(inputs: ScanInputs, dt_softplus: bool) -> Tensor:
    """Scan prepared inputs, see `selective_scan`."""
    return around(_scan, inputs, dt_softplus)


def _scan(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    from torch._higher_order_ops.scan import scan  # loads the compiler, which takes longer than all of PyTorch

    groups, states = B.shape[1], B.shape[2]

    def by_step(x: Tensor) -> Tensor:  # (b, d, l) -> (l, b, g, 1, d/g): channels innermost, the longest runs in memory
        return torch.unflatten(x.permute(2, 0, 1), 2, (groups, 1, -1))

    def step(carried: list[Tensor], now: tuple[Tensor, ...]) -> tuple[list[Tensor], Tensor]:
        h, A = carried
        dt, new, B, C = now
        h = torch.exp(dt * A) * h + torch.matmul(B, new)
        return [h, A.clone()], torch.matmul(C, h)

    # A is carried although it never changes: OpenVINO has no rule for a step that reads what is outside of it.
    A = torch.unflatten(A, 0, (groups, -1)).transpose(1, 2).contiguous()  # (g, n, d/g)
    start = u.new_zeros(u.shape[0], groups, states, u.shape[1] // groups)
    each = (by_step(dt), by_step(dt * u), B.permute(3, 0, 1, 2).unsqueeze(4), C.permute(3, 0, 1, 2).unsqueeze(3))
    y: Tensor = scan(step, [start, A], each)[1]
    return y.flatten(2).permute(1, 2, 0)
