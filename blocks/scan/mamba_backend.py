"""Selective scan on a GPU by mamba-ssm's CUDA kernels, where these are installed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from dlkd.blocks.scan.backend import runs_on
from dlkd.blocks.scan.fused import refuse_second_derivative
from dlkd.blocks.scan.inputs import ScanInputs
from dlkd.blocks.scan.torch_backend import torch_scan
from dlkd.registry import register

MOST_STATES = 256
"""What its kernels are compiled for."""


@cache
def _missing() -> str | None:
    try:
        _theirs()
        import selective_scan_cuda  # noqa: F401  # an own module, which newer releases leave out by default
    except ImportError as error:  # not installed, or built for another PyTorch
        return f'mamba-ssm with its CUDA scan is not installed ({error}); pip install "dlkd[cuda]"'
    return None


@register("scan", "mamba_ssm")
@runs_on("cuda", dtypes=(torch.float32,), needs="mamba_ssm", compiles=False, exports=False, missing=_missing)
def mamba_scan(inputs: ScanInputs, dt_softplus: bool) -> Tensor:
    """Scan prepared inputs, see `selective_scan`.

    Differentiable once, with respect to everything; a second backward raises RuntimeError. Raises ValueError
    for more than 256 states. dB and dC are sums in no fixed order.
    """
    return run_theirs("mamba_ssm", _theirs, inputs, dt_softplus)


def run_theirs(name: str, theirs: Callable[[], Any], inputs: ScanInputs, dt_softplus: bool) -> Tensor:
    """Scan prepared inputs by mamba-ssm's `SelectiveScanFn`.

    Args:
        name: of the backend, for messages.
        theirs: gives the class.
        inputs, dt_softplus: see `mamba_scan`, also for the exceptions.
    """
    if inputs.A.shape[1] > MOST_STATES:
        raise ValueError(
            f'selective_scan: backend "{name}" takes at most {MOST_STATES} states, got {inputs.A.shape[1]}; '
            'use backend="triton"'
        )
    if inputs.u.numel() == 0 or inputs.A.shape[1] == 0:  # nothing for a kernel to do
        return torch_scan(inputs, dt_softplus)
    contiguous = (None if x is None else x.contiguous() for x in inputs)  # else it keeps copies that know no gradient
    with torch.cuda.device_of(inputs.u):  # type: ignore[no-untyped-call]
        y: Tensor = _Scan.apply(name, theirs(), dt_softplus, *contiguous)
    return y


class _Scan(torch.autograd.Function):
    """mamba-ssm's own function, save that its gradient refuses to be differentiated instead of being a constant."""

    @staticmethod
    def forward(ctx: Any, name: str, theirs: Any, softplus: bool, *inputs: Tensor | None) -> Tensor:
        ctx.backend, ctx.theirs = name, theirs
        y: Tensor = theirs.forward(ctx, *inputs, softplus)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, None, *_Gradients.apply(ctx, dy, *ctx.saved_tensors)


class _Gradients(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scan: Any, dy: Tensor, *saved: Tensor | None) -> tuple[Tensor | None, ...]:
        ctx.backend = scan.backend
        grads: tuple[Tensor | None, ...] = scan.theirs.backward(scan, dy)
        return grads[:8]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> None:
        refuse_second_derivative(ctx.backend)


def _theirs() -> Any:
    from mamba_ssm.ops.selective_scan_interface import SelectiveScanFn

    return SelectiveScanFn
