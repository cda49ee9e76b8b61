"""PatchCore: crop, map and score as they are written; its memory is kept; the authors' preset."""

from __future__ import annotations

import math
from typing import Any

import pytest
import scipy.ndimage
import torch
import torch.nn.functional as F
from torch import Tensor

from dlkd.models import PatchCore
from dlkd.models.detector import kept_state, load_kept
from dlkd.registry import create_model, default_registry
from dlkd.training import PRESETS

SMALL = {"backbone": "test_resnet", "weights": "random"}
NARROW = {"pooled": 16, "out_channels": 16}


def pictures(b: int = 2, seed: int = 0) -> Tensor:
    return torch.randn(b, 3, 64, 96, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def made(**arguments: Any) -> PatchCore:
    torch.manual_seed(0)
    model = create_model("patchcore", teacher=SMALL, patches=NARROW, **arguments)
    assert isinstance(model, PatchCore)
    model.double().eval().fit([pictures(3, seed=1), pictures(1, seed=2)])
    return model


@torch.no_grad()
def literal_distances(model: PatchCore, images: Tensor) -> Tensor:
    """(b, h', w'), squared distances of a crop's patches to the nearest of the memory, one by one."""
    vectors = model.patches(model.teacher(images)).permute(0, 2, 3, 1)
    far = [min(math.dist(v, row) ** 2 for row in model.memory.bank.tolist()) for v in vectors.flatten(0, 2).tolist()]
    return torch.tensor(far, dtype=torch.float64).view(vectors.shape[:3])


@torch.no_grad()
def test_the_map_is_that_of_the_crop_and_the_score_the_largest_distance_before_smoothing() -> None:
    model, images = made(), pictures()
    assert model.memory.bank.shape == (4 * 7 * 11 // 10, 16)  # 56 x 84 of 64 x 96 pixels, at 1/8
    patches = literal_distances(model, images[:, :, 4:60, 6:90])
    scores, maps = model.detect(images)
    torch.testing.assert_close(scores, patches.amax(dim=(1, 2)))
    assert maps is not None
    for image, patch in zip(maps, patches, strict=True):
        large = F.interpolate(patch[None, None], (56, 84), mode="bilinear", align_corners=False)[0, 0]
        expected = torch.from_numpy(scipy.ndimage.gaussian_filter(large.numpy(), 4))
        torch.testing.assert_close(image[4:60, 6:90], expected)
        outside = torch.ones(64, 96, dtype=torch.bool)
        outside[4:60, 6:90] = False
        assert (image[outside] == image[4:60, 6:90].min()).all()


@torch.no_grad()
def test_nearest_upsampling_without_crop_and_smoothing() -> None:
    model, images = made(crop=1.0, sigma=0.0, upsampling="nearest"), pictures()
    patches = literal_distances(model, images)
    torch.testing.assert_close(model(images), patches.repeat_interleave(8, 1).repeat_interleave(8, 2))


@torch.no_grad()
@pytest.mark.parametrize("distance", ["squared", "euclidean"])
def test_the_weight_of_the_score_equals_loops(distance: str) -> None:
    model, images = made(score_neighbors=5, memory={"distance": distance}), pictures()
    power = 2 if distance == "squared" else 1
    bank = model.memory.bank.tolist()
    vectors = model.features(images).permute(0, 2, 3, 1).flatten(1, 2)
    for score, image in zip(model.detect(images).scores.tolist(), vectors.tolist(), strict=True):
        far, vector = max((min(math.dist(v, row) for row in bank), v) for v in image)
        nearest = min(bank, key=lambda row: math.dist(vector, row))
        around = sorted(bank, key=lambda row: math.dist(nearest, row))[:5]
        powers = [math.exp(math.dist(vector, row) ** power) for row in around]
        assert score == pytest.approx((1 - powers[0] / sum(powers)) * far**power)


@torch.no_grad()
def test_the_memory_is_kept_and_the_teacher_is_not() -> None:
    model = made()
    state = kept_state(model)
    assert list(state) == ["memory.bank"]
    other = create_model("patchcore", teacher=SMALL, patches=NARROW).double().eval()
    assert isinstance(other, PatchCore)
    assert set(other.stages(pictures())) == {"crop", "teacher", "patch features"}
    with pytest.raises(ValueError, match="the bank is empty"):
        other(pictures())
    load_kept(other, state)
    other.teacher.load_state_dict(model.teacher.state_dict())
    assert torch.equal(other(pictures()), model(pictures()))


def test_a_small_crop_is_as_large_as_the_teacher_needs() -> None:
    assert made(crop=0.1).stages(pictures())["crop"].shape == (2, 3, 32, 32)  # type: ignore[union-attr]


def test_the_paper_preset_is_the_authors() -> None:
    node, train = PRESETS["paper"].settle(default_registry(), "patchcore")
    assert (train.batch_size, train.image_size) == (2, 256)
    assert (node["teacher"]["backbone"], node["teacher"]["stages"]) == ("wide_resnet50_2.tv_in1k", [2, 3])
    assert round(node["crop"] * 256) == 224


@pytest.mark.parametrize("arguments", [{"crop": 0.0}, {"score_neighbors": 0}, {"sigma": -1.0}])
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"patchcore: {next(iter(arguments))} must be"):
        create_model("patchcore", teacher=SMALL, **arguments)
