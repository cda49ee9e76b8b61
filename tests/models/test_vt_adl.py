"""VT-ADL: encoder, capsules, decoder and mixture against loops; loss, map and score; sizes at the published widths."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
import scipy.ndimage
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.blocks import Capsule, MixtureDensity, PixelDecoder, ViT
from dlkd.contract import ContractError
from dlkd.models import VTADL
from dlkd.models.parts.noise import GaussianNoise
from dlkd.registry import create_model, default_registry
from dlkd.training import PRESETS

SMALL: dict[str, Any] = {
    "encoder": {"side": 32, "patch": 8, "width": 8, "depth": 2, "heads": 2, "mlp_width": 6},
    "capsule": {"out_channels": 32},
    "code_side": 4,
    "decoder": {"layers": [[4, 4, 2, 1], [4, 4, 2, 1], [3, 4, 2, 1]]},
    "density": {"gaussians": 3},
}


def made(**arguments: Any) -> VTADL:
    torch.manual_seed(0)
    model = create_model("vt_adl", **(SMALL | arguments))
    assert isinstance(model, VTADL)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d | nn.LayerNorm):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.uniform_(part.bias, -0.5, 0.5)
    return model.double().eval()


def pictures(b: int = 2, h: int = 40, w: int = 36) -> Tensor:
    return torch.rand(b, 3, h, w, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def literal_norm(x: Tensor, norm: Any) -> Tensor:
    """Of one token."""
    mean = sum(x.tolist()) / len(x)
    variance = sum((v - mean) ** 2 for v in x.tolist()) / len(x)
    found: Tensor = (x - mean) / math.sqrt(variance + norm.eps) * norm.weight + norm.bias
    return found


def literal_gelu(x: Tensor) -> Tensor:
    return torch.tensor([v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x.tolist()], dtype=x.dtype)


def literal_layer(tokens: list[Tensor], layer: Any) -> list[Tensor]:
    """A transformer's layer of one image: each token a vector, each head by itself."""
    width = len(tokens[0])
    head = width // layer.heads
    queries, keys, values = (
        [layer.qkv.weight[k * width : (k + 1) * width] @ literal_norm(t, layer.norm1) for t in tokens] for k in range(3)
    )
    found = []
    for i, token in enumerate(tokens):
        seen = torch.zeros_like(token)
        for h in range(layer.heads):
            part = slice(h * head, (h + 1) * head)
            logits = [(queries[i][part] * key[part]).sum().item() / math.sqrt(width) for key in keys]
            total = sum(math.exp(a) for a in logits)
            seen[part] = sum(math.exp(a) / total * v[part] for a, v in zip(logits, values, strict=True))
        token = token + layer.out.weight @ seen + layer.out.bias
        first, _, second = layer.mlp
        hidden = literal_gelu(first.weight @ literal_norm(token, layer.norm2) + first.bias)
        found.append(token + second.weight @ hidden + second.bias)
    return found


def literal_codes(encoder: Any, images: Tensor) -> Tensor:
    """(b, n, width), image by image and patch by patch."""
    found = []
    for image in images:
        tokens = [encoder.token[0, 0]]
        for y, x in product(range(4), repeat=2):
            patch = image[:, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8]
            tokens.append((encoder.embed.weight * patch).sum(dim=(1, 2, 3)) + encoder.embed.bias)
        tokens = [t + p for t, p in zip(tokens, encoder.positions[0], strict=True)]
        for layer in encoder.layers:
            tokens = literal_layer(tokens, layer)
        found.append(torch.stack(tokens[1:]))
    return torch.stack(found)


def literal_capsule(weight: Tensor, codes: Tensor) -> Tensor:
    """Input capsules of length 8 routed to one output capsule in three rounds (b, out)."""
    found = []
    for code in codes.flatten(1):
        inputs = code.view(-1, 8)
        guesses = [weight[:, 8 * i : 8 * i + 8] @ u for i, u in enumerate(inputs)]
        priors = [[0.0] for _ in inputs]  # of each input capsule, of one output capsule
        for _ in range(3):
            shares = [[math.exp(p) / sum(map(math.exp, row)) for p in row] for row in priors]
            s = torch.stack([share[0] * guess for share, guess in zip(shares, guesses, strict=True)]).sum(dim=0)
            length = s.square().sum().item()
            v = s * length / ((1 + length) * math.sqrt(length))
            priors = [[row[0] + (v * guess).sum().item()] for row, guess in zip(priors, guesses, strict=True)]
        found.append(v)
    return torch.stack(found)


