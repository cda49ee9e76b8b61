"""DLKD: what it computes, at which sides, how it trains, and what its switches do."""

import functools

import pytest
import torch
from torch import nn

from dlkd.blocks import GFRB, LFRB, PRL, refine
from dlkd.contract import ContractError
from dlkd.losses import AnomalySimilarity, Contrast, TotalLoss
from dlkd.models import DLKD, CoarseDecoder, GaussianNoise, Teacher, cosine_map, image_map
from dlkd.registry import create_model, register

SMALL = functools.partial(CoarseDecoder, global_=functools.partial(GFRB, d_state=2, expand=1))


NEVER_ZERO = functools.partial(Contrast, margin=-1.0)
"""A contrast whose hinge is open at every cosine, so that what enters it shows."""


def model(**arguments):
    torch.manual_seed(0)
    teacher = functools.partial(Teacher, backbone="test_resnet", weights="random")
    return DLKD(**{"teacher": teacher, "decoder": SMALL, **arguments})


def images(b=2, h=64, w=64, seed=1):
    return torch.randn(b, 3, h, w, generator=torch.Generator().manual_seed(seed))


def seeded(seed=5):
    return torch.Generator().manual_seed(seed)


class Forbidden(GaussianNoise):
    """Noise that must not be asked for."""

    def forward(self, x, *, generator=None):
        raise AssertionError("noise at inference")


def test_inference_takes_no_noise_and_repeats_itself():
    m = model(noise=Forbidden).eval()
    state = torch.get_rng_state()
    with torch.no_grad():
        first, second = m(images()), m(images())
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.shape == (2, 64, 64)


@pytest.mark.parametrize("map_use", ["flow", "clamp", "detach"])
def test_inference_is_the_papers_pipeline(map_use):
    """T_E -> MFFM -> F_CS -> M_C -> eq. 5 -> maps between T_E and F_PS, summed at image size and smoothed."""
    m = model(map_use=map_use, sigma=2.0, align_corners=False).eval()
    with torch.no_grad():
        features = m.teacher(images())
        coarse = m.decoder(m.fusion(features), features=features)
        maps = []
        for t, f, precise in zip(features, coarse, m.refiners, strict=True):
            maps.append(cosine_map(t, refine(precise, f, cosine_map(t, f), use=map_use)))
        expected = image_map(maps, (64, 64), sigma=2.0, align_corners=False)
        torch.testing.assert_close(m(images()), expected)


@pytest.mark.parametrize("side", [(130, 97), (64, 96), (33, 47), (32, 32), (71, 128)])
def test_image_sides_that_the_stride_does_not_divide(side):
    m = model().eval()
    x = images(1, *side)
    with torch.no_grad():
        assert m(x).shape == (1, *side)
        features = m.teacher(x)
        made = m.reconstruct(features, m.pseudo_anomalies(x, features))
    shapes = [t.shape for t in features]
    assert [f.shape for f in made.coarse] == [f.shape for f in made.precise] == shapes
    assert [f.shape[1:] for f in made.coarse_maps] == [s[2:] for s in shapes]
    assert [f.shape[1:] for f in made.precise_maps] == [s[2:] for s in shapes]


@pytest.mark.parametrize("side", [(64, 64), (130, 97)])
def test_a_batch_of_one_trains(side):
    m = model().train()
    loss = m.losses(images(1, *side))["total"]
    loss.backward()
    assert loss.isfinite()
    trained = [*m.student_parameters(), *m.refiner_parameters()]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in trained)


def test_an_image_does_not_see_its_batch():
    m = model().eval()
    x = images(3)
    with torch.no_grad():
        torch.testing.assert_close(m(x)[1:2], m(x[1:2]))


@pytest.mark.parametrize("noise_place", ["stem", "stage1", "every"])
def test_losses_are_equation_6_of_the_reconstruction_from_noise(noise_place):
    m = model(
        noise_place=noise_place, loss=functools.partial(TotalLoss, alpha=0.3, beta=0.7, contrast=NEVER_ZERO)
    ).eval()
    with torch.no_grad():
        terms = m.losses(images(), seeded())
        features = m.teacher(images())
        noisy = m.teacher.pseudo_anomalies(images(), features, m.noise, place=noise_place, generator=seeded())
        coarse = m.decoder(m.fusion(noisy), features=noisy)
        coarse_maps = [cosine_map(t, f) for t, f in zip(features, coarse, strict=True)]
        precise = [refine(p, f, a) for p, f, a in zip(m.refiners, coarse, coarse_maps, strict=True)]
        maps = [cosine_map(t, f) for t, f in zip(features, precise, strict=True)]
        expected = {
            "ckd": sum(a.mean() for a in coarse_maps),
            "pkd": sum(a.mean() for a in maps),
            "contrast": NEVER_ZERO()(noisy, precise),
            "anomaly_similarity": AnomalySimilarity()(maps),
        }
    total = expected["ckd"] + expected["pkd"] + 0.3 * expected["contrast"] + 0.7 * expected["anomaly_similarity"]
    assert set(terms) == {*expected, "total"}
    for name, value in {**expected, "total": total}.items():
        torch.testing.assert_close(terms[name], value, msg=name)


