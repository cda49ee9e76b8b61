"""DRAEM: what its networks see, its loss, map and score against a literal version; its start and its rates."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dlkd.models import DRAEM
from dlkd.registry import create_model, default_registry
from dlkd.training import PRESETS

NARROW = {"reconstruction": {"width": 2}, "segmentation": {"width": 2}}


def made(**arguments: Any) -> DRAEM:
    model = create_model("draem", **(NARROW | arguments))
    assert isinstance(model, DRAEM)
    return model.double().eval()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(b: int = 2) -> Tensor:
    return torch.rand(b, 3, 32, 48, dtype=torch.float64, generator=seeded(1))


def literal_score(image_map: Tensor, side: int) -> float:
    """Of one map (h, w): the largest mean of a window around a place, zeros beyond the border."""
    h, w = image_map.shape
    best = 0.0
    for y in range(h):
        for x in range(w):
            rows, columns = (slice(max(0, i - side // 2), i + side // 2 + 1) for i in (y, x))
            best = max(best, image_map[rows, columns].sum().item() / side**2)
    return best


@torch.no_grad()
def test_the_networks_see_blue_first_and_the_reconstruction_before_the_image() -> None:
    model, images = made(), pictures()
    bgr = images[:, [2, 1, 0]]
    rebuilt = model.reconstruction(bgr)
    logits = model.segmentation(torch.cat([rebuilt, bgr], dim=1))
    found = model.answers(images)
    torch.testing.assert_close(found[0], rebuilt[:, [2, 1, 0]])
    torch.testing.assert_close(found[1], logits)
    rgb = made(bgr=False, reconstruction_first=False)
    rgb.load_state_dict(model.state_dict())
    rebuilt = model.reconstruction(images)
    torch.testing.assert_close(rgb.answers(images)[1], model.segmentation(torch.cat([images, rebuilt], dim=1)))


@torch.no_grad()
def test_map_and_score_equal_loops() -> None:
    model, images = made(weight_std=0.3), pictures()  # so that the probabilities differ
    normal, anomalous = model.answers(images)[1].exp().unbind(1)
    maps = anomalous / (normal + anomalous)
    scores, found = model.detect(images)
    torch.testing.assert_close(found, maps)
    assert maps.std() > 0.01
    assert scores.tolist() == pytest.approx([literal_score(m, 21) for m in maps])
    assert made(score_window=1).score(maps).tolist() == pytest.approx(maps.amax(dim=(1, 2)).tolist())


def test_the_loss_is_of_the_turned_normal_image_and_of_the_mask() -> None:
    model, images = made(), pictures(8)
    draw = seeded()
    normal = model.augmentation(images, draw)
    spoiled, masks = model.pseudo_anomaly(normal, draw)
    assert (normal != images).any()
    assert masks.any()
    rebuilt, logits = model.answers(spoiled)
    p = logits.softmax(dim=1)
    one_hot = torch.cat([1 - masks, masks], dim=1).clamp(1e-5, 1 - 1e-5)
    true = (one_hot * p).sum(dim=1) + 1e-5
    expected = {
        "mask": -((1 - true) ** 2 * true.log()).mean(),
        "pixel": ((rebuilt - normal) ** 2).mean(),
        "structure": 1 - model.structure_loss.similarity(rebuilt, normal).mean(),
    }
    found = model.losses(images, seeded())
    torch.testing.assert_close(found, {**expected, "total": sum(expected.values())})
    model.mask_weight = 0.25
    torch.testing.assert_close(model.losses(images, seeded())["mask"], 0.25 * expected["mask"])


def test_losses_can_be_left_out_and_normal_images_as_they_are() -> None:
    model = made(augmentation="none", pixel_loss="none", structure_loss="none")
    assert set(model.losses(pictures(), seeded())) == {"mask", "total"}
    assert torch.equal(model.spoiled(pictures(), seeded())[0], pictures())


def test_weights_start_around_0_and_1() -> None:
    torch.manual_seed(0)
    model = made(reconstruction={"width": 8}, segmentation={"width": 8})
    convolutions = torch.cat([m.weight.flatten() for m in model.modules() if isinstance(m, nn.Conv2d)])
    norms = torch.cat([m.weight.flatten() for m in model.modules() if isinstance(m, nn.BatchNorm2d)])
    assert convolutions.mean().item() == pytest.approx(0, abs=2e-4)
    assert convolutions.std().item() == pytest.approx(0.02, rel=0.01)
    assert norms.mean().item() == pytest.approx(1, abs=0.003)
    assert norms.std().item() == pytest.approx(0.02, rel=0.1)
    plain = made(weight_std=None)
    assert all((m.weight == 1).all() for m in plain.modules() if isinstance(m, nn.BatchNorm2d))


def test_the_rate_drops_twice_and_the_loss_falls() -> None:
    model = made(optimizer={"lr": 0.003}).train()
    [optimizer] = model.optimizers()
    assert {id(p) for g in optimizer.param_groups for p in g["params"]} == {id(p) for p in model.parameters()}
    assert model.paced
    rates, losses = [], []
    for step in range(10):
        model.begin_step(step, 10, [optimizer])
        rates.append(optimizer.param_groups[0]["lr"])
        loss = model.losses(pictures(4), seeded(step % 2))["total"]
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    assert rates == pytest.approx([0.003] * 8 + [0.0006, 0.00012])
    assert sum(losses[-2:]) < 0.9 * sum(losses[:2])


def test_the_paper_preset_is_the_authors() -> None:
    node, train = PRESETS["paper"].settle(default_registry(), "draem")
    assert (train.batch_size, train.epochs, train.image_size) == (8, 700, 256)
    assert (node["reconstruction"]["width"], node["segmentation"]["width"]) == (128, 64)
    assert (node["optimizer"]["lr"], node["optimizer"]["schedule"]["by"]) == (1e-4, 0.2)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"score_window": 20}, "score_window must be an odd number of pixels, got 20"),
        ({"mask_weight": 0.0}, "mask_weight must be above 0, got 0.0"),
        ({"weight_std": 0.0}, "weight_std must be above 0, got 0.0"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        made(**arguments)
