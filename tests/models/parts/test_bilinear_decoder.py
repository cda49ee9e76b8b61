"""DeSTSeg's decoder and student: stages in order, sizes as published, sides that are no multiple of the strides."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlkd.contract import ContractError
from dlkd.models import BilinearDecoder, ResidualDecoder, Teacher
from dlkd.models.parts.decoder import CoarseDecoder
from dlkd.models.parts.denoising_student import DenoisingStudent


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@torch.no_grad()
def test_a_stage_at_the_input_s_size_then_one_per_scale() -> None:
    decoder = BilinearDecoder([3, 5, 6], in_channels=7).double().eval()
    x = torch.randn(2, 7, 2, 3, dtype=torch.float64)
    third = F.interpolate(decoder.bottom(x), scale_factor=2, mode="bilinear", align_corners=False)
    third = decoder.scales[2](third)
    second = decoder.scales[1](F.interpolate(third, scale_factor=2, mode="bilinear", align_corners=False))
    first = decoder.scales[0](F.interpolate(second, scale_factor=2, mode="bilinear", align_corners=False))
    for found, expected in zip(decoder(x), (first, second, third), strict=True):
        torch.testing.assert_close(found, expected)
    assert [len(stage) for stage in (decoder.bottom, *decoder.scales)] == [2, 2, 2, 2]


@torch.no_grad()
@pytest.mark.parametrize("last_relu", [True, False])
def test_the_last_relu_of_a_scale(last_relu: bool) -> None:
    decoder = BilinearDecoder([3, 5, 6], in_channels=7, last_relu=last_relu)
    assert [bool((x < 0).any()) for x in decoder(torch.randn(2, 7, 4, 4))] == [not last_relu] * 3


def test_sizes_of_the_student_as_published() -> None:
    teacher = Teacher(backbone="resnet18", weights="random")
    student = DenoisingStudent(teacher, BilinearDecoder)
    assert parameters(student.encoder) == 11_176_512
    assert parameters(student.decoder) == 13_488_512
    assert parameters(student) == 24_665_024


@torch.no_grad()
@pytest.mark.parametrize("backbone", ["test_resnet", "tf_efficientnet_lite0"])
def test_the_student_s_maps_are_those_of_any_teacher(backbone: str) -> None:
    teacher = Teacher(backbone=backbone, weights="random")
    images = torch.randn(1, 3, 52, 37)
    features = teacher(images)
    student = DenoisingStudent(teacher, BilinearDecoder).eval()
    found = student(images, [(x.shape[2], x.shape[3]) for x in features])
    assert [x.shape for x in found] == [x.shape for x in features]


def test_the_last_norm_of_a_unit_starts_at_zero_by_default() -> None:
    teacher = Teacher(backbone="resnet18", weights="random")
    for zero, given in ((True, {}), (False, {"zero_init_last": False})):
        student = DenoisingStudent(teacher, BilinearDecoder, **given)
        norms = [n for n, m in student.encoder.named_modules() if isinstance(m, nn.BatchNorm2d) and not m.weight.any()]
        assert len(norms) == (8 if zero else 0)
        assert all(name.endswith("bn2") for name in norms)


@pytest.mark.parametrize(
    ("teacher", "decoder", "told"),
    [
        ({"backbone": "test_resnet", "stages": [2, 3, 4]}, BilinearDecoder, "test_resnet has no stage there"),
        ({"backbone": "test_resnet"}, CoarseDecoder, "set `decoder.skip: none`"),
    ],
)
def test_a_student_that_cannot_be_is_refused(teacher: dict[str, Any], decoder: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        DenoisingStudent(Teacher(weights="random", **teacher), decoder)


def test_other_decoders_fit() -> None:
    teacher = Teacher(backbone="test_resnet", weights="random")
    student = DenoisingStudent(teacher, ResidualDecoder)
    assert isinstance(student.decoder, ResidualDecoder)


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="depth must be at least 1, got 0"):
        BilinearDecoder(depth=0)
    decoder = BilinearDecoder([3, 5, 6], in_channels=7)
    with pytest.raises(ContractError, match="axis c must be == 7, got 8"):
        decoder(torch.zeros(2, 8, 4, 4))
    with pytest.raises(ContractError, match="the sides of 3 maps, got 2"):
        decoder(torch.zeros(2, 7, 4, 4), [(16, 16), (8, 8)])
