"""STFPM: its distance, loss and map against loops; the student's layout, size and start."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.models import STFPM, Teacher, distance_map
from dlkd.registry import create_model, default_registry
from dlkd.training import PRESETS

SMALL = {"backbone": "test_resnet", "weights": "random"}


def made(**arguments: Any) -> STFPM:
    model = create_model("stfpm", teacher=SMALL, **arguments)
    assert isinstance(model, STFPM)
    return model.double().eval()


def pictures(b: int = 2) -> Tensor:
    return torch.randn(b, 3, 64, 96, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def literal_distances(teacher: Tensor, student: Tensor) -> Tensor:
    """Of two maps (b, c, h, w), place by place."""
    b, _, h, w = teacher.shape
    found = torch.empty(b, h, w, dtype=torch.float64)
    for n, y, x in product(range(b), range(h), range(w)):
        t, s = teacher[n, :, y, x].tolist(), student[n, :, y, x].tolist()
        t_norm, s_norm = (math.sqrt(sum(v * v for v in vector)) for vector in (t, s))
        found[n, y, x] = sum((p / t_norm - q / s_norm) ** 2 for p, q in zip(t, s, strict=True))
    return found


@torch.no_grad()
def test_distance_map_equals_loops() -> None:
    teacher, student = torch.randn(2, 2, 5, 3, 4, dtype=torch.float64).unbind()
    torch.testing.assert_close(distance_map(teacher, student), literal_distances(teacher, student))


def test_distance_map_keeps_the_digits_of_small_distances() -> None:
    teacher = torch.rand(1, 64, 4, 4) + 0.5
    student = teacher + 1e-4 * torch.randn(1, 64, 4, 4)
    exact = distance_map(teacher.double(), student.double())
    torch.testing.assert_close(distance_map(teacher, student).double(), exact, rtol=1e-2, atol=0)


def test_a_zero_vector_is_at_distance_one_and_has_a_gradient() -> None:
    zero = torch.zeros(1, 3, 2, 2, requires_grad=True)
    found = distance_map(torch.ones(1, 3, 2, 2), zero)
    torch.testing.assert_close(found, torch.ones(1, 2, 2))
    torch.autograd.backward(found.sum())
    assert zero.grad is not None
    assert zero.grad.isfinite().all()


@torch.no_grad()
@pytest.mark.parametrize(("factor", "batch_sum"), [(1.0, False), (0.5, True)])
def test_loss_equals_loops(factor: float, batch_sum: bool) -> None:
    model, images = made(factor=factor, batch_sum=batch_sum), pictures()
    total = 0.0
    for teacher, student in zip(model.teacher(images), model.student(images), strict=True):
        places = literal_distances(teacher, student).flatten(1)
        total += sum(factor * sum(image) / len(image) for image in places.tolist()) / (1 if batch_sum else len(images))
    assert model.losses(images)["total"].item() == pytest.approx(total, rel=1e-9)


@torch.no_grad()
@pytest.mark.parametrize("combine_at", ["largest", "image"])
def test_map_is_the_product_of_the_scales(combine_at: str) -> None:
    model, images = made(combine_at=combine_at), pictures()
    size = (16, 24) if combine_at == "largest" else (64, 96)
    expected = torch.ones(2, 1, *size, dtype=torch.float64)
    for teacher, student in zip(model.teacher(images), model.student(images), strict=True):
        scale = literal_distances(teacher, student)[:, None]
        expected = expected * F.interpolate(scale, size, mode="bilinear", align_corners=False)
    expected = F.interpolate(expected, (64, 96), mode="bilinear", align_corners=False)[:, 0]
    scores, maps = model.detect(images)
    torch.testing.assert_close(maps, expected)
    torch.testing.assert_close(scores, expected.amax(dim=(1, 2)))


def test_sizes_of_the_student() -> None:
    """The authors' student has the last stage too, which gets no gradient."""
    student = create_model("stfpm", teacher={"weights": "random"}).student
    assert sum(p.numel() for p in student.parameters()) == 2_782_784
    whole = timm.create_model("resnet18", pretrained=False, num_classes=0)
    assert sum(p.numel() for p in whole.parameters()) == 11_176_512
    assert [tuple(x.shape[1:]) for x in student(torch.zeros(1, 3, 256, 256))] == [
        (64, 64, 64),
        (128, 32, 32),
        (256, 16, 16),
    ]


def test_every_norm_of_the_student_starts_at_one_unless_asked() -> None:
    for zero, expected in ((False, {1.0}), (True, {0.0, 1.0})):
        model = STFPM(teacher=lambda: Teacher(backbone="resnet18", weights="random"), zero_init_last=zero)
        norms = [m for m in model.student.modules() if isinstance(m, nn.BatchNorm2d)]
        starts = {value for norm in norms for value in norm.weight.tolist()}
        assert starts == expected


def test_a_step_changes_the_student_alone_and_the_loss_falls() -> None:
    model = made().train()
    before = model.teacher.state_dict(keep_vars=False)
    before = {name: value.clone() for name, value in before.items()}
    [optimizer] = model.optimizers()
    first, *_, last = (step(model, optimizer) for _ in range(8))
    assert last < 0.8 * first
    assert all(torch.equal(value, before[name]) for name, value in model.teacher.state_dict().items())


def step(model: STFPM, optimizer: torch.optim.Optimizer) -> float:
    optimizer.zero_grad()
    loss = model.losses(pictures(4))["total"]
    torch.autograd.backward(loss)
    optimizer.step()
    return loss.item()


def test_the_paper_preset_is_the_authors() -> None:
    node, train = PRESETS["paper"].settle(default_registry(), "stfpm")
    assert (train.batch_size, train.epochs, train.image_size) == (32, 100, 256)
    assert node["optimizer"] == {
        **{"name": "sgd", "lr": 0.4, "momentum": 0.9, "weight_decay": 0.0001},
        **{"spared": "marked", "schedule": None},
    }
    assert node["teacher"]["backbone"] == "resnet18.tv_in1k"


@pytest.mark.parametrize(("arguments", "told"), [({"factor": 0.0}, "factor must be"), ({"sigma": -1.0}, "sigma must")])
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        STFPM(teacher=lambda: Teacher(**SMALL), **arguments)
