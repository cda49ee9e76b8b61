"""The selective scan: one function with mamba-ssm's semantics, computed by the backend that is asked for.

Legend: b batch, d channels, l sequence, n state, g groups of d / g consecutive channels that share B and C.
"""

from __future__ import annotations

import torch
from torch import Tensor

# Registered by being imported here; an import statement, so that keys of results find their kernels too.
from dlkd.blocks.scan import hub_backend, loop, mamba_backend, torch_backend  # noqa: F401
from dlkd.blocks.scan.backend import choose_backend, scan_of
from dlkd.blocks.scan.flops import announce
from dlkd.blocks.scan.inputs import ScanInputs
from dlkd.blocks.scan.numba import backend as numba_backend  # noqa: F401
from dlkd.blocks.scan.triton import backend as triton_backend  # noqa: F401


def selective_scan(
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    dt_bias: Tensor | None = None,
    dt_softplus: bool = False,
    backend: str = "auto",
) -> Tensor:
    """Scan u along l: h_t = exp(dt_t A) h_{t-1} + dt_t B_t u_t, y_t = (C_t h_t + D u_t) silu(z_t).

    u, dt, z: (b, d, l); A: (d, n); B, C: (b, n, l) or (b, g, n, l); D, dt_bias: (d,) -> (b, d, l), u's dtype.
    dt_bias is added to dt first, and softplus taken of the sum where asked. Computes in float64 for a
    float64 u, in float32 otherwise. `backend` is one of `backends()`, a registered `scan/...`, or "auto".
    Raises ValueError for shapes that do not fit and for an unknown or unusable backend. Source: Mamba (Gu and
    Dao, 2023), the interface of mamba-ssm's `selective_scan_fn`.
    """
    inputs = ScanInputs(u, dt, A, B, C, D, z, dt_bias).prepared()
    run = scan_of(choose_backend(backend, u))
    announce(inputs)
    with torch.autocast(u.device.type, enabled=False):
        return run(inputs, dt_softplus).to(u.dtype)
