"""DeSTSeg: losses of both stages, map and score against loops; which parts a stage trains; sizes as published."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.blocks import PRL
from dlkd.models import DeSTSeg
from dlkd.registry import create_model, default_registry
from dlkd.training import PRESETS

SMALL = {
    "teacher": {"backbone": "test_resnet", "weights": "random"},
    "zero_init_last": False,
    "head": {"width": 4, "rates": [1, 2]},
}


def made(**arguments: Any) -> DeSTSeg:
    torch.manual_seed(0)
    model = create_model("destseg", **(SMALL | arguments))
    assert isinstance(model, DeSTSeg)
    return model.double().eval()


def pictures(b: int = 2) -> Tensor:
    return torch.rand(b, 3, 32, 48, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 1.5 - 0.5


def dice(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def denormalised(model: DeSTSeg, images: Tensor) -> Tensor:
    channels = [images[:, c] * model.std[c] + model.mean[c] for c in range(3)]
    return torch.stack(channels, dim=1).clamp(0, 1)


def normalised(model: DeSTSeg, images: Tensor) -> Tensor:
    return torch.stack([(images[:, c] - model.mean[c]) / model.std[c] for c in range(3)], dim=1)


def units(x: Tensor) -> Tensor:
    """Vectors of norm 1, (b, h, w, c), place by place."""
    found = x.permute(0, 2, 3, 1).contiguous()
    for n, y, z in product(*map(range, found.shape[:3])):
        length = math.sqrt(sum(v * v for v in found[n, y, z].tolist()))
        found[n, y, z] = torch.tensor([v / length for v in found[n, y, z].tolist()], dtype=torch.float64)
    return found


def features(model: DeSTSeg, images: Tensor, spoiled: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Per scale the teacher's vectors of `images` and the student's of `spoiled`, as `units` gives them."""
    teacher = model.teacher(images)
    student = model.student(spoiled, [(x.shape[2], x.shape[3]) for x in teacher])
    return [(units(t), units(s)) for t, s in zip(teacher, student, strict=True)]


def literal_logits(model: DeSTSeg, images: Tensor) -> Tensor:
    """(b, 1, h, w): the head on what `products` says, of maps that are multiplied number by number."""
    assert model.head is not None
    assert model.logits is not None
    maps = []
    for teacher, student in features(model, images, images):
        flat = zip(teacher.flatten().tolist(), student.flatten().tolist(), strict=True)
        negative = torch.tensor([-t * s for t, s in flat], dtype=torch.float64).view(teacher.shape)
        maps.append(F.interpolate(negative.permute(0, 3, 1, 2), (8, 12), mode="bilinear", align_corners=False))
    last = model.logits.weight[0, :, 0, 0]
    found = model.head(torch.cat(maps, dim=1))
    assert model.logits.bias is not None
    return (found * last.view(-1, 1, 1)).sum(dim=1, keepdim=True) + model.logits.bias


@torch.no_grad()
@pytest.mark.parametrize(
    "arguments", [{}, {"batch_sum": False}, {"augmentation": {"name": "turned", "quarters": True}}]
)
def test_the_first_stage_compares_the_student_of_spoiled_images_with_the_teacher_of_clean_ones(
    arguments: dict[str, Any],
) -> None:
    model, images, generator = made(**arguments), pictures(3), dice()
    clean = denormalised(model, images)
    if model.augmentation is not None:
        clean = model.augmentation(clean, generator)
    spoiled, masks = model.pseudo_anomaly(clean, generator)
    assert masks.flatten(1).any(dim=1).sum() >= 2
    total = 0.0
    for teacher, student in features(model, normalised(model, clean), normalised(model, spoiled)):
        places = [1 - sum(t * s for t, s in zip(a, b, strict=True)) for a, b in vectors(teacher, student)]
        total += sum(places) / len(places) * (len(images) if model.batch_sum else 1)
    assert model.losses(images, dice())["total"].item() == pytest.approx(total, rel=1e-6)


def vectors(*maps: Tensor) -> list[Any]:
    return list(zip(*(x.flatten(0, 2).tolist() for x in maps), strict=True))


@torch.no_grad()
@pytest.mark.parametrize("l1", [1.0, 0.5])
def test_the_second_stage_compares_a_segmentation_with_the_masks(l1: float) -> None:
    model, images = made(l1=l1, pseudo_anomaly={"mask": {"redraws": 10, "octaves": [0, 2]}}), pictures(3)
    spoiled, masks = model.pseudo_anomaly(denormalised(model, images), dice())
    found = literal_logits(model, normalised(model, spoiled))
    focal, distance, seen = 0.0, 0.0, set()
    for n, y, x in product(range(3), range(8), range(12)):
        # The bilinear value in the middle of 4 x 4 pixels is the mean of the four around it.
        mean = sum(masks[n, 0, 4 * y + i, 4 * x + j].item() for i in (1, 2) for j in (1, 2)) / 4
        truth = float(mean >= 0.5)
        p = 1 / (1 + math.exp(-found[n, 0, y, x].item()))
        right = p if truth else 1 - p
        focal += (1 - right) ** 4 * -math.log(right) / 288
        distance += abs(p - truth) / 288
        seen.add(mean)
    assert {0.0, 0.5, 1.0} <= seen
    model.begin_step(3, 5, [])
    losses = model.losses(images, dice())
    assert losses["focal"].item() == pytest.approx(focal, rel=1e-6)
    assert losses["l1"].item() == pytest.approx(distance, rel=1e-6)
    assert losses["total"].item() == pytest.approx(focal + l1 * distance, rel=1e-6)


