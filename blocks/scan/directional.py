"""Scans of one map along many curves at once, summed back in place: the core of SS2D."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from dlkd.blocks.scan.backend import choose_backend, reads_curves, scan_of
from dlkd.blocks.scan.flops import announce
from dlkd.blocks.scan.inputs import ScanInputs
from dlkd.blocks.scan.selective import selective_scan


def directional_scan(
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    *,
    curves: Tensor,
    dt_bias: Tensor | None = None,
    dt_softplus: bool = False,
    backend: str = "auto",
) -> Tensor:
    """Scan u along every curve and back, and sum the directions.

    u: (b, d, l) -> (b, d, l), in raster order like all that has an l; curves: (k, l) from `scan_curves`.
    The 2k directions are the k curves, then the same curves reversed; each has its own parameters:
    dt: (b, 2k*d, l); A: (2k*d, n); B, C: (b, 2k, n, l); D, dt_bias: (2k*d,). Backends that
    read curves (numba and triton) read u through them; for the others the directions are laid out. Raises ValueError as
    `selective_scan` does.
    """
    directions = 2 * curves.shape[0]
    if u.dim() != 3 or u.shape[2] != curves.shape[1]:
        raise ValueError(
            f"directional_scan: u must be (b, d, {curves.shape[1]}) as the curves are, got {tuple(u.shape)}"
        )
    inputs = ScanInputs(u, dt, A, B, C, D, None, dt_bias).prepared(directions)
    backend = choose_backend(backend, u)
    if reads_curves(backend):
        announce(inputs)
        with torch.autocast(u.device.type, enabled=False):
            return scan_of(backend)(inputs, dt_softplus, curves).to(u.dtype)

    orders = torch.cat([curves, curves.flip(1)]).to(u.device)
    inverses = orders.argsort(1)
    d = u.shape[1]
    y = selective_scan(
        _permuted(u.unsqueeze(1).expand(-1, directions, -1, -1), orders, inverses).flatten(1, 2),
        _permuted(torch.unflatten(dt, 1, (directions, d)), orders, inverses).flatten(1, 2),
        A,
        _permuted(B, orders, inverses),
        _permuted(C, orders, inverses),
        D,
        dt_bias=dt_bias,
        dt_softplus=dt_softplus,
        backend=backend,
    )
    return _permuted(torch.unflatten(y, 1, (directions, d)), inverses, orders).sum(1)


class _Permuted(torch.autograd.Function):
    """Every direction of (b, k, ..., l) in its own order, (k, l). The backward is a gather too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, orders: Tensor, inverses: Tensor) -> Tensor:
        ctx.save_for_backward(orders, inverses)
        return torch.stack([x[:, i].index_select(-1, order) for i, order in enumerate(orders)], dim=1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        orders, inverses = ctx.saved_tensors
        return _permuted(grad, inverses, orders), None, None


def _permuted(x: Tensor, orders: Tensor, inverses: Tensor) -> Tensor:
    permuted: Tensor = _Permuted.apply(x, orders, inverses)
    return permuted