def test_the_same_generator_gives_the_same_losses_and_another_one_others():
    def run(seed):
        m = model().train()
        return {k: v.item() for k, v in m.losses(images(), seeded(seed)).items()}

    assert run(5) == run(5)
    assert run(5) != run(6)


def test_parameter_groups_are_disjoint_and_complete():
    m = model()
    student, refiner = ({id(p) for p in g} for g in (m.student_parameters(), m.refiner_parameters()))
    teacher = {id(p) for p in m.teacher.parameters()}
    assert student
    assert refiner
    assert not student & refiner
    assert student | refiner == {id(p) for p in m.parameters()} - teacher
    assert len(m.student_parameters()) + len(m.refiner_parameters()) == len(student | refiner)
    assert refiner == {id(p) for p in m.refiners.parameters()}


def test_training_brings_the_reconstruction_nearer_and_leaves_the_teacher_alone():
    m = model().train()
    before = {k: v.clone() for k, v in m.teacher.state_dict().items()}
    optimizer = torch.optim.Adam([*m.student_parameters(), *m.refiner_parameters()], lr=0.005)
    history = []
    for step in range(12):
        loss = m.losses(images(), seeded(step))["total"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < 0.7 * history[0]
    assert all(torch.equal(v, before[k]) for k, v in m.teacher.state_dict().items())


def test_one_refiner_a_scale_each_of_its_own_width():
    m = model()
    assert [type(r) for r in m.refiners] == [PRL] * 3
    assert tuple(r.channels for r in m.refiners) == m.teacher.channels


# What the paper leaves open.


@pytest.mark.parametrize("combine", ["sum", "mean", "product"])
@pytest.mark.parametrize("map_of", ["precise", "coarse", "both"])
def test_the_anomaly_map_is_made_of_the_maps_that_are_asked_for(map_of, combine):
    m = model(map_of=map_of, combine=combine).eval()
    with torch.no_grad():
        features = m.teacher(images())
        made = m.reconstruct(features, features)
        maps = {"precise": made.precise_maps, "coarse": made.coarse_maps, "both": made.coarse_maps + made.precise_maps}
        torch.testing.assert_close(m(images()), image_map(maps[map_of], (64, 64), combine=combine))


@pytest.mark.parametrize("map_of", ["coarse", "both"])
def test_without_a_refiner_there_is_one_set_of_maps(map_of):
    with torch.no_grad():
        assert torch.equal(model(refiner=None, map_of=map_of).eval()(images()), model(refiner=None).eval()(images()))


@pytest.mark.parametrize(("coarse_use", "map_use", "reached"), [
    ("flow", "detach", True), ("detach", "flow", True), ("detach", "detach", False),
])  # fmt: skip
def test_the_losses_on_precise_features_reach_the_decoder_as_told(coarse_use, map_use, reached):
    m = model(coarse_use=coarse_use, map_use=map_use).train()
    m.losses(images(), seeded())["pkd"].backward()
    assert any(p.grad is not None for p in m.student_parameters()) == reached
    assert all(p.grad is not None for p in m.refiner_parameters())


@pytest.mark.parametrize("skip", ["add", "concat"])
@pytest.mark.parametrize("side", [(64, 64), (45, 70)])
def test_the_decoders_skip_takes_what_the_fusion_takes(skip, side):
    m = model(decoder=functools.partial(SMALL, skip=skip)).eval()
    x = images(2, *side)
    with torch.no_grad():
        features = m.teacher(x)
        noisy = m.pseudo_anomalies(x, features, seeded())
        sizes = [(t.shape[2], t.shape[3]) for t in features]
        expected = m.decoder(m.fusion(noisy), sizes, noisy)
        for found, wanted in zip(m.reconstruct(features, noisy).coarse, expected, strict=True):
            assert torch.equal(found, wanted)
    loss = m.train().losses(x, seeded())["total"]
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in m.student_parameters())


def test_a_decoder_that_knows_no_features_is_called_without_them():
    class Two(CoarseDecoder):
        def forward(self, x, sizes=None):
            return super().forward(x, sizes)

    assert model(decoder=functools.partial(Two, global_=None, skip="none")).eval()(images()).shape == (2, 64, 64)


# Table 4: without the refiner.


