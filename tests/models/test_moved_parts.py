"""Parts of one system in another: what each slot computes, that the laws of a model hold, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dlkd.check import LAWS
from dlkd.check.component import Case, Component
from dlkd.models import DLKD, STFPM, ReverseDistillation, image_map
from dlkd.registry import create_model, default_registry, merge

SMALL = {"backbone": "test_resnet", "weights": "random"}
NARROW: dict[str, Any] = {
    "fusion": {"depth": 1, "bottleneck": False},
    "decoder": {"depths": [1, 2, 1], "bottleneck": False},
}
FRM = {"name": "frm", "global": "none"}
SPOILED = {"name": "pasted_texture", "probability": 1}
MEMORY = {"name": "patch_memory", "patches": {"pooled": None, "out_channels": None}}


def pictures(b: int = 2, side: int = 32, seed: int = 0) -> Tensor:
    return torch.randn(b, 3, side, side + 16, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def rd(**arguments: Any) -> ReverseDistillation:
    torch.manual_seed(0)
    model = create_model("reverse_distillation", **merge({"teacher": SMALL, **NARROW}, arguments))
    assert isinstance(model, ReverseDistillation)
    return model.double().eval()


def dlkd(**arguments: Any) -> DLKD:
    torch.manual_seed(0)
    model = create_model("dlkd", **merge({"teacher": SMALL, "decoder": {"global": "none"}}, arguments))
    assert isinstance(model, DLKD)
    return model.double().eval()


def stfpm(**arguments: Any) -> STFPM:
    torch.manual_seed(0)
    model = create_model("stfpm", teacher=SMALL, **arguments)
    assert isinstance(model, STFPM)
    return model.double().eval()


@pytest.mark.parametrize(
    ("law", "host", "overrides"),
    [
        ("losses", "reverse_distillation", {"decoder": {"block": FRM}}),
        ("losses", "reverse_distillation", {"refiner": "prl", "fusion": {"name": "mffm"}}),
        ("losses", "stfpm", {"block": FRM}),
        ("losses", "dlkd", {"decoder": {"global": "none", "local": {"name": "residual"}}}),
        ("losses", "dlkd", {"decoder": {"name": "residual", **NARROW["decoder"], "last_relu": False}}),
        ("losses", "destseg", {"head": {"name": "prl"}}),
        ("generator", "dlkd", {"pseudo_anomaly": SPOILED, "noise": {"intensity": 0.3}}),
        ("clean", "dlkd", {"pseudo_anomaly": SPOILED}),
        ("saved", "dlkd", {"standardise": {"name": "standardise", "per": "place"}, "memory": MEMORY}),
    ],
)
def test_a_model_with_a_part_of_another_keeps_its_laws(law: str, host: str, overrides: dict[str, Any]) -> None:
    registry = default_registry()
    component = Component.of(registry, f"model/{host}")
    small = {"decoder": {"global": "none"}} if host == "dlkd" else {}
    node = registry.complete("model", merge(component.node, merge(small, overrides)))
    LAWS[law].test(Case(replace(component, node=node), {"b": 2, "h": 32, "w": 32}))


@torch.no_grad()
def test_a_block_in_rds_decoder_stands_behind_the_units_of_each_scale() -> None:
    model = rd(decoder={"block": FRM})
    decoder: Any = model.decoder
    plain: Any = rd().decoder
    plain.load_state_dict({k: v for k, v in decoder.state_dict().items() if not k.startswith("blocks.")})
    x = torch.randn(2, model.fusion.out_channels, 2, 3, dtype=torch.float64)
    smallest = decoder.blocks[2](plain(x)[2])
    middle = decoder.blocks[1](plain.units[1](plain.ups[1](smallest)))
    largest = decoder.blocks[0](plain.units[0](plain.ups[0](middle)))
    for made, expected in zip(decoder(x), [largest, middle, smallest], strict=True):
        torch.testing.assert_close(made, expected)


def cosine(a: Tensor, b: Tensor) -> float:
    return sum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True)) / math.sqrt(
        sum(x * x for x in a.tolist()) * sum(y * y for y in b.tolist())
    )


@torch.no_grad()
def test_a_refiner_behind_rd_is_equation_5_place_by_place() -> None:
    model, images = rd(refiner="prl", sigma=0.0), pictures()
    features = model.teacher(images)
    made = model.reconstruct(features)
    assert model.refiners is not None
    loss, total = 0.0, torch.zeros(2, 1, 32, 48, dtype=torch.float64)
    for refiner, teacher, student in zip(model.refiners, features, made, strict=True):
        b, _, h, w = teacher.shape
        kept, m = student.clone(), torch.zeros(b, h, w, dtype=torch.float64)
        for n, y, x in [(n, y, x) for n in range(b) for y in range(h) for x in range(w)]:
            m[n, y, x] = 1 - cosine(teacher[n, :, y, x], student[n, :, y, x])
            kept[n, :, y, x] *= 1 - m[n, y, x]
        refined, moved = refiner(kept), torch.zeros(b, 1, h, w, dtype=torch.float64)
        for n, y, x in [(n, y, x) for n in range(b) for y in range(h) for x in range(w)]:
            refined[n, :, y, x] = refined[n, :, y, x] * m[n, y, x] + kept[n, :, y, x]
            moved[n, 0, y, x] = 1 - cosine(teacher[n, :, y, x], refined[n, :, y, x])
        for n in range(b):
            loss += sum(1 - cosine(teacher[n].flatten(), x[n].flatten()) for x in (student, refined)) / b
        total += F.interpolate(moved, (32, 48), mode="bilinear", align_corners=True)
    torch.testing.assert_close(model(images), total[:, 0])
    assert model.losses(images)["total"].item() == pytest.approx(loss, rel=1e-9)


def test_the_refiner_of_rd_has_a_rate_of_its_own() -> None:
    model = rd(refiner="prl", lr_refiner=0.001)
    [optimizer] = model.optimizers()
    groups = {group["name"]: group for group in optimizer.param_groups}
    assert {name: group["lr"] for name, group in groups.items()} == {"student": 0.005, "refiner": 0.001}
    assert model.refiners is not None
    assert {id(p) for p in groups["refiner"]["params"]} == {id(p) for p in model.refiners.parameters()}
    assert [group["name"] for group in rd().optimizers()[0].param_groups] == ["student"]


@torch.no_grad()
def test_a_block_in_stfpms_student_stands_before_the_comparison() -> None:
    model, images = stfpm(block={"name": "lfrb"}), pictures()
    plain = stfpm()
    plain.student.network.load_state_dict(model.student.network.state_dict())
    assert model.student.blocks is not None
    pairs = zip(model.student(images), model.student.blocks, plain.student(images), strict=True)
    for made, block, before in pairs:
        torch.testing.assert_close(made, block(before))
        assert not torch.equal(made, before)


def statistics(values: list[float]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / len(values))


@torch.no_grad()
@pytest.mark.parametrize("host", [rd, dlkd, stfpm])
@pytest.mark.parametrize("per", ["scale", "place"])
def test_maps_are_standardised_before_they_are_combined(host: Any, per: str) -> None:
    model = host(standardise={"name": "standardise", "per": per}, combine="sum", sigma=0.0, align_corners=False)
    batches, images = [pictures(3, seed=1), pictures(2, seed=2)], pictures(2, seed=3)

    def maps(x: Tensor) -> list[Tensor]:
        features = model.teacher(x)
        found: list[Tensor] = model.distances(x, features) if host is stfpm else model.scale_maps(features)
        return found

    assert model.fits
    model.fit(batches)
    normal = [torch.cat(scale) for scale in zip(*map(maps, batches), strict=True)]
    expected = torch.zeros(2, 1, *images.shape[2:], dtype=torch.float64)
    for scale, found in zip(normal, maps(images), strict=True):
        made = found.clone()
        for y, x in [(y, x) for y in range(found.shape[1]) for x in range(found.shape[2])]:
            mean, spread = statistics((scale[:, y, x] if per == "place" else scale.flatten()).tolist())
            made[:, y, x] = (found[:, y, x] - mean) / spread
        size = expected.shape[2:] if host is not stfpm else (8, 12)
        up = F.interpolate(made[:, None], size, mode="bilinear", align_corners=False)
        expected = expected[..., : size[0], : size[1]] + up
    expected = F.interpolate(expected, images.shape[2:], mode="bilinear", align_corners=False)
    torch.testing.assert_close(model(images), expected[:, 0])


@torch.no_grad()
def test_a_memorys_map_beside_dlkds_is_standardised_by_images_that_it_does_not_hold() -> None:
    memory = {**MEMORY, "memory": {"coreset": "none", "distance": "euclidean"}}
    model, plain = dlkd(memory=memory, sigma=2.0), dlkd(sigma=2.0)
    batches, images = [pictures(3, seed=1), pictures(1, seed=2), pictures(1, seed=4)], pictures(2, seed=3)
    model.fit(batches)
    part: Any = model.beside
    normal = torch.cat(batches)

    def vectors(x: Tensor) -> Tensor:
        found: Tensor = part.memory.patches(model.teacher(x)[1:])
        return found.permute(0, 2, 3, 1)

    def beside(x: Tensor, held: Tensor) -> Tensor:
        bank, own = vectors(held).flatten(0, 2), vectors(x)
        far = torch.tensor([min((bank - v).square().sum(dim=1).sqrt().tolist()) for v in own.flatten(0, 2)])
        return image_map([far.double().view(own.shape[:3])], (32, 48), sigma=2.0, align_corners=True)

    others = [beside(normal[half::2], normal[1 - half :: 2]) for half in (0, 1)]
    first = statistics(plain(normal).flatten().tolist())
    second = statistics(torch.cat(others).flatten().tolist())
    expected = (plain(images) - first[0]) / first[1] + (beside(images, normal) - second[0]) / second[1]
    torch.testing.assert_close(model(images), expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("noise_place", [None, "stem", "stage1", "every"])
def test_f_e_is_the_teachers_output_for_spoiled_images_and_noise_comes_on_top(noise_place: Any) -> None:
    noise = {"noise": "none"} if noise_place is None else {"noise_place": noise_place}
    model, images = dlkd(pseudo_anomaly=SPOILED, **noise), pictures(3).clamp(-1, 1)
    features = model.teacher(images)
    made = model.pseudo_anomalies(images, features, seeded(), model.clean(images).entry)

    draw, rgb = seeded(), torch.empty_like(images)
    for channel in range(3):
        rgb[:, channel] = images[:, channel] * model.teacher.std[channel] + model.teacher.mean[channel]
    pasted, masks = model.pseudo_anomaly(rgb, draw)  # type: ignore[misc]
    for channel in range(3):
        pasted[:, channel] = (pasted[:, channel] - model.teacher.mean[channel]) / model.teacher.std[channel]
    expected = model.teacher(pasted)
    assert masks.any()
    torch.testing.assert_close(pasted.where(masks == 0, images), images)
    if model.noise is not None:
        arguments = {"place": noise_place, "generator": draw}
        expected = model.teacher.pseudo_anomalies(pasted, expected, model.noise, **arguments)
    for one, other in zip(made, expected, strict=True):
        torch.testing.assert_close(one, other)
    terms = model.losses(images, seeded())
    torch.testing.assert_close(terms["ckd"], sum(m.mean() for m in model.reconstruct(features, made).coarse_maps))


@torch.no_grad()
def test_without_noise_and_pseudo_anomalies_f_e_is_t_e() -> None:
    model, images = dlkd(noise="none"), pictures()
    features = model.teacher(images)
    assert all(a is b for a, b in zip(model.pseudo_anomalies(images, features), features, strict=True))


def test_models_whose_slots_are_empty_fit_nothing() -> None:
    for model in (rd(), dlkd(), stfpm()):
        assert not model.fits
    assert create_model("patchcore", teacher={**SMALL, "stages": [1, 2]}).fits


@pytest.mark.parametrize(
    ("host", "arguments", "told"),
    [
        (rd, {"lr_refiner": 0.0}, "lr_refiner must be above 0"),
        (rd, {"standardise": "gfm"}, "standardise must have a `fit`, as `standardise` has; got GFM"),
        (rd, {"standardise": "standardise", "combine": "product"}, "set combine: sum or mean"),
        (stfpm, {"standardise": "standardise"}, "stfpm: standardised maps have both signs"),
        (dlkd, {"standardise": "standardise", "combine": "product"}, "dlkd: standardised maps have both signs"),
        (dlkd, {"memory": "mffm"}, "memory must have a `fit`, as `patch_memory` has; got MFFM"),
        (dlkd, {"memory": {"name": "patch_memory", "last": 4}}, "last must be from 1 to 3"),
    ],
)
def test_what_makes_no_sense_is_refused(host: Any, arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        host(**arguments)


def test_a_memory_needs_two_images() -> None:
    with pytest.raises(ValueError, match="at least two normal images"):
        dlkd(memory=MEMORY).fit([pictures(1)])
