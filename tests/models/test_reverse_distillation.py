"""RD: its units, embedding, loss and map against literal versions; sizes at the published widths."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from dlkd.blocks import OCBE, Residual
from dlkd.losses import FlatCosine
from dlkd.models import ResidualDecoder, ReverseDistillation
from dlkd.registry import create_model, default_registry
from dlkd.training import PRESETS

SMALL = {"backbone": "test_resnet", "weights": "random"}
NARROW = {"fusion": {"depth": 2, "bottleneck": False}, "decoder": {"depths": [2, 1, 1], "bottleneck": False}}


def made(**arguments: Any) -> ReverseDistillation:
    model = create_model("reverse_distillation", teacher=SMALL, **NARROW, **arguments)
    assert isinstance(model, ReverseDistillation)
    return drawn(model).double().eval()


def drawn(module: nn.Module) -> Any:
    """Statistics and weights of norms as after a training, so that no norm is the identity."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor in (part.weight, part.bias, part.running_mean, part.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
    return module


def pictures(b: int = 2) -> Tensor:
    return torch.randn(b, 3, 64, 96, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def layers(module: nn.Module) -> Iterator[tuple[Any, Any]]:
    """Each convolution with the norm after it, in the order of the module."""
    found = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d)]
    return zip(found[::2], found[1::2], strict=True)


