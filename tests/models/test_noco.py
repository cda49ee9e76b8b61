"""NoCo: features, loss, map and score against loops; its projector; the centre is drawn once and kept."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
import scipy.ndimage
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.blocks import Centre, PatchPooling, Projector
from dlkd.contract import ContractError
from dlkd.losses import Sphere
from dlkd.models import NoCo
from dlkd.models.detector import kept_state, load_kept
from dlkd.registry import create_model, default_registry
from dlkd.training import PRESETS

SMALL = {"backbone": "test_resnet", "weights": "random"}


def made(**arguments: Any) -> NoCo:
    model = create_model("noco", **({"teacher": SMALL} | arguments))
    assert isinstance(model, NoCo)
    return model.double().eval()


def drawn(model: NoCo) -> NoCo:
    """Norms as after a training: those that timm starts at zero leave nothing negative in stage 1."""
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
    return model


def pictures(b: int = 2) -> Tensor:
    return torch.randn(b, 3, 64, 48, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def literal_features(model: NoCo, images: Tensor) -> list[Tensor]:
    """Each stage's sum before its last ReLU, made leaky, from a network of timm whose stages are as they were."""
    network: Any = timm.create_model("test_resnet", features_only=True, out_indices=model.teacher.stages)
    network.load_state_dict(model.teacher.network.state_dict())
    network.double().eval()
    sums: list[Tensor] = []
    for k in model.teacher.stages:
        unit = getattr(network, f"layer{k}")[-1]
        last = unit.act3 if hasattr(unit, "act3") else unit.act2
        last.register_forward_pre_hook(lambda _, args: sums.append(args[0].clone()))
    network(images)
    return [torch.where(x > 0, x, 0.01 * x) for x in sums]


def literal_pooled(x: Tensor) -> Tensor:
    """A map (b, c, h, w): each place's 3 x 3 mean, zeros beyond the border counted."""
    found = torch.zeros_like(x)
    h, w = x.shape[2:]
    for y, z in product(range(h), range(w)):
        for dy, dz in product((-1, 0, 1), repeat=2):
            if 0 <= y + dy < h and 0 <= z + dz < w:
                found[:, :, y, z] += x[:, :, y + dy, z + dz] / 9
    return found


def literal_distances(model: NoCo, images: Tensor) -> Tensor:
    """(b, h', w'), place by place."""
    pooled = [literal_pooled(x) for x in literal_features(model, images)]
    b, _, h, w = pooled[0].shape
    whole = torch.cat([F.interpolate(x, (h, w), mode="bilinear", align_corners=False) for x in pooled], dim=1)
    weight, bias = model.projector.linear.weight[:, :, 0, 0], model.projector.linear.bias
    centre = model.centre.get_buffer("centre").tolist()
    found = torch.empty(b, h, w, dtype=torch.float64)
    for n, y, z in product(range(b), range(h), range(w)):
        found[n, y, z] = math.dist((weight @ whole[n, :, y, z] + bias).tolist(), centre)
    return found


@torch.no_grad()
def test_loss_map_and_score_equal_loops() -> None:
    model, images = drawn(made(crop=0.75)), pictures()
    distances = literal_distances(model, images[:, :, 8:56, 6:42])
    squared = distances.median().item()
    model.loss.radius.fill_(math.sqrt(squared))
    outside = [max(0.0, d - squared) for d in distances.flatten().tolist()]
    assert min(outside) == 0 < max(outside)
    assert model.losses(images)["total"].item() == pytest.approx(1000 * sum(outside) / len(outside))

    scores, maps = model.detect(images)
    assert maps is not None
    for score, image, far in zip(scores, maps, distances, strict=True):
        large = F.interpolate(far[None, None], (48, 36), mode="bilinear", align_corners=False)[0, 0]
        expected = torch.from_numpy(scipy.ndimage.gaussian_filter(large.numpy(), 4))
        torch.testing.assert_close(image[8:56, 6:42], expected)
        torch.testing.assert_close(score, expected.max())
        outside_of_it = torch.ones(64, 48, dtype=torch.bool)
        outside_of_it[8:56, 6:42] = False
        assert (image[outside_of_it] == image[8:56, 6:42].min()).all()


@torch.no_grad()
def test_the_projector_is_one_convolution_of_the_pooled_maps_at_the_largest_size() -> None:
    channels = [4, 6, 8]
    features = [torch.randn(2, c, s, s + 1, dtype=torch.float64) for c, s in zip(channels, (12, 6, 3), strict=True)]
    projector = Projector(channels, out_channels=5).double()
    pooled = PatchPooling(channels, pooled=None, out_channels=None).double()(features)
    torch.testing.assert_close(projector(features), projector.linear(pooled))


