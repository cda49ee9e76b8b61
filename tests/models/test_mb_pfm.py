"""MB-PFM: its mapping, loss and map against loops; sizes at the published widths; three optimisers."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.blocks import FeatureMapping
from dlkd.contract import ContractError
from dlkd.models import MBPFM
from dlkd.registry import create_model, default_registry
from dlkd.training import PRESETS

SMALL = {
    "teacher": {"backbone": "test_resnet", "weights": "random"},
    "second_teacher": {"backbone": "test_convnext", "weights": "random", "stages": [0, 1, 2]},
    "latents": [3, 4, 5],
}


def made(**arguments: Any) -> MBPFM:
    model = create_model("mb_pfm", **(SMALL | arguments))
    assert isinstance(model, MBPFM)
    return drawn(model).double().eval()


def drawn(module: nn.Module) -> Any:
    """Statistics and weights of norms as after a training, so that no norm is the identity."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor in (part.weight, part.bias, part.running_mean, part.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
    return module


def pictures(b: int = 2) -> Tensor:
    return torch.randn(b, 3, 32, 48, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def literal_layer(x: list[float], layer: nn.Conv2d) -> list[float]:
    assert layer.bias is not None
    rows = layer.weight[:, :, 0, 0].tolist()
    return [
        sum(w * v for w, v in zip(row, x, strict=True)) + b for row, b in zip(rows, layer.bias.tolist(), strict=True)
    ]


def literal_norm_relu(x: list[float], norm: Any) -> list[float]:
    columns = (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    numbers = zip(x, *(c.tolist() for c in columns), strict=True)
    return [max(0.0, (v - mean) / math.sqrt(var + norm.eps) * w + b) for v, mean, var, w, b in numbers]


def literal_mapping(mapping: Any, x: list[float], *, source: int) -> list[float]:
    """The other network's vector at one place, from that of network `source`."""
    conv1, norm1, _, conv2, norm2, _ = mapping.encoders[source]
    for conv, norm in ((conv1, norm1), (conv2, norm2)):
        x = literal_norm_relu(literal_layer(x, conv), norm)
    x = literal_layer(x, mapping.shared)
    conv1, norm1, _, conv2, norm2, _, last = mapping.decoders[1 - source]
    for conv, norm in ((conv1, norm1), (conv2, norm2)):
        x = literal_norm_relu(literal_layer(x, conv), norm)
    return literal_layer(x, last)


def literal_errors(model: MBPFM, images: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Per scale the squared errors of both networks' vectors, (b, h, w, c) each, place by place."""
    found = []
    networks = (model.teacher(images), model.second_teacher(images))
    for mapping, first, second in zip(model.mappings, *networks, strict=True):
        errors = tuple(torch.empty_like(x.permute(0, 2, 3, 1)) for x in (first, second))
        for n, y, z in product(*map(range, errors[0].shape[:3])):
            vectors = [x[n, :, y, z].tolist() for x in (first, second)]
            vectors = [[v / math.sqrt(sum(u * u for u in x)) for v in x] for x in vectors]
            for target in range(2):
                guess = literal_mapping(mapping, vectors[1 - target], source=1 - target)
                squares = [(t - g) ** 2 for t, g in zip(vectors[target], guess, strict=True)]
                errors[target][n, y, z] = torch.tensor(squares, dtype=torch.float64)
        found.append(errors)
    return found


@torch.no_grad()
def test_loss_map_and_score_equal_loops() -> None:
    model, images = made(), pictures()
    errors = literal_errors(model, images)
    assert [e.shape[-1] for pair in errors for e in pair] == [
        c for pair in zip(model.teacher.channels, model.second_teacher.channels, strict=True) for c in pair
    ]
    total = sum(e.mean() for pair in errors for e in pair)
    torch.testing.assert_close(model.losses(images)["total"], total)

    scales = [(first.sum(dim=-1) + second.sum(dim=-1)) / 2 for first, second in errors]
    ups = [F.interpolate(x[:, None], (32, 48), mode="bilinear", align_corners=False)[:, 0] for x in scales]
    expected = (ups[0] + ups[1] + ups[2]) / 3
    scores, maps = model.detect(images)
    torch.testing.assert_close(maps, expected)
    torch.testing.assert_close(scores, expected.amax(dim=(1, 2)))


def test_the_middle_layer_is_one_for_both_directions() -> None:
    mapping = FeatureMapping([4, 6], latent=5).double()
    maps = [torch.randn(2, c, 3, 3, dtype=torch.float64) for c in (4, 6)]
    gradients = []
    for way in range(2):
        mapping.zero_grad()
        torch.autograd.backward(mapping(maps)[way].square().sum())
        reached = {n.split(".")[0] + "." + n.split(".")[1] for n, p in mapping.named_parameters() if p.grad is not None}
        assert reached == {f"encoders.{1 - way}", f"decoders.{way}", "shared.weight", "shared.bias"}
        assert mapping.shared.weight.grad is not None
        gradients.append(mapping.shared.weight.grad.clone())
    mapping.zero_grad()
    torch.autograd.backward(sum(x.square().sum() for x in mapping(maps)))
    torch.testing.assert_close(mapping.shared.weight.grad, gradients[0] + gradients[1])


def test_sizes_at_the_published_widths() -> None:
    arguments = default_registry().resolve("mb_pfm")
    pairs = zip((64, 128, 256), (256, 512, 1024), arguments["latents"], strict=True)
    with torch.device("meta"):
        mappings = [FeatureMapping([c, d], latent=latent) for c, d, latent in pairs]
    assert [sum(p.numel() for p in m.parameters()) for m in mappings] == [894_312, 3_559_888, 17_100_532]
    for module, widths in (
        (mappings[0].encoders[1], [(256, 328), (328, 400)]),
        (mappings[0].decoders[0], [(200, 400), (400, 232), (232, 64)]),
    ):
        assert [(c.in_channels, c.out_channels) for c in module.modules() if isinstance(c, nn.Conv2d)] == widths


def test_a_step_changes_the_mappings_alone_and_the_loss_falls() -> None:
    model = made().train()
    before = {n: v.clone() for n, v in model.state_dict().items() if "teacher" in n}
    optimizers = model.optimizers()
    assert [[g["lr"] for g in o.param_groups] for o in optimizers] == [pytest.approx([x]) for x in (3e-3, 3e-4, 3e-4)]
    held = [{id(p) for g in o.param_groups for p in g["params"]} for o in optimizers]
    assert held == [{id(p) for p in m.parameters()} for m in model.mappings]

    def step() -> float:
        loss = model.losses(pictures(4))["total"]
        for optimizer in optimizers:
            optimizer.zero_grad()
        torch.autograd.backward(loss)
        for optimizer in optimizers:
            optimizer.step()
        return loss.item()

    first, *_, last = (step() for _ in range(10))
    assert last < 0.8 * first
    assert before
    assert all(torch.equal(model.state_dict()[n], v) for n, v in before.items())


def test_the_kept_clean_pass_is_of_both_networks() -> None:
    model, other = made(), made(second_teacher=SMALL["teacher"])
    clean = model.clean(pictures())
    for found, network in zip(clean, (model.teacher, model.second_teacher), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(found, network(pictures()), strict=True))
    assert model.clean_key() != other.clean_key()


def test_the_paper_preset_is_the_authors() -> None:
    node, train = PRESETS["paper"].settle(default_registry(), "mb_pfm")
    assert (train.batch_size, train.epochs, train.image_size) == (8, 200, 256)
    assert (node["teacher"]["backbone"], node["second_teacher"]["backbone"]) == ("resnet34.tv_in1k", "resnet50.tv_in1k")
    assert node["optimizer"]["weight_decay"] == 1e-5


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"sigma": -1.0}, "sigma must be"),
        ({"latents": [3, 4]}, "latents must be 3 numbers above 0"),
        ({"lr_factors": [1.0, 0.0, 1.0]}, "lr_factors must be 3 numbers above 0"),
        ({"second_teacher": {**SMALL["teacher"], "stages": [1, 2, 4]}}, "maps at the same scales"),
        ({"second_teacher": {"backbone": "resnet18", "weights": "random"}}, "the same mean and std"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        made(**arguments)


def test_maps_that_do_not_fit_are_refused() -> None:
    mapping = FeatureMapping([4, 6], latent=5)
    for maps, told in (
        ([torch.zeros(2, 4, 8, 8)], "expected two maps, got 1"),
        ([torch.zeros(2, 4, 8, 8), torch.zeros(2, 6, 8, 4)], "axis w must be == 8, got 4"),
        ([torch.zeros(2, 4, 8, 8), torch.zeros(1, 6, 8, 8)], "batches differ: 2 and 1"),
    ):
        with pytest.raises(ContractError, match=told):
            mapping(maps)
    with pytest.raises(ContractError, match="those of two maps"):
        FeatureMapping([4, 6, 8])
    with pytest.raises(ValueError, match="at least 1, got 0"):
        FeatureMapping([4, 6], latent=0)
