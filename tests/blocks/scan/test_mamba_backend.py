"""The adapter to mamba-ssm, with a stand-in that has its interface and computes the literal recurrence.

The real kernels are tested by `pytest -m gpu tests/blocks/scan`, which needs a GPU and `dlkd[cuda]`, or for those of
the hub `dlkd[hub-kernels]` and DLKD_HUB_KERNELS.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from dlkd.blocks.scan import hub_backend, mamba_backend, selective_scan
from dlkd.blocks.scan.backend import why_not
from dlkd.blocks.scan.hub_backend import hub_scan
from dlkd.blocks.scan.inputs import ScanInputs
from dlkd.blocks.scan.mamba_backend import mamba_scan

Inputs = dict[str, Tensor]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch, literal: Callable[..., Tensor]) -> None:
    """`SelectiveScanFn` of mamba_ssm 2.3: arguments by place, ten gradients back, no gradient of gradients."""

    class SelectiveScanFn:
        @staticmethod
        def forward(ctx: Any, *arguments: Any) -> Tensor:
            *tensors, ctx.softplus = arguments
            assert all(x is None or x.is_contiguous() for x in tensors)
            ctx.save_for_backward(*tensors)
            return literal(*tensors, ctx.softplus)

        @staticmethod
        def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
            leaves = [None if x is None else x.detach().requires_grad_() for x in ctx.saved_tensors]
            with torch.enable_grad():
                y = literal(*leaves, ctx.softplus)
            present = [x for x in leaves if x is not None]
            grads = iter(torch.autograd.grad(y, present, dout.detach()))
            return *(None if x is None else next(grads) for x in leaves), None, None

    module = ModuleType("mamba_ssm.ops.selective_scan_interface")
    module.SelectiveScanFn = SelectiveScanFn  # type: ignore[attr-defined]
    for name, value in {"mamba_ssm": ModuleType("mamba_ssm"), "mamba_ssm.ops": ModuleType("mamba_ssm.ops")}.items():
        monkeypatch.setitem(sys.modules, name, value)
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("absent", [[], ["D"], ["z", "dt_bias"]])
def test_arguments_and_gradients_find_their_places(
    absent: list[str], draw: Callable[..., Inputs], literal: Callable[..., Tensor]
) -> None:
    inputs = {name: x for name, x in draw(2, 4, 7, 3, 2, dtype=torch.float32).items() if name not in absent}
    strided = {**inputs, "u": inputs["u"].transpose(1, 2).contiguous().transpose(1, 2)}
    everything = ScanInputs(**{**dict.fromkeys(ScanInputs._fields), **strided})
    got, wanted = mamba_scan(everything.prepared(), True), literal(**inputs, dt_softplus=True)
    torch.testing.assert_close(got, wanted)
    seed, leaves = torch.randn_like(got), list(inputs.values())
    torch.testing.assert_close(torch.autograd.grad(got, leaves, seed), torch.autograd.grad(wanted, leaves, seed))


@pytest.mark.usefixtures("stand_in")
def test_second_derivatives_are_refused(draw: Callable[..., Inputs]) -> None:
    inputs = draw(1, 2, 5, 2, dtype=torch.float32)
    y = mamba_scan(ScanInputs(**inputs).prepared(), False)
    (du,) = torch.autograd.grad(y.sum(), inputs["u"], create_graph=True)
    with pytest.raises(RuntimeError, match=r'mamba_ssm .* differentiated once only; .* backend="torch"'):
        du.sum().backward()


@pytest.mark.parametrize(("b", "length", "n"), [(0, 4, 2), (1, 0, 2), (1, 4, 0)])
def test_empty_inputs_need_no_kernel(b: int, length: int, n: int, draw: Callable[..., Inputs]) -> None:
    inputs = draw(b, 2, length, n, dtype=torch.float32)
    got = mamba_scan(ScanInputs(**inputs).prepared(), False)
    torch.testing.assert_close(got, selective_scan(**inputs, backend="torch"))


def test_too_many_states_are_named() -> None:
    u = torch.zeros(1, 2, 3)
    B = torch.zeros(1, 1, 257, 3)
    with pytest.raises(ValueError, match=r'at most 256 states, got 257; use backend="triton"'):
        mamba_scan(ScanInputs(u, u, torch.zeros(2, 257), B, B, None, None, None), False)


def test_says_why_it_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    u, A = torch.zeros(1, 2, 3), torch.zeros(2, 1)
    with pytest.raises(ValueError, match='"mamba_ssm" cannot be used: it runs on cuda and u is on cpu'):
        selective_scan(u, u, A, u[:, :1], u[:, :1], backend="mamba_ssm")
    monkeypatch.setitem(sys.modules, "mamba_ssm", None)  # as where it is not installed
    mamba_backend._missing.cache_clear()
    on_gpu = torch.empty(1, device="meta")
    assert "runs on cuda" in str(why_not("mamba_ssm", on_gpu))
    assert 'pip install "dlkd[cuda]"' in str(mamba_backend._missing())
    mamba_backend._missing.cache_clear()


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch, stand_in: None) -> Iterator[list[Any]]:
    """A stand-in of the package `kernels`, whose version 4 has the stand-in's scan; what was asked of it."""
    asked: list[Any] = []
    scans = ModuleType("mamba_ssm_4.ops")
    scans.SelectiveScanFn = sys.modules["mamba_ssm.ops.selective_scan_interface"].SelectiveScanFn  # type: ignore[attr-defined]
    scans.selective_scan_fn = lambda: None  # type: ignore[attr-defined]
    scans.selective_scan_fn.__module__ = scans.__name__

    def get_kernel(repository: str, **which: Any) -> ModuleType:
        asked.append((repository, which))
        if which != {"version": 4}:
            raise FileNotFoundError("Cannot find a build variant for this system")
        return scans

    module = ModuleType("kernels")
    module.get_kernel = get_kernel  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kernels", module)
    monkeypatch.setitem(sys.modules, scans.__name__, scans)
    yield asked
    for cached in (hub_backend._why_not, hub_backend._theirs):
        cached.cache_clear()


def test_kernels_of_the_hub_are_asked_for_by_consent_alone(
    kernels: list[Any], draw: Callable[..., Inputs], literal: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(hub_backend.CONSENT, raising=False)
    assert "which takes your consent: set DLKD_HUB_KERNELS" in str(hub_backend._missing())
    assert kernels == []
    monkeypatch.setenv(hub_backend.CONSENT, "4")
    assert hub_backend._missing() is None
    inputs = draw(2, 4, 7, 3, dtype=torch.float32)
    got, wanted = hub_scan(ScanInputs(**inputs).prepared(), False), literal(**inputs)
    torch.testing.assert_close(got, wanted)
    seed, leaves = torch.randn_like(got), list(inputs.values())
    torch.testing.assert_close(torch.autograd.grad(got, leaves, seed), torch.autograd.grad(wanted, leaves, seed))
    monkeypatch.setenv(hub_backend.CONSENT, "a1b2")
    assert "at DLKD_HUB_KERNELS=a1b2 cannot be had: Cannot find a build variant" in str(hub_backend._missing())
    which = [which for _, which in kernels]
    assert which == [{"version": 4}, {"revision": "a1b2"}]
    assert {repository for repository, _ in kernels} == {"kernels-community/mamba-ssm"}
    monkeypatch.setitem(sys.modules, "kernels", None)
    monkeypatch.setenv(hub_backend.CONSENT, "5")
    assert 'pip install "dlkd[hub-kernels]"' in str(hub_backend._missing())
