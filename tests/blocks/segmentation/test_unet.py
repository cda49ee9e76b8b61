"""DRAEM's two networks: against a literal version layer by layer, and their published sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.blocks import Autoencoder, UNet


def literal_convolution(x: Tensor, parts: nn.Module) -> Tensor:
    """3x3 convolutions as sums over nine moved maps, batch norms in eval mode, ReLUs."""
    for layer in parts.modules():
        if isinstance(layer, nn.Conv2d):
            h, w = x.shape[2:]
            padded = F.pad(x, (1, 1, 1, 1))
            moved = [(i, j, padded[:, :, i : i + h, j : j + w]) for i in range(3) for j in range(3)]
            total = sum(torch.einsum("oc,bchw->bohw", layer.weight[:, :, i, j], m) for i, j, m in moved)
            assert layer.bias is not None
            x = total + layer.bias.view(1, -1, 1, 1)
        elif isinstance(layer, nn.BatchNorm2d):
            mean, var, weight, bias = (
                t.view(1, -1, 1, 1) for t in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
            )
            x = (x - mean) / (var + layer.eps).sqrt() * weight + bias
        elif isinstance(layer, nn.ReLU):
            x = x.clamp(min=0)
    return x


def halved(x: Tensor) -> Tensor:
    h, w = (side // 2 * 2 for side in x.shape[2:])
    return torch.stack([x[:, :, i:h:2, j:w:2] for i in (0, 1) for j in (0, 1)]).amax(dim=0)


def enlarged(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear with aligned corners, as a product of a matrix per axis."""
    for axis, side in zip((2, 3), size, strict=True):
        matrix = torch.zeros(side, x.shape[axis], dtype=x.dtype)
        for i in range(side):
            place = i * (x.shape[axis] - 1) / (side - 1)
            low = min(int(place), x.shape[axis] - 1)
            matrix[i, low] += 1 - (place - low)
            matrix[i, min(low + 1, x.shape[axis] - 1)] += place - low
        x = torch.tensordot(x, matrix, dims=([axis], [1])).movedim(-1, axis)
    return x


def drawn(module: nn.Module) -> nn.Module:
    """All parameters and running statistics away from where they start, in eval mode, float64."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for t in (part.weight, part.bias, part.running_mean):
                nn.init.normal_(t, 1.0, 0.2)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
    return module.double().eval()


@torch.no_grad()
def test_the_autoencoder_equals_its_layers_one_by_one() -> None:
    network: Any = drawn(Autoencoder(3, width=2))
    x = images = torch.rand(2, 3, 34, 48, dtype=torch.float64)
    sizes = []
    for i, pair in enumerate(network.encoder):
        x = literal_convolution(halved(x) if i else x, pair)
        sizes.append((x.shape[2], x.shape[3]))
    assert sizes == [(34, 48), (17, 24), (8, 12), (4, 6), (2, 3)]
    for (up, pair), size in zip(network.decoder, sizes[-2::-1], strict=True):
        x = literal_convolution(literal_convolution(enlarged(x, size), up), pair)
    torch.testing.assert_close(network(images), literal_convolution(x, network.last))


@torch.no_grad()
def test_the_unet_equals_its_layers_one_by_one() -> None:
    network: Any = drawn(UNet(6, out_channels=2, width=2))
    x = images = torch.rand(2, 6, 34, 64, dtype=torch.float64)
    skips = []
    for i, pair in enumerate(network.encoder):
        x = literal_convolution(halved(x) if i else x, pair)
        skips.append(x)
    for (up, pair), skip in zip(network.decoder, skips[-2::-1], strict=True):
        x = literal_convolution(enlarged(x, tuple(skip.shape[2:])), up)
        x = literal_convolution(torch.cat([x, skip], dim=1), pair)
    torch.testing.assert_close(network(images), literal_convolution(x, network.last))


def test_sizes_at_the_published_widths() -> None:
    with torch.device("meta"):
        networks = Autoencoder(3), UNet(6, out_channels=2)
    assert [sum(p.numel() for p in n.parameters()) for n in networks] == [69_048_579, 28_374_146]
    channels = [[c.out_channels for c in n.modules() if isinstance(c, nn.Conv2d)] for n in networks]
    assert channels[0][::2][:5] == [128, 256, 512, 1024, 1024]
    assert channels[0][10:] == [1024, 1024, 512, 512, 512, 256, 256, 256, 128, 128, 128, 128, 3]
    assert channels[1][::2][:6] == [64, 128, 256, 512, 512, 512]
    assert channels[1][12:] == [512] * 3 + [256] * 3 + [128] * 3 + [64] * 6 + [2]


@pytest.mark.parametrize("network", [Autoencoder, UNet])
def test_a_width_of_none_is_refused(network: Any) -> None:
    with pytest.raises(ValueError, match="width must be at least 1, got 0"):
        network(3, width=0)
