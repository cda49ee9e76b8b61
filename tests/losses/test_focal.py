"""The focal loss against its formula, place by place; probabilities of 0 and 1."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
import torch

from dlkd.contract import ContractError
from dlkd.losses import Focal


@pytest.mark.parametrize(("gamma", "alpha", "smoothing"), [(2.0, None, 1e-5), (4.0, 1.0, 0.0), (1.5, 0.3, 0.1)])
def test_it_equals_loops(gamma: float, alpha: float | None, smoothing: float) -> None:
    probabilities = torch.randn(2, 2, 3, 4, dtype=torch.float64).softmax(dim=1)
    masks = (torch.rand(2, 1, 3, 4) < 0.5).double()
    total = 0.0
    for n, y, x in product(range(2), range(3), range(4)):
        p = 0.0
        for k in range(2):
            counts = 1 - smoothing if k == masks[n, 0, y, x] else smoothing
            p += counts * probabilities[n, k, y, x].item()
        p += smoothing
        weight = 1 if alpha is None else alpha if masks[n, 0, y, x] else 1 - alpha
        total += -weight * (1 - p) ** gamma * math.log(p) / 24
    found = Focal(gamma=gamma, alpha=alpha, smoothing=smoothing)(probabilities, masks)
    assert found.item() == pytest.approx(total, rel=1e-12)


def test_gamma_0_is_the_cross_entropy() -> None:
    logits, masks = torch.randn(2, 2, 3, 4), (torch.rand(2, 1, 3, 4) < 0.5).float()
    found = Focal(gamma=0, smoothing=0)(logits.softmax(dim=1), masks)
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(logits, masks[:, 0].long()))


@pytest.mark.parametrize("smoothing", [0.0, 1e-5])
def test_probabilities_of_0_and_1_give_numbers(smoothing: float) -> None:
    logits = torch.tensor([-200.0, 200.0]).view(1, 2, 1, 1).requires_grad_()
    losses = [Focal(smoothing=smoothing)(logits.softmax(dim=1), torch.full((1, 1, 1, 1), truth)) for truth in (0.0, 1)]
    assert 5 < losses[0] < 1000
    assert losses[1].item() == pytest.approx(0, abs=1e-6)
    torch.autograd.backward(losses[0] + losses[1])
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("arguments", [{"gamma": -1}, {"alpha": 2}, {"smoothing": 0.5}])
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"focal: .*{next(iter(arguments))}"):
        Focal(**arguments)
    with pytest.raises(ContractError, match=r"got \(2, 1, 4, 4\) and \(2, 1, 4, 4\)"):
        Focal()(torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4))