def literal_norm(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    shape = (1, -1, 1, 1)
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    return (x - norm.running_mean.view(shape)) * scale.view(shape) + norm.bias.view(shape)


def literal_up(x: Tensor, weight: Tensor) -> Tensor:
    """Every input pixel becomes two by two output pixels."""
    b, _, h, w = x.shape
    out = torch.zeros(b, weight.shape[1], 2 * h, 2 * w, dtype=x.dtype)
    for i in range(2):
        for j in range(2):
            out[:, :, i::2, j::2] = torch.einsum("bchw,cd->bdhw", x, weight[:, :, i, j])
    return out


@torch.no_grad()
@pytest.mark.parametrize("bottleneck", [False, True])
@pytest.mark.parametrize("resize", ["none", "down", "up"])
def test_unit_is_the_sum_of_body_and_skip(bottleneck: bool, resize: Any) -> None:
    unit = drawn(Residual(8, out_channels=12, resize=resize, bottleneck=bottleneck, width=2.0)).double().eval()
    x = torch.randn(2, 8, 5, 6, dtype=torch.float64)

    def conv(y: Tensor, layer: Any, changes: bool) -> Tensor:
        if changes and resize == "up":
            return literal_up(y, layer.weight)
        stride = 2 if changes and resize == "down" else 1
        return F.conv2d(y, layer.weight, stride=stride, padding=layer.weight.shape[-1] // 2)

    *body, skip = layers(unit)
    y = x
    for place, (layer, norm) in enumerate(body):
        y = literal_norm(conv(y, layer, place == (1 if bottleneck else 0)), norm)
        y = y.clamp(min=0) if place < len(body) - 1 else y
    assert [layer.weight.shape[-1] for layer, _ in body if isinstance(layer, nn.Conv2d)] == (
        ([1, 1] if resize == "up" else [1, 3, 1]) if bottleneck else ([3] if resize == "up" else [3, 3])
    )
    if bottleneck:
        assert body[0][0].weight.shape[0] == 12 // 4 * 2
    expected = (y + literal_norm(conv(x, skip[0], True), skip[1])).clamp(min=0)
    torch.testing.assert_close(unit(x), expected)


@torch.no_grad()
def test_maps_have_both_signs_without_the_last_relu() -> None:
    with_, without = (
        drawn(ResidualDecoder([8, 12, 16], in_channels=32, depths=[3, 2, 1], bottleneck=False, last_relu=relu)).eval()
        for relu in (True, False)
    )
    without.load_state_dict(with_.state_dict())
    x = torch.randn(2, 32, 2, 2)
    assert all(out.min() >= 0 for out in with_(x))
    assert all(out.min() < 0 for out in without(x))
    # The deepest scale comes first and is alone in having the same input.
    torch.testing.assert_close(torch.relu(without(x)[-1]), with_(x)[-1])
    assert [[unit.last_relu for unit in (up, *more)] for up, more in zip(without.ups, without.units, strict=True)] == [
        [True, True, False],
        [True, False],
        [False],
    ]


@torch.no_grad()
def test_embedding_is_the_fusion_with_a_residual_stage() -> None:
    ocbe = drawn(OCBE([8, 12, 16], depth=2, bottleneck=False)).double().eval()
    a, b, c = (torch.randn(2, ch, side, side, dtype=torch.float64) for ch, side in ((8, 16), (12, 8), (16, 4)))
    (a1, na1), (a2, na2), (b1, nb1), *_ = layers(ocbe)

    def halved(x: Tensor, layer: Any, norm: Any) -> Tensor:
        return literal_norm(F.conv2d(x, layer.weight, stride=2, padding=1), norm).clamp(min=0)

    fused = torch.cat([halved(halved(a, a1, na1), a2, na2), halved(b, b1, nb1), c], dim=1)
    first, second = ocbe.fuse
    assert (a1.weight.shape[:2], a2.weight.shape[:2], b1.weight.shape[:2]) == ((12, 8), (16, 12), (16, 12))
    assert (first.channels, second.channels, ocbe.out_channels) == (48, 32, 32)
    torch.testing.assert_close(ocbe([a, b, c]), second(first(fused)))


def literal_cosine(a: list[float], b: list[float]) -> float:
    norms = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / norms


@torch.no_grad()
def test_loss_is_a_cosine_per_image_and_scale() -> None:
    model, images = made(), pictures()
    features = model.teacher(images)
    total = 0.0
    for teacher, student in zip(features, model.reconstruct(features), strict=True):
        pairs = zip(teacher.flatten(1).tolist(), student.flatten(1).tolist(), strict=True)
        total += sum(1 - literal_cosine(t, s) for t, s in pairs) / len(images)
    assert model.losses(images)["total"].item() == pytest.approx(total, rel=1e-9)


def test_loss_refuses_maps_of_other_shapes() -> None:
    with pytest.raises(ValueError, match="flat_cosine: the features of teacher and student"):
        FlatCosine()([torch.ones(1, 2, 4, 4)], [torch.ones(1, 2, 2, 2)])


@torch.no_grad()
def test_map_is_the_smoothed_sum_of_the_scales() -> None:
    model, images = made(), pictures()
    features = model.teacher(images)
    total = torch.zeros(2, 64, 96, dtype=torch.float64)
    for teacher, student in zip(features, model.reconstruct(features), strict=True):
        pairs = zip(*(m.permute(0, 2, 3, 1).flatten(0, 2).tolist() for m in (teacher, student)), strict=True)
        places = [literal_cosine(t, s) for t, s in pairs]
        scale = 1 - torch.tensor(places, dtype=torch.float64).view(2, 1, *teacher.shape[2:])
        total += F.interpolate(scale, (64, 96), mode="bilinear", align_corners=True)[:, 0]
    expected = torch.stack([torch.from_numpy(gaussian_filter(one.numpy(), 4)) for one in total])
    scores, maps = model.detect(images)
    torch.testing.assert_close(maps, expected)
    torch.testing.assert_close(scores, expected.amax(dim=(1, 2)))


@torch.no_grad()
def test_sizes_at_the_published_widths() -> None:
    """The authors' embedding holds 8,392,704 parameters more, of a convolution and a norm that they never call."""
    with torch.device("meta"):
        wide, anomalib = OCBE(), OCBE(width=1.0)
        decoder = ResidualDecoder()
        small = OCBE([64, 128, 256], depth=2, bottleneck=False)
        small_decoder = ResidualDecoder([64, 128, 256], in_channels=512, depths=[2, 2, 2], bottleneck=False)
        shapes = [tuple(x.shape) for x in decoder(torch.zeros(1, 2048, 8, 8))]
    count = lambda *modules: sum(p.numel() for m in modules for p in m.parameters())  # noqa: E731
    assert count(wide, decoder) == 83_802_624
    assert count(anomalib, decoder) == 64_139_776 - 8_392_704
    assert count(small, small_decoder) == 15_908_480 - 525_312
    assert shapes == [(1, 256, 64, 64), (1, 512, 32, 32), (1, 1024, 16, 16)]


def test_the_paper_preset_is_the_authors() -> None:
    node, train = PRESETS["paper"].settle(default_registry(), "reverse_distillation")
    assert (train.batch_size, train.epochs, train.image_size) == (16, 200, 256)
    assert (node["optimizer"]["lr"], list(node["optimizer"]["betas"])) == (0.005, [0.5, 0.999])
    assert node["teacher"]["backbone"] == "wide_resnet50_2.tv_in1k"


def test_sides_that_are_no_multiple_of_the_strides_and_bad_settings() -> None:
    model = made().float()
    assert model(torch.randn(1, 3, 70, 50)).shape == (1, 70, 50)
    for arguments, told in (
        ({"depths": [2, 2]}, "a number above 0 per scale"),
        ({"depths": [1, 1, 1], "reductions": [2, 8, 16]}, "twofold apart"),
    ):
        with pytest.raises(ValueError, match=told):
            ResidualDecoder([8, 16, 32], in_channels=64, **arguments)
    with pytest.raises(ValueError, match="depth must be at least 1"):
        OCBE([8, 16, 32], depth=0)