def test_without_a_refiner_the_precise_features_are_the_coarse_ones():
    m = model(refiner=None, loss=functools.partial(TotalLoss, contrast=NEVER_ZERO)).eval()
    with torch.no_grad():
        features = m.teacher(images())
        made = m.reconstruct(features, features)
        torch.testing.assert_close(m(images()), image_map(made.coarse_maps, (64, 64)))
        terms = m.losses(images(), seeded())
        noisy = m.pseudo_anomalies(images(), features, seeded())
        coarse = m.reconstruct(features, noisy).coarse
        torch.testing.assert_close(terms["contrast"], NEVER_ZERO()(noisy, coarse))
    assert made.precise is made.coarse
    assert made.precise_maps is made.coarse_maps
    assert torch.equal(terms["ckd"], terms["pkd"])
    assert m.refiner_parameters() == []
    assert {id(p) for p in m.student_parameters()} == {
        id(p) for p in m.parameters() if p.requires_grad
    }  # complete without it too


@pytest.mark.parametrize(("refiner", "kept"), [(None, False), (PRL, True)])
def test_contrast_can_be_dropped_where_there_is_no_refiner(refiner, kept):
    m = model(refiner=refiner, contrast_without_refiner=False).eval()
    assert ("contrast" in m.losses(images())) == kept
    assert "contrast" in model(refiner=None).losses(images())


def test_local_decoder_without_scans():
    m = model(decoder=functools.partial(CoarseDecoder, global_=None), refiner=None)
    kinds = {type(x) for x in m.modules()}
    assert GFRB not in kinds
    assert LFRB in kinds


# Other teachers.


@pytest.mark.parametrize(
    ("backbone", "stages", "side"),
    [("test_vit", (1, 3, 5), (64, 96)), ("test_vit", (1, 3), (70, 50)), ("test_convnext", None, (70, 91)),
     ("test_resnet", (1, 3), (64, 64)), ("test_resnet", (1, 2), (65, 40))],
)  # fmt: skip
def test_other_pyramids_train_and_infer(backbone, stages, side):
    """Equal sides (ViT), sides rounded down (ConvNeXt), skipped and fewer scales."""
    m = model(teacher=functools.partial(Teacher, backbone=backbone, weights="random", stages=stages))
    assert m.losses(images(2, *side))["total"].isfinite()
    with torch.no_grad():
        assert m.eval()(images(1, *side)).shape == (1, *side)


# Scores and refusals.


def test_image_score_is_the_maximum_or_the_mean_of_the_top():
    maps = torch.arange(20.0).reshape(2, 2, 5)
    assert model().score(maps).tolist() == [9, 19]
    assert model(score_top=0.2).score(maps).tolist() == [8.5, 18.5]


def test_state_dict_carries_everything():
    first, second = model().train(), model().eval()
    first.losses(images())["total"].backward()  # moves running statistics
    nn.init.normal_(first.refiners[0].blocks[0].embed.layers[0].weight)
    second.load_state_dict(first.state_dict())
    with torch.no_grad():
        assert torch.equal(first.eval()(images()), second(images()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"score_top": 1.5}, r"dlkd: score_top must lie in \[0, 1\], got 1\.5"),
        ({"sigma": -1.0}, r"dlkd: sigma must be at least 0 pixels, got -1\.0"),
        (
            {"refiner": None, "contrast_without_refiner": False,
             "loss": functools.partial(TotalLoss, ckd=None, pkd=None, anomaly_similarity=None)},
            "dlkd: .*leaves no loss",
        ),
    ],
)  # fmt: skip
def test_refuses_impossible_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        model(**arguments)


@pytest.mark.parametrize(("shape", "axis"), [((1, 3, 31, 64), "h"), ((1, 3, 64, 30), "w")])
def test_refuses_images_that_are_too_small(shape, axis):
    with pytest.raises(ContractError, match=f"dlkd: axis {axis} must be >= 32"):
        model().eval()(torch.zeros(shape))


class Scaled(nn.Module):
    """A loss with a parameter, on T_E and F_CS."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, features, coarse):
        return self.scale * sum((t - s).square().mean() for t, s in zip(features, coarse, strict=True))


def test_a_fifth_loss_is_written_in_yaml_and_its_parameter_is_trained(components):
    register("loss", "scaled")(Scaled)
    loss = {"more": {"mine": {"name": "scaled"}}, "weights": {"mine": 0.3}}
    teacher = {"backbone": "test_resnet", "weights": "random"}
    m = create_model("dlkd-lfrb", teacher=teacher, loss=loss).train()
    terms = m.losses(images(), seeded())
    plain = sum(terms[k] for k in ("ckd", "pkd")) + 0.02 * terms["contrast"] + 0.05 * terms["anomaly_similarity"]
    torch.testing.assert_close(terms["total"], plain + 0.3 * terms["mine"])
    terms["total"].backward()
    [optimizer] = m.optimizers()
    optimizer.step()
    assert m.loss.losses["mine"].scale != 1.0
