"""L_con, eq. 9, with cosines and the hinge in plain Python."""

import math

import pytest
import torch
from torch.autograd import gradcheck

from dlkd.contract import ContractError
from dlkd.losses import Contrast

SHAPES = [(3, 4, 4), (5, 2, 3)]


def draw(b=2, seed=0, shapes=SHAPES):
    """F_E and F_PS that resemble each other, more so sample by sample, so that hinges open and close."""
    generator = torch.Generator().manual_seed(seed)
    noisy = [torch.randn(b, *s, generator=generator, dtype=torch.float64) for s in shapes]
    blend = torch.linspace(-0.5, 3, b, dtype=torch.float64).reshape(b, 1, 1, 1)
    return noisy, [torch.randn(x.shape, generator=generator, dtype=torch.float64) + blend * x for x in noisy]


def cosine(a, b):
    dot = sum(p * q for p, q in zip(a, b, strict=True))
    return dot / math.sqrt(sum(p * p for p in a)) / math.sqrt(sum(q * q for q in b))


@pytest.mark.parametrize("margin", [-1.0, 0.0, 0.5, 0.9])
@pytest.mark.parametrize("b", [1, 4])
def test_equals_equation_9_on_flattened_maps(margin, b):
    noisy, student = draw(b)
    total = 0.0
    for n in range(b):
        for e, p in zip(noisy, student, strict=True):
            total += max(0, cosine(e[n].flatten().tolist(), p[n].flatten().tolist()) - margin) / len(noisy)
    expected = torch.tensor(total / b, dtype=torch.float64)
    torch.testing.assert_close(Contrast(margin=margin)(noisy, student), expected)


@pytest.mark.parametrize("margin", [-1.0, 0.0, 0.5])
def test_equals_equation_9_per_location(margin):
    noisy, student = draw(4)
    total = 0.0
    for n in range(4):
        for e, p in zip(noisy, student, strict=True):
            h_k, w_k = e.shape[2:]
            for h in range(h_k):
                for w in range(w_k):
                    hinge = max(0, cosine(e[n, :, h, w].tolist(), p[n, :, h, w].tolist()) - margin)
                    total += hinge / (h_k * w_k * len(noisy) * 4)
    loss = Contrast(margin=margin, per_location=True)(noisy, student)
    torch.testing.assert_close(loss, torch.tensor(total, dtype=torch.float64))


def test_the_papers_margin_is_one_half():
    assert Contrast().margin == 0.5
    assert not Contrast().per_location


@pytest.mark.parametrize("per_location", [False, True])
def test_gradient(per_location):
    noisy, student = draw(shapes=[(2, 1, 2), (3, 1, 1)])
    inputs = [x.requires_grad_() for x in (*noisy, *student)]
    loss = Contrast(margin=-1.0, per_location=per_location)
    assert gradcheck(lambda *x: loss(x[:2], x[2:]), inputs)


def test_below_the_margin_nothing_is_paid_and_nothing_pulled():
    noisy, student = draw()
    student = [x.requires_grad_() for x in student]
    loss = Contrast(margin=1.0)(noisy, student)
    loss.backward()
    assert loss == 0
    assert not any(x.grad.any() for x in student)


@pytest.mark.parametrize("per_location", [False, True])
def test_a_batchs_loss_is_the_mean_of_its_samples(per_location):
    loss = Contrast(per_location=per_location)
    noisy, student = draw(5)
    alone = [loss([e[n : n + 1] for e in noisy], [p[n : n + 1] for p in student]) for n in range(5)]
    assert len({x.item() > 0 for x in alone}) == 2 or per_location  # hinges are per sample, not of the mean cosine
    torch.testing.assert_close(loss(noisy, student), torch.stack(alone).mean())


@pytest.mark.parametrize("margin", [-1.1, 2])
def test_refuses_a_margin_that_is_no_cosine(margin):
    with pytest.raises(ValueError, match=rf"contrast: margin must lie in \[-1, 1\] as a cosine does, got {margin}"):
        Contrast(margin=margin)


def test_refuses_features_of_other_shapes():
    noisy, student = draw()
    with pytest.raises(ContractError, match=r"contrast: .* must have the same shapes"):
        Contrast()(noisy, student[:1])
    with pytest.raises(ContractError, match=r"contrast: .*\(2, 3, 4, 4\)"):
        Contrast()(noisy, [student[0][..., :2], student[1]])
    with pytest.raises(ContractError, match="contrast: "):
        Contrast()([], [])