@torch.no_grad()
def test_map_and_score() -> None:
    model, images = made(score_top=5 / (32 * 48)), pictures()
    expected = F.interpolate(literal_logits(model, images).sigmoid(), (32, 48), mode="bilinear", align_corners=False)
    scores, maps = model.detect(images)
    torch.testing.assert_close(maps, expected[:, 0])
    highest = [sorted(image.flatten().tolist())[-5:] for image in maps]
    torch.testing.assert_close(scores.tolist(), [sum(values) / 5 for values in highest])


@torch.no_grad()
def test_without_a_head_the_map_is_the_product_of_the_scales() -> None:
    model, images = made(head=None), pictures()
    scales = []
    for teacher, student in features(model, images, images):
        places = [1 - sum(t * s for t, s in zip(a, b, strict=True)) for a, b in vectors(teacher, student)]
        map_ = torch.tensor(places, dtype=torch.float64).view(2, 1, *teacher.shape[1:3])
        scales.append(F.interpolate(map_, (8, 12), mode="bilinear", align_corners=False))
    expected = F.interpolate(scales[0] * scales[1] * scales[2], (32, 48), mode="bilinear", align_corners=False)
    torch.testing.assert_close(model(images), expected[:, 0])
    model.begin_step(4, 5, [])
    assert not model.segmenting
    assert not model.paced


def test_100_pixels_of_256_by_256_make_the_score() -> None:
    maps = torch.zeros(1, 256, 256)
    maps[0, 5, :100] = torch.linspace(1, 3, 100)
    with torch.device("meta"):
        model = create_model("destseg", teacher={"backbone": "test_resnet", "weights": "random"})
    torch.testing.assert_close(model.score(maps), torch.tensor([2.0]))


def test_sizes_and_rates_as_published() -> None:
    model = create_model("destseg", teacher={"backbone": "resnet18", "weights": "random"})
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    assert counts["student"] == 24_665_024
    assert counts["head"] + counts["logits"] == 7_706_369
    [optimizer] = model.optimizers()
    groups = {g["name"]: (g["lr"], sum(p.numel() for p in g["params"])) for g in optimizer.param_groups}
    assert groups == {"student": (0.4, 24_665_024), "residual": (0.1, 2_918_912), "head": (0.01, 4_787_457)}
    assert sum(n for _, n in groups.values()) == 32_371_393
    assert {(g["momentum"], g["weight_decay"]) for g in optimizer.param_groups} == {(0.9, 1e-4)}
    assert model.paced
    for step, second in ((0, False), (999, False), (1000, True), (4999, True)):
        model.begin_step(step, 5000, [optimizer])
        assert model.segmenting is second, step


def test_each_stage_trains_its_part_alone_and_its_loss_falls() -> None:
    model = made(first_stage=0.5, optimizer={"lr": 0.05}, lr_residual=0.05, lr_head=0.05).train()
    [optimizer] = model.optimizers()

    def stage(steps: range) -> tuple[set[str], list[float]]:
        before, losses = {n: v.clone() for n, v in model.state_dict().items()}, []
        for step in steps:
            model.train()  # as Lightning does it
            model.begin_step(step, 16, [optimizer])
            optimizer.zero_grad()
            loss = model.losses(pictures(4), dice())["total"]
            torch.autograd.backward(loss)
            optimizer.step()
            losses.append(loss.item())
        return {n.split(".")[0] for n, v in model.state_dict().items() if not torch.equal(v, before[n])}, losses

    first, second = stage(range(8)), stage(range(8, 16))
    assert first[0] == {"student"}
    assert second[0] == {"head", "logits"}
    for _, losses in (first, second):
        assert losses[-1] < 0.9 * losses[0]


def test_another_block_can_be_the_head() -> None:
    model = made(head={"name": "prl"})
    assert isinstance(model.head, PRL)
    assert model(pictures()).shape == (2, 32, 48)
    [optimizer] = model.optimizers()
    assert [(g["name"].split(",")[0], g["lr"]) for g in optimizer.param_groups] == [("student", 0.4), ("head", 0.01)]


def test_features_are_kept_only_of_images_that_stay_as_they_are() -> None:
    assert made().clean_key() == made().teacher.clean_key()
    assert made(augmentation={"name": "turned"}).clean_key() == ""


def test_the_paper_preset_is_the_authors() -> None:
    node, train = PRESETS["paper"].settle(default_registry(), "destseg")
    assert (train.batch_size, train.max_steps, train.image_size) == (32, 5000, 256)
    assert train.steps(batches=2) == 5000
    assert node["teacher"]["backbone"] == "resnet18.tv_in1k"
    assert node["pseudo_anomaly"]["probability"] == 1.0
    assert node["pseudo_anomaly"]["augmentation"] is None


def test_the_student_starts_as_timm_does() -> None:
    model = create_model("destseg", teacher=SMALL["teacher"])
    norms = [m for m in model.student.encoder.modules() if isinstance(m, nn.BatchNorm2d)]
    assert any(not m.weight.any() for m in norms)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"first_stage": 1.5}, "first_stage must lie in"),
        ({"score_top": -0.1}, "score_top must lie in"),
        ({"lr_residual": 0.0}, "lr_residual must be above 0"),
        ({"lr_head": 0.0}, "lr_head must be above 0"),
        ({"l1": -1.0}, "l1 must be at least 0"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        made(**arguments)
