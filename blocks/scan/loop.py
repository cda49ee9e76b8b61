"""Selective scan as a loop of steps that stays one node of an exported graph; `exportable` asks for it."""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from dlkd.blocks.scan.backend import runs_on
from dlkd.blocks.scan.inputs import ScanInputs
from dlkd.blocks.scan.torch_backend import around
from dlkd.registry import register

STEPS = 8
"""Of the scan per turn of the loop: each turn costs a runtime time of its own, and larger operators are faster."""


@register("scan", "loop")
@runs_on(reads_curves=True)
def loop_scan(inputs: ScanInputs, dt_softplus: bool, curves: Tensor | None = None) -> Tensor:
    """Scan prepared inputs, see `selective_scan`; along int32 curves (k/2, l), see `directional_scan`."""
    if curves is None:
        return around(_scan, inputs, dt_softplus)
    if inputs.D is not None:  # D u has no order, so that all directions add it at once
        inputs = inputs._replace(D=torch.unflatten(inputs.D, 0, (-1, inputs.u.shape[1])).sum(0))
    return around(functools.partial(_along, curves), inputs, dt_softplus)


def _scan(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    groups = B.shape[1]
    dt, new = (torch.unflatten(x.permute(2, 0, 1), 2, (groups, -1)) for x in (dt, dt * u))
    y = _walk(dt, new, A, B.permute(3, 0, 1, 2), C.permute(3, 0, 1, 2))
    return y.flatten(2).permute(1, 2, 0)


def _along(curves: Tensor, u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """The sum over k directions: u (b, d, l); dt (b, k*d, l); B, C (b, k, n, l).

    Cells are reordered as rows of (l, b, k, m), which runtimes copy several times as fast as single numbers.
    """
    orders = torch.cat([curves, curves.flip(1)])
    inverses = orders.argsort(1)
    dt = torch.unflatten(dt, 1, (len(orders), -1)).permute(3, 0, 1, 2)
    new = dt * u.permute(2, 0, 1).unsqueeze(2)
    rows = (dt, new, B.permute(3, 0, 1, 2), C.permute(3, 0, 1, 2))
    dt, new, B, C = (torch.stack(_reordered(x, orders), dim=2) for x in rows)
    return torch.stack(_reordered(_walk(dt, new, A, B, C), inverses)).sum(0).permute(1, 2, 0)


def _reordered(x: Tensor, orders: Tensor) -> list[Tensor]:
    """(l, b, k, m) -> k times (l, b, m), each direction in its own order."""
    return [x[:, :, i].index_select(0, order) for i, order in enumerate(orders)]


def _walk(dt: Tensor, new: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """dt, new: (l, b, g, d/g); A: (d, n); B, C: (l, b, g, n) -> y (l, b, g, d/g), channels innermost."""
    from torch._higher_order_ops.scan import scan  # loads the compiler, which takes longer than all of PyTorch

    def turn(carried: list[Tensor], now: tuple[Tensor, ...]) -> tuple[list[Tensor], Tensor]:
        h, A = carried
        dt, new, B, C = now
        states = []
        for decay, added in zip(torch.split(torch.exp(dt * A), 1), torch.split(torch.matmul(B, new), 1), strict=True):
            h = decay * h + added
            states.append(h)
        return [h, A.clone()], torch.matmul(C, torch.cat(states))

    length, b, groups, width = dt.shape
    missing = -length % STEPS

    def by_turn(x: Tensor) -> Tensor:  # (l, ...) -> (turns, STEPS, ...); dt = 0 on the padding changes nothing
        return torch.unflatten(F.pad(x, (0,) * (2 * x.dim() - 1) + (missing,)) if missing else x, 0, (-1, STEPS))

    # A is carried although it never changes: OpenVINO has no rule for a step that reads what is outside of it.
    A = torch.unflatten(A, 0, (groups, width)).transpose(1, 2).contiguous()  # (g, n, d/g)
    start = dt.new_zeros(1, b, groups, A.shape[1], width)
    each = map(by_turn, (dt.unsqueeze(3), new.unsqueeze(3), B.unsqueeze(4), C.unsqueeze(3)))
    y: Tensor = scan(turn, [start, A], tuple(each))[1]
    return y.flatten(0, 1)[:length].squeeze(3)
