"""The selective scan: one function with mamba-ssm's semantics, and the choice of a backend.

Legend: b batch, d channels, l sequence, n state, g groups of d / g consecutive channels that share B and C.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from dlkd.blocks.scan import mamba_backend, numba_backend, triton_backend
from dlkd.blocks.scan.inputs import ScanInputs
from dlkd.blocks.scan.torch_backend import torch_scan

Scan = Callable[[ScanInputs, bool], Tensor]  # prepared inputs, and whether dt goes through softplus

_log = logging.getLogger(__name__)
_BACKENDS: dict[str, tuple[Scan, Callable[[Tensor], str | None]]] = {  # with why it cannot scan a tensor, if so
    "numba": (numba_backend.numba_scan, numba_backend.why_not),
    "mamba_ssm": (mamba_backend.mamba_scan, mamba_backend.why_not),
    "triton": (triton_backend.triton_scan, triton_backend.why_not),
    "torch": (torch_scan, lambda u: None),
}
_AUTO = {"cpu": ("numba", "torch")}  # "auto" takes the first that can; on other devices:
_AUTO_ELSEWHERE = ("mamba_ssm", "triton", "torch")


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
    float64 u, in float32 otherwise. `backend` is one of `backends()` or "auto". Raises ValueError for shapes
    that do not fit and for an unknown or unusable backend. Source: Mamba (Gu and Dao, 2023), the interface
    of mamba-ssm's `selective_scan_fn`.
    """
    inputs = ScanInputs(u, dt, A, B, C, D, z, dt_bias).prepared()
    run, _ = _BACKENDS[choose_backend(backend, u)]
    with torch.autocast(u.device.type, enabled=False):
        return run(inputs, dt_softplus).to(u.dtype)


def backends() -> list[str]:
    """Names that `selective_scan` takes as `backend`, beside "auto"."""
    return list(_BACKENDS)


def require_backend(backend: str) -> None:
    """Raise ValueError unless `backend` is a known name; whether it can be used shows when it is."""
    if backend != "auto" and backend not in _BACKENDS:
        raise ValueError(f'selective_scan: unknown backend "{backend}"; known: auto, {", ".join(_BACKENDS)}')


def choose_backend(backend: str, u: Tensor) -> str:
    """The backend that scans `u` when asked for `backend`. Raises ValueError if unknown or unable to."""
    require_backend(backend)
    if backend == "auto":
        return _first_able(u)
    if reason := _BACKENDS[backend][1](u):
        raise ValueError(f'selective_scan: backend "{backend}" cannot be used: {reason}')
    return backend


def _first_able(u: Tensor) -> str:
    reasons = {name: _BACKENDS[name][1](u) for name in _AUTO.get(u.device.type, _AUTO_ELSEWHERE)}
    chosen = next(name for name, reason in reasons.items() if reason is None)
    if not torch.compiler.is_compiling():  # neither logs nor warnings can be traced
        if u.device.type == "cpu" and not numba_backend.HAS_NUMBA:
            _warn_of_missing_numba()
        _log.debug("auto chose %s for %s on %s; others: %s", chosen, tuple(u.shape), u.device, reasons)
    return chosen


@lru_cache(maxsize=1)
def _warn_of_missing_numba() -> None:
    warnings.warn("numba is not installed: the selective scan runs in PyTorch, many times slower", stacklevel=2)
