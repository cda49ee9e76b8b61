"""The total objective, eq. 6, and Table 5's ways of leaving terms out."""

import functools

import pytest
import torch
from torch.autograd import gradcheck

from dlkd.losses import CKD, PKD, AnomalySimilarity, Contrast, TotalLoss

SIDES = [(4, 6), (2, 3)]


def draw(b=2, sides=SIDES):
    """M_C, M_P, F_E and F_PS."""
    generator = torch.Generator().manual_seed(0)

    def maps():
        return [2 * torch.rand(b, h, w, generator=generator, dtype=torch.float64) for h, w in sides]

    noisy = [torch.randn(b, 3, h, w, generator=generator, dtype=torch.float64) for h, w in sides]
    precise = [x + torch.randn(x.shape, generator=generator, dtype=torch.float64) for x in noisy]
    return maps(), maps(), noisy, precise


@pytest.mark.parametrize(("alpha", "beta"), [(0.02, 0.05), (0.0, 1.0), (3.0, 0.5)])
def test_equals_equation_6(alpha, beta):
    coarse_maps, precise_maps, noisy, precise = draw()
    expected = CKD()(coarse_maps) + PKD()(precise_maps)
    expected = expected + alpha * Contrast()(noisy, precise) + beta * AnomalySimilarity()(precise_maps)
    loss = TotalLoss(alpha=alpha, beta=beta)
    torch.testing.assert_close(loss(coarse_maps, precise_maps, noisy, precise), expected)


def test_anomaly_similarity_takes_the_maps_it_is_told_to():
    inputs = draw()
    terms = TotalLoss(similarity_of="coarse").terms(*inputs)
    torch.testing.assert_close(terms["anomaly_similarity"], AnomalySimilarity()(inputs[0]))
    assert not torch.equal(terms["anomaly_similarity"], TotalLoss().terms(*inputs)["anomaly_similarity"])


def test_the_papers_weights():
    assert TotalLoss().weights == {"ckd": 1.0, "pkd": 1.0, "contrast": 0.02, "anomaly_similarity": 0.05}


@pytest.mark.parametrize("left_out", ["ckd", "pkd", "contrast", "anomaly_similarity"])
def test_a_term_given_as_none_is_left_out(left_out):
    inputs = draw()
    whole, part = TotalLoss(), TotalLoss(**{left_out: None})
    terms = whole.terms(*inputs)
    assert set(part.terms(*inputs)) == set(terms) - {left_out}
    torch.testing.assert_close(part(*inputs), whole(*inputs) - whole.weights[left_out] * terms[left_out])


def test_terms_are_unweighted_and_weigh_to_the_total():
    inputs = draw()
    loss = TotalLoss(alpha=7.0, beta=11.0)
    terms = loss.terms(*inputs)
    torch.testing.assert_close(terms["contrast"], Contrast()(inputs[2], inputs[3]))
    torch.testing.assert_close(terms["ckd"], CKD()(inputs[0]))
    torch.testing.assert_close(terms["pkd"], PKD()(inputs[1]))
    torch.testing.assert_close(terms["anomaly_similarity"], AnomalySimilarity()(inputs[1]))
    torch.testing.assert_close(loss.weigh(terms), loss(*inputs))


def test_terms_are_made_by_the_classes_given():
    loss = TotalLoss(contrast=functools.partial(Contrast, margin=0.1))
    assert loss.losses["contrast"].margin == 0.1


def test_gradient():
    inputs = draw(sides=[(2, 2), (1, 2)])
    flat = [x.requires_grad_() for part in inputs for x in part]
    loss = TotalLoss(alpha=2.0, beta=3.0, contrast=functools.partial(Contrast, margin=-1.0))
    assert gradcheck(lambda *x: loss(x[0:2], x[2:4], x[4:6], x[6:8]), flat)


def test_a_batchs_loss_is_the_mean_of_its_samples():
    inputs = draw(b=3)
    alone = [TotalLoss()(*([x[n : n + 1] for x in part] for part in inputs)) for n in range(3)]
    torch.testing.assert_close(TotalLoss()(*inputs), torch.stack(alone).mean())


class Apart(torch.nn.Module):
    """A fifth loss, with a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def forward(self, precise_maps, coarse):
        return self.scale * precise_maps[0].mean() + coarse[0].mean()


def test_further_losses_are_weighed_and_given_what_they_name():
    inputs = draw()
    more = {"apart": Apart, "again": AnomalySimilarity}
    loss = TotalLoss(more=more, weights={"apart": 0.5, "ckd": 3.0}, of={"again": ["coarse_maps"]})
    terms = loss.terms(*inputs, coarse=inputs[3], features=inputs[2])
    torch.testing.assert_close(terms["apart"], 2 * inputs[1][0].mean() + inputs[3][0].mean())
    torch.testing.assert_close(terms["again"], AnomalySimilarity()(inputs[0]))
    plain = TotalLoss()(*inputs)
    expected = plain + 2 * terms["ckd"] + 0.5 * terms["apart"] + terms["again"]
    torch.testing.assert_close(loss(*inputs, coarse=inputs[3]), expected)
    assert [name for name, _ in loss.named_parameters()] == ["losses.apart.scale"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"more": {"ckd": CKD}}, "the name ckd of a loss in `more` is taken"),
        ({"more": {"mine": CKD}}, "mine takes maps; there are coarse_maps, precise_maps"),
        ({"more": {"mine": CKD}, "of": {"mine": ["maps"]}}, "mine takes maps"),
        ({"weights": {"mine": 1.0}}, "weights names mine, which is none of ckd, pkd"),
        ({"weights": {"contrast": 1.0}}, "its weight is `alpha`"),
    ],
)
def test_further_losses_that_make_no_sense(arguments, says):
    with pytest.raises(ValueError, match=f"total: .*{says}"):
        TotalLoss(**arguments)


def test_refuses_to_be_empty():
    with pytest.raises(ValueError, match="total: at least one of the losses ckd, pkd, contrast, anomaly_similarity"):
        TotalLoss(ckd=None, pkd=None, contrast=None, anomaly_similarity=None)
