"""The selective scan written from its definition, and inputs for it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dlkd.blocks.scan import backends, directional_scan, selective_scan
from dlkd.blocks.scan.hub_backend import CONSENT

Inputs = dict[str, Tensor]


@dataclass(frozen=True)
class Backend:
    """A backend on a device: takes and gives tensors on the CPU."""

    name: str
    device: str = "cpu"

    @property
    def interpreted(self) -> bool:
        """Whether it runs element by element, in Python."""
        return self.name == "triton" and self.device == "cpu"

    def __call__(self, *positional: Tensor, curves: Tensor | None = None, **inputs: Any) -> Tensor:
        inputs |= dict(zip(("u", "dt", "A", "B", "C", "D"), positional, strict=False))
        if self.name.startswith("mamba_ssm") and inputs["u"].dtype == torch.float64:
            pytest.skip("mamba-ssm computes in float32")
        moved = {name: x.to(self.device) if isinstance(x, Tensor) else x for name, x in inputs.items()}
        if curves is None:
            return selective_scan(**moved, backend=self.name).cpu()
        return directional_scan(**moved, curves=curves, backend=self.name).cpu()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that takes a `backend` runs on all of them: Triton's on a CPU where its interpreter is on."""
    if "backend" in metafunc.fixturenames:
        here = ["numba", "torch", *(["triton"] if os.environ.get("TRITON_INTERPRET") == "1" else [])]
        there = ["torch", "triton", "mamba_ssm", "mamba_ssm_hub"]
        cases = [pytest.param(Backend(name), id=name) for name in here]
        gpu = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")]
        consent = pytest.mark.skipif(not os.environ.get(CONSENT), reason=f"{CONSENT} names no kernels to download")
        missing = backends()["mamba_ssm"].missing() if torch.cuda.is_available() else None
        built = pytest.mark.skipif(missing is not None, reason=str(missing))
        marks = {"mamba_ssm": [*gpu, built], "mamba_ssm_hub": [*gpu, consent]}
        cases += [pytest.param(Backend(name, "cuda"), id=f"{name}-cuda", marks=marks.get(name, gpu)) for name in there]
        metafunc.parametrize("backend", cases)


def literal_scan(
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    dt_bias: Tensor | None = None,
    dt_softplus: bool = False,
) -> Tensor:
    """h_t = exp(dt_t A) h_{t-1} + dt_t B_t u_t; y_t = (C_t h_t + D u_t) silu(z_t), one step at a time."""
    b, d, length = u.shape
    B, C = (x.unsqueeze(1) if x.dim() == 3 else x for x in (B, C))
    B, C = (x.repeat_interleave(d // x.shape[1], dim=1) for x in (B, C))
    if dt_bias is not None:
        dt = dt + dt_bias[:, None]
    if dt_softplus:
        dt = F.softplus(dt)
    h = u.new_zeros(b, d, A.shape[1])
    steps = []
    for t in range(length):
        h = (dt[:, :, t, None] * A).exp() * h + dt[:, :, t, None] * B[..., t] * u[:, :, t, None]
        steps.append((h * C[..., t]).sum(-1))
    y = torch.stack(steps, dim=-1) if steps else u
    if D is not None:
        y = y + D[:, None] * u
    return y if z is None else y * F.silu(z)


def scan_inputs(
    b: int, d: int, length: int, n: int, groups: int = 1, *, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Inputs:
    """Inputs over all that must work, log-uniform: dt from 1e-6 to 20 and A from -1e-3 to -100."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    def log_uniform(low: float, high: float, *shape: int) -> Tensor:
        where = torch.rand(shape, generator=generator, dtype=torch.float64)
        return low * (high / low) ** where

    inputs = {
        "u": normal(b, d, length),
        "dt": log_uniform(1e-6, 20, b, d, length),
        "A": -log_uniform(1e-3, 100, d, n),
        "B": normal(b, groups, n, length),
        "C": normal(b, groups, n, length),
        "D": normal(d),
        "z": normal(b, d, length),
        "dt_bias": log_uniform(1e-6, 1, d),
    }
    return {name: x.to(dtype).requires_grad_() for name, x in inputs.items()}


@pytest.fixture(scope="session")  # not per test: hypothesis calls a test many times
def literal() -> Callable[..., Tensor]:
    return literal_scan


@pytest.fixture(scope="session")  # not per test: hypothesis calls a test many times
def draw() -> Callable[..., Inputs]:
    return scan_inputs