def test_the_radius_grows_where_something_lies_outside() -> None:
    loss = Sphere(weight=10.0, radius=0.5)
    found = loss([torch.tensor([[[0.1, 0.75]]]), torch.tensor([[[0.35]]])])
    assert found.item() == pytest.approx(10 * ((0.75 - 0.25) / 2 + 0.1))
    torch.autograd.backward(found)
    assert loss.radius.grad is not None
    assert loss.radius.grad.item() == pytest.approx(-10 * 2 * 0.5 * (0.5 + 1))
    with pytest.raises(ContractError, match="at least one map"):
        loss([])


def test_the_centre_is_a_draw_of_the_seed_with_the_margin_as_its_norm_and_is_kept() -> None:
    def drawn(seed: int) -> NoCo:
        torch.manual_seed(seed)
        return made(centre={"margin": 3.0})

    first, again, other = drawn(1), drawn(1), drawn(2)
    centres = [m.centre.get_buffer("centre") for m in (first, again, other)]
    assert torch.equal(centres[0], centres[1])
    assert centres[0].norm().item() == pytest.approx(3)
    assert not torch.allclose(centres[0], centres[2])
    assert set(kept_state(first)) == {
        "projector.linear.weight",
        "projector.linear.bias",
        "centre.centre",
        "loss.radius",
    }
    load_kept(other, kept_state(first))
    assert torch.equal(other.centre.get_buffer("centre"), centres[0])


def test_the_size_at_the_published_width() -> None:
    with torch.device("meta"):
        parts = [Projector([256, 512, 1024]), Centre(1792), Sphere()]
    assert [sum(p.numel() for p in part.parameters()) for part in parts] == [1792 * 1793, 0, 1]
    assert 1792 * 1793 + 1 == 3_213_057


def test_a_step_changes_projector_and_radius_alone_and_the_loss_falls() -> None:
    model = made().train()
    before = {n: v.clone() for n, v in model.state_dict().items()}
    [optimizer] = model.optimizers()
    [group] = optimizer.param_groups
    assert isinstance(optimizer, torch.optim.AdamW)
    assert (group["lr"], group["weight_decay"], group["amsgrad"]) == (1e-4, 5e-4, True)

    def step() -> float:
        loss = model.losses(pictures(4))["total"]
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        return loss.item()

    first, *_, last = (step() for _ in range(20))
    assert last < 0.9 * first
    changed = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert changed == {"projector.linear.weight", "projector.linear.bias", "loss.radius"}


def test_the_kept_clean_pass_is_of_the_crop() -> None:
    model = made(crop=0.75)
    expected = model.teacher(pictures()[:, :, 8:56, 6:42])
    assert all(torch.equal(a, b) for a, b in zip(model.clean(pictures()), expected, strict=True))
    keys = {m.clean_key() for m in (model, made(crop=1.0), made(crop=0.75, teacher={**SMALL, "last_slope": 0.0}))}
    assert len(keys) == 3


def test_the_paper_preset_is_the_authors() -> None:
    node, train = PRESETS["paper"].settle(default_registry(), "noco")
    assert (train.batch_size, train.epochs, train.image_size) == (16, 50, 256)
    assert (node["teacher"]["backbone"], node["teacher"]["last_slope"]) == ("wide_resnet50_2.tv_in1k", 0.01)
    assert round(node["crop"] * 256) == 224
    assert (node["centre"]["margin"], node["loss"]["weight"], node["loss"]["radius"]) == (1.0, 1000.0, 1e-5)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"crop": 0.0}, "noco: crop must be"),
        ({"sigma": -1.0}, "noco: sigma must be"),
        ({"centre": {"margin": -1.0}}, "centre: margin must be at least 0"),
        ({"loss": {"radius": 0.0}}, "sphere: radius must be above 0"),
        ({"loss": {"weight": 0.0}}, "sphere: weight must be above 0"),
        ({"projector": {"size": 2}}, "projector: size must be odd"),
        ({"projector": {"out_channels": 0}}, "projector: out_channels must be at least 1"),
        ({"teacher": {"backbone": "tf_efficientnet_lite0", "weights": "random"}}, "set `last_slope: 0`"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        made(**arguments)


def test_maps_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ContractError, match="expected 2 maps, got 1"):
        Projector([4, 6])([torch.zeros(1, 4, 8, 8)])
    with pytest.raises(ContractError, match="centre: axis c must be == 4, got 6"):
        Centre(4)(torch.zeros(1, 6, 8, 8))