def literal_transposed(x: Tensor, layer: nn.ConvTranspose2d) -> Tensor:
    """Of one map (c, h, w): each place adds its kernel to the output."""
    kernel, stride, padding = layer.kernel_size[0], layer.stride[0], int(layer.padding[0])
    h, w = x.shape[1:]
    whole = torch.zeros(layer.out_channels, (h - 1) * stride + kernel, (w - 1) * stride + kernel, dtype=x.dtype)
    for y, z in product(range(h), range(w)):
        added = torch.einsum("c,cokl->okl", x[:, y, z], layer.weight)
        whole[:, y * stride : y * stride + kernel, z * stride : z * stride + kernel] += added
    assert layer.bias is not None
    return whole[:, padding : whole.shape[1] - padding, padding : whole.shape[2] - padding] + layer.bias[:, None, None]


def literal_images(decoder: Any, maps: Tensor) -> Tensor:
    found = []
    for x in maps:
        for layer in decoder.layers:
            if isinstance(layer, nn.ConvTranspose2d):
                x = literal_transposed(x, layer)
            elif isinstance(layer, nn.BatchNorm2d):
                assert layer.running_mean is not None
                assert layer.running_var is not None
                scale = layer.weight / (layer.running_var + layer.eps).sqrt()
                x = (x - layer.running_mean[:, None, None]) * scale[:, None, None] + layer.bias[:, None, None]
            else:
                x = x.clamp(min=0) if isinstance(layer, nn.ReLU) else torch.tanh(x)
        found.append(x)
    return torch.stack(found)


def literal_values(density: Any, codes: Tensor, *, spread: str = "log_variance", mixing: str = "mean") -> Tensor:
    """(b, n), Gaussian by Gaussian and number by number."""
    b, n, c = codes.shape
    found = torch.empty(b, n, dtype=codes.dtype)
    for i, j in product(range(b), range(n)):
        code, positive = codes[i, j], codes[i, j].clamp(min=2.220446049250313e-16)
        logits = (density.weights.weight @ positive).tolist()
        weights = [math.exp(a) / sum(map(math.exp, logits)) for a in logits]
        means, spreads = ((each.weight @ positive).view(-1, c).tolist() for each in (density.means, density.spreads))
        logs = []
        for mean, row in zip(means, spreads, strict=True):
            softplus = [math.log(1 + math.exp(a)) for a in row]
            variances = [math.exp(a) for a in softplus] if spread == "log_variance" else softplus
            terms = [math.log(v) + (x - m) ** 2 / v for x, m, v in zip(code.tolist(), mean, variances, strict=True)]
            logs.append(-0.5 * (math.log(2 * math.pi) + sum(terms)))
        if mixing == "mean":
            found[i, j] = sum(w * -a for w, a in zip(weights, logs, strict=True))
        else:
            found[i, j] = -math.log(sum(w * math.exp(a) for w, a in zip(weights, logs, strict=True)))
    return found


@torch.no_grad()
def test_codes_equal_loops() -> None:
    model, images = made(), pictures(h=32, w=32)
    torch.testing.assert_close(model.encoder(images), literal_codes(model.encoder, images))


@torch.no_grad()
def test_a_capsule_equals_three_rounds_of_routing() -> None:
    capsule, codes = Capsule(64, out_channels=5).double(), 3 * torch.randn(2, 8, 8, dtype=torch.float64)
    capsule.linear.weight.mul_(20)
    torch.testing.assert_close(capsule(codes.flatten(1)), literal_capsule(capsule.linear.weight, codes))


