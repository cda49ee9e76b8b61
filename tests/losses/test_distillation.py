"""L_CKD and L_PKD, eq. 8, as sums over scales, rows and columns."""

import pytest
import torch
from torch.autograd import gradcheck

from dlkd.contract import ContractError
from dlkd.losses import CKD, PKD

SIDES = [(6, 8), (3, 4), (1, 2)]


def draw(b=2, sides=SIDES, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [2 * torch.rand(b, h, w, generator=generator, dtype=torch.float64) for h, w in sides]


@pytest.mark.parametrize("loss", [CKD(), PKD()])
@pytest.mark.parametrize("b", [1, 3])
@pytest.mark.parametrize("sides", [SIDES, SIDES[:1]])
def test_equals_equation_8(loss, b, sides):
    maps = draw(b, sides)
    total = 0.0
    for n in range(b):
        for m in maps:
            h_k, w_k = m.shape[1:]
            inner = 0.0
            for h in range(h_k):
                for w in range(w_k):
                    inner += m[n, h, w].item()
            total += inner / (h_k * w_k)
    torch.testing.assert_close(loss(maps), torch.tensor(total / b, dtype=torch.float64))


@pytest.mark.parametrize("loss", [CKD(), PKD()])
def test_gradient(loss):
    maps = [m.requires_grad_() for m in draw(sides=[(2, 3), (1, 2)])]
    assert gradcheck(lambda *m: loss(m), maps)


@pytest.mark.parametrize("loss", [CKD(), PKD()])
def test_a_batchs_loss_is_the_mean_of_its_samples(loss):
    maps = draw(b=4)
    alone = torch.stack([loss([m[n : n + 1] for m in maps]) for n in range(4)])
    torch.testing.assert_close(loss(maps), alone.mean())


@pytest.mark.parametrize(("loss", "name"), [(CKD(), "ckd"), (PKD(), "pkd")])
def test_refuses_what_are_no_maps_of_one_batch(loss, name):
    with pytest.raises(ContractError, match=f"{name}: expected at least one anomaly map, got none"):
        loss([])
    with pytest.raises(ContractError, match=rf"{name}: expected maps \(b, h, w\), got shape \(2, 1, 3, 3\)"):
        loss([torch.zeros(2, 1, 3, 3)])
    with pytest.raises(ContractError, match=f"{name}: axis b must be 2 in every map, got 1"):
        loss([torch.zeros(2, 3, 3), torch.zeros(1, 3, 3)])
