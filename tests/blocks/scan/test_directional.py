"""The scan along many curves: the same as a selective scan of every direction laid out and put back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from dlkd.blocks.scan import directional_scan, scan_curves, selective_scan

Inputs = dict[str, Tensor]
Backend = Any  # conftest's


@pytest.mark.parametrize("order", ["raster2", "cross4", "hilbert8"])
def test_is_the_sum_of_its_directions(backend: Backend, order: str, draw: Callable[..., Inputs]) -> None:
    h, w, d = 5, 7, 3
    curves = scan_curves(order, h, w)
    k = 2 * len(curves)
    inputs = draw(2, k * d, h * w, 3, k)
    del inputs["z"]
    inputs["u"] = inputs["u"][:, :d].detach().requires_grad_()
    wanted = torch.zeros_like(inputs["u"])
    for i, curve in enumerate([*curves.long(), *curves.long().flip(1)]):
        own = slice(i * d, (i + 1) * d)
        y = selective_scan(
            inputs["u"][:, :, curve],
            inputs["dt"][:, own, curve],
            inputs["A"][own],
            inputs["B"][:, i, :, curve],
            inputs["C"][:, i, :, curve],
            inputs["D"][own],
            dt_bias=inputs["dt_bias"][own],
            dt_softplus=True,
            backend="torch",
        )
        wanted = wanted + y[:, :, curve.argsort()]
    got = backend(**inputs, curves=curves, dt_softplus=True)
    torch.testing.assert_close(got, wanted, rtol=1e-7, atol=1e-8)
    seed = torch.randn_like(wanted)
    leaves = list(inputs.values())
    torch.testing.assert_close(
        torch.autograd.grad(got, leaves, seed),
        torch.autograd.grad(wanted, leaves, seed),
        rtol=1e-6,
        atol=1e-8,
    )


def test_curves_must_fit_u(draw: Callable[..., Inputs]) -> None:
    inputs = draw(2, 8, 6, 3, 4)
    del inputs["z"]
    curves = scan_curves("cross4", 2, 4)
    with pytest.raises(ValueError, match=r"u must be \(b, d, 8\) as the curves are, got \(2, 8, 6\)"):
        directional_scan(**inputs, curves=curves)
    with pytest.raises(ValueError, match=r"dt must be \(2, 16, 6\) to fit u, got \(2, 8, 6\)"):
        directional_scan(**inputs, curves=scan_curves("raster2", 2, 3))
