"""The table of scan backends: what `register("scan", name)` made known, where each runs, and which one is taken.

A backend is a function of prepared inputs; `runs_on` says what it cannot do. One of your own, in a file of `--import`,
is chosen by its name as dlkd's are:

    @register("scan", "mine")
    @runs_on("cpu", dtypes=(torch.float32,))
    def my_scan(inputs: ScanInputs, dt_softplus: bool) -> Tensor: ...
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor

from dlkd.blocks.kernels.traced import assumed_constant, why_not_traced
from dlkd.registry.components import get, is_registered, list_components, registered
from dlkd.registry.problems import nearest

AUTO = "auto"
Scan = Callable[..., Tensor]
"""(prepared inputs, whether dt goes through softplus) -> y (b, d, l); a third argument where it reads curves."""
Function = TypeVar("Function", bound=Callable[..., Any])

_log = logging.getLogger(__name__)
_AUTO_ON = {"cpu": ("numba", "torch")}  # "auto" takes the first that can; on other devices:
_AUTO_ELSEWHERE = ("mamba_ssm", "triton", "torch")


def _nothing() -> None:
    return None


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Limits:
    """What a backend runs on; by default anything.

    Attributes:
        devices: kinds of device, `cpu` or `cuda`; none: any.
        dtypes: of the prepared inputs.
        needs: the package that it needs, beside PyTorch.
        compiles: whether `torch.compile` takes it into a graph.
        exports: whether an exported model can hold it; only PyTorch's own operators can be in one.
        reads_curves: whether it takes int32 curves (k/2, l) as a third argument, see `directional_scan`; for the
            others the directions are laid out.
        missing: says what is not installed here, if anything.
        interpreted: whether it runs on any device just now, slowly.
    """

    devices: tuple[str, ...] = ()
    dtypes: tuple[torch.dtype, ...] = (torch.float32, torch.float64)
    needs: str = ""
    compiles: bool = True
    exports: bool = True
    reads_curves: bool = False
    missing: Callable[[], str | None] = _nothing
    interpreted: Callable[[], bool] = _never


def runs_on(*devices: str, **limits: Any) -> Callable[[Function], Function]:
    """Decorator that says what a backend runs on, see `Limits`."""

    def decorate(function: Function) -> Function:
        function.limits = Limits(devices, **limits)  # type: ignore[attr-defined]
        return function

    return decorate


def backends() -> dict[str, Limits]:
    """Names that `selective_scan` takes as `backend`, beside "auto", each with what it runs on."""
    return {name: limits_of(name) for name in list_components("scan")}


def require_backend(backend: str) -> None:
    """Raise ValueError unless `backend` is a known name; whether it can be used shows when it is."""
    if backend != AUTO and not is_registered("scan", backend):
        known = [AUTO, *list_components("scan")]
        raise ValueError(f"selective_scan: unknown backend '{backend}'{nearest(backend, known)}")


def scan_of(name: str) -> Scan:
    """The function of a backend that was chosen, also while PyTorch traces."""
    scan: Scan = registered("scan", name)
    return scan


def limits_of(name: str) -> Limits:
    """What a known backend runs on."""
    limits: Limits = getattr(get("scan", name), "limits", Limits())
    return limits


def choose_backend(backend: str, u: Tensor) -> str:
    """The backend that scans `u` when asked for `backend`. Raises ValueError if unknown or unable to."""
    if backend == AUTO:
        return _first_able(u)
    if not torch.compiler.is_compiling():
        require_backend(backend)
    if reason := why_not(backend, u):
        raise ValueError(f'selective_scan: backend "{backend}" cannot be used: {reason}')
    return backend


def why_not(name: str, u: Tensor) -> str | None:
    """Why a known backend cannot scan `u`, or None where it can."""
    return _why_not(name, str(u.device), u.dtype, torch.compiler.is_compiling(), why_not_traced())


@assumed_constant
def _why_not(name: str, device: str, dtype: torch.dtype, compiling: bool, exporting: str | None) -> str | None:
    limits = limits_of(name)
    dtype = torch.float64 if dtype == torch.float64 else torch.float32
    if limits.devices and device.split(":")[0] not in limits.devices and not limits.interpreted():
        return f"it runs on {' and '.join(limits.devices)} and u is on {device}"
    if dtype not in limits.dtypes:
        known = " and ".join(str(each).removeprefix("torch.") for each in limits.dtypes)
        return f"it computes in {known} and u is {str(dtype).removeprefix('torch.')}"
    if compiling and not limits.compiles:
        return "its kernels cannot be compiled into a graph"
    return (None if limits.exports else exporting) or limits.missing()


def _first_able(u: Tensor) -> str:
    reasons = {name: why_not(name, u) for name in _AUTO_ON.get(u.device.type, _AUTO_ELSEWHERE)}
    chosen = next(name for name, reason in reasons.items() if reason is None)
    if not torch.compiler.is_compiling():  # neither logs nor warnings can be traced
        if u.device.type == "cpu" and limits_of("numba").missing():
            _warn_of_missing_numba()
        _log.debug("auto chose %s for %s on %s; others: %s", chosen, tuple(u.shape), u.device, reasons)
    return chosen


@assumed_constant
def reads_curves(name: str) -> bool:
    """Whether a known backend reads the map through curves."""
    return limits_of(name).reads_curves


@lru_cache(maxsize=1)
def _warn_of_missing_numba() -> None:
    warnings.warn("numba is not installed: the selective scan runs in PyTorch, many times slower", stacklevel=2)