def test_a_capsule_of_zeros_has_a_gradient() -> None:
    zeros = torch.zeros(1, 8, requires_grad=True)
    torch.autograd.backward(Capsule(8, out_channels=4)(zeros).sum())
    assert zeros.grad is not None
    assert zeros.grad.isfinite().all()


@torch.no_grad()
def test_the_decoder_equals_loops() -> None:
    decoder = PixelDecoder(2, layers=[[3, 3, 2, 1], [4, 5, 3, 0], [3, 2, 1, 0]]).double()
    decoder(torch.randn(8, 2, 4, 3, dtype=torch.float64))  # statistics of its norms
    maps = torch.randn(2, 2, 4, 3, dtype=torch.float64)
    found = decoder.eval()(maps)
    assert found.shape[2:] == (decoder.side(4), decoder.side(3)) == (24, 18)
    torch.testing.assert_close(found, literal_images(decoder, maps))


@torch.no_grad()
@pytest.mark.parametrize("mixing", ["mean", "log"])
@pytest.mark.parametrize("spread", ["log_variance", "variance"])
def test_values_of_codes_equal_loops(spread: Any, mixing: Any) -> None:
    density = MixtureDensity(4, gaussians=3, spread=spread, mixing=mixing).double()
    codes = torch.randn(2, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(density(codes), literal_values(density, codes, spread=spread, mixing=mixing))


def parts_of_the_loss(model: VTADL, crop: Tensor, codes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each image: mean squared error, SSIM, and the values of its patches."""
    maps = literal_capsule(model.capsule.linear.weight, codes).view(len(crop), -1, 4, 4)
    images = literal_images(model.decoder, maps)
    squared = torch.stack([(a - b).square().mean() for a, b in zip(images, crop, strict=True)])
    # Its own test has loops: tests/losses/test_ssim.py.
    similar = torch.stack([1 - model.ssim(a[None], b[None]) for a, b in zip(images, crop, strict=True)])
    return squared, similar, literal_values(model.density, codes)


@torch.no_grad()
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_map_and_score_are_those_of_the_crop(sign: float) -> None:
    model, images = made(score_ssim=sign), pictures()
    crop = images[:, :, 4:36, 2:34]
    squared, similar, values = parts_of_the_loss(model, crop, literal_codes(model.encoder, crop))
    scores, maps = model.detect(images)
    torch.testing.assert_close(scores, squared + sign * similar + values.amax(dim=1))
    assert maps is not None
    assert torch.equal(maps, model(images))
    for image, value in zip(maps, values, strict=True):
        large = F.interpolate(value.view(1, 1, 4, 4), (32, 32), mode="bilinear", align_corners=True)[0, 0]
        torch.testing.assert_close(image[4:36, 2:34], torch.from_numpy(scipy.ndimage.gaussian_filter(large.numpy(), 4)))
        outside = torch.ones(40, 36, dtype=torch.bool)
        outside[4:36, 2:34] = False
        assert (image[outside] == image[4:36, 2:34].min()).all()


@torch.no_grad()
def test_the_loss_is_the_authors_up_to_a_constant() -> None:
    model, images = made(noise={"intensity": 0.3}), pictures()
    crop = images[:, :, 4:36, 2:34]
    codes = literal_codes(model.encoder, crop)
    codes = codes + 0.3 * torch.randn(codes.shape, generator=torch.Generator().manual_seed(5), dtype=codes.dtype)
    squared, similar, values = parts_of_the_loss(model, crop, codes)
    terms = model.losses(images, torch.Generator().manual_seed(5))
    expected = 5 * squared.mean() - 0.5 * similar.mean() + values.sum() / 2
    torch.testing.assert_close(terms["total"] - 0.5, expected)


def test_sizes_at_the_published_widths() -> None:
    with torch.device("meta"):
        model = create_model("vt_adl")
    assert isinstance(model, VTADL)
    parts = (model.encoder, model.capsule, model.decoder, model.density)
    sizes = [sum(p.numel() for p in part.parameters()) for part in parts]
    assert sizes == [18_933_248, 16_777_216, 142_099, 5_248_000]
    assert sum(p.numel() for p in model.parameters()) == sum(sizes) == 41_100_563
    sides = [8]
    for layer in model.decoder.layers:
        if isinstance(layer, nn.ConvTranspose2d):
            single = [[layer.out_channels, layer.kernel_size[0], layer.stride[0], int(layer.padding[0])]]
            sides.append(PixelDecoder(1, layers=single).side(sides[-1]))
    assert sides == [8, 15, 49, 245, 497, 502, 512]


def test_a_training_step_changes_all_parts_and_the_loss_falls() -> None:
    model = made(optimizer={"lr": 0.003}).train()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    [optimizer] = model.optimizers()

    def step() -> float:
        loss = model.losses(pictures(4), torch.Generator().manual_seed(0))["total"]
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        return loss.item()

    first, *_, last = (step() for _ in range(20))
    assert last < 0.8 * first
    assert not [n for n, p in model.named_parameters() if torch.equal(p, before[n])]


def test_the_start_is_the_authors() -> None:
    torch.manual_seed(0)
    encoder = ViT(3, side=32, patch=8, width=64, depth=1, heads=2, mlp_width=128)
    for layer in (encoder.embed, *(m for m in encoder.modules() if isinstance(m, nn.Linear))):
        assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / layer.weight[0].numel()), rel=0.05)
        assert layer.bias is None or not layer.bias.any()
    assert Capsule(256, out_channels=64).linear.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert GaussianNoise().intensity == 0.2


def test_the_paper_preset_is_the_authors() -> None:
    node, train = PRESETS["paper"].settle(default_registry(), "vt_adl")
    assert (train.batch_size, train.epochs, train.image_size) == (8, 400, 550)
    assert (node["encoder"]["side"], node["encoder"]["patch"], node["density"]["gaussians"]) == (512, 64, 10)
    assert (node["optimizer"]["lr"], node["optimizer"]["weight_decay"]) == (1e-4, 1e-4)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"mse_weight": -1.0}, "vt_adl: mse_weight must be"),
        ({"ssim_weight": -1.0}, "vt_adl: ssim_weight must be"),
        ({"sigma": -1.0}, "vt_adl: sigma must be"),
        ({"code_side": 5}, "multiple of code_side squared, got 32 and 5"),
        ({"encoder": {"side": 64, "patch": 16}}, "make an image of 32 pixels a side, and encoder.side is 64"),
        ({"encoder": {"side": 30, "patch": 8}}, "vit: side must be a multiple of patch, got 30 and 8"),
        ({"encoder": {"side": 32, "patch": 8, "width": 9}}, "vit: width must be a multiple of heads, got 9 and 8"),
        ({"encoder": {"side": 32, "patch": 8, "depth": 0}}, "vit: depth must be at least 1"),
        ({"capsule": {"out_channels": 0}}, "capsule: out_channels must be at least 1"),
        ({"density": {"gaussians": 0}}, "mixture_density: gaussians must be at least 1"),
        ({"decoder": {"layers": []}}, "pixel_decoder: layers must name at least one"),
        ({"decoder": {"layers": [[3, 2, 1, 2]]}}, r"from 0 to below the kernel, got \[3, 2, 1, 2\]"),
        ({"decoder": {"layers": [[3, 2, 1]]}}, r"got \[3, 2, 1\]"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        made(**arguments)


def test_inputs_that_do_not_fit_are_refused() -> None:
    model = made().float()
    for part, tensor, told in (
        (model, torch.zeros(1, 3, 40, 30), "vt_adl: axis w must be >= 32, got 30"),
        (model.encoder, torch.zeros(1, 3, 32, 40), "vit: axis w must be == 32, got 40"),
        (model.capsule, torch.zeros(1, 9), "capsule: axis c must be == 128, got 9"),
        (model.density, torch.zeros(1, 9), r"mixture_density: expected codes \(b, n, c\)"),
        (model.density, torch.zeros(1, 9, 4), "mixture_density: axis c must be == 8, got 4"),
        (model.decoder, torch.zeros(1, 9, 4, 4), "pixel_decoder: axis c must be == 2, got 9"),
    ):
        with pytest.raises(ContractError, match=told):
            part(tensor)
