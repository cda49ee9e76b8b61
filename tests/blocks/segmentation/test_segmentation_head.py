"""ASPP against loops; the head is its parts in order; sizes at the published width; a batch of one image."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dlkd.blocks import ASPP, SegmentationHead
from dlkd.contract import ContractError


def drawn(module: nn.Module) -> Any:
    """Statistics and weights of norms as after a training, so that no norm is the identity."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            for tensor in (part.weight, part.bias, part.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
            nn.init.uniform_(part.running_mean, -0.5, 0.5)
    return module.double().eval()


def literal(x: Tensor, layers: Any, rate: int = 1) -> Tensor:
    """Convolution with taps `rate` places apart, norm over running statistics and ReLU, of (c, h, w), by loops."""
    conv, norm, _ = layers
    _, h, w = x.shape
    side = conv.weight.shape[-1]
    out = torch.zeros(len(conv.weight), h, w, dtype=torch.float64)
    for k, y, z in product(range(len(out)), range(h), range(w)):
        total = 0.0
        for c, i, j in product(range(len(x)), range(side), range(side)):
            row, column = y + rate * (i - side // 2), z + rate * (j - side // 2)
            if 0 <= row < h and 0 <= column < w:
                total += conv.weight[k, c, i, j].item() * x[c, row, column].item()
        scaled = (total - norm.running_mean[k]) / math.sqrt(norm.running_var[k] + norm.eps)
        out[k, y, z] = max(0.0, (scaled * norm.weight[k] + norm.bias[k]).item())
    return out


@torch.no_grad()
def test_aspp_equals_loops() -> None:
    block = drawn(ASPP(3, width=2, rates=[1, 3]))
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    for image, found in zip(x, block(x), strict=True):
        mean = torch.tensor([[[sum(map(sum, c)) / 20]] for c in image.tolist()], dtype=torch.float64)
        whole = literal(mean, block.mean).expand(2, 5, 4)
        branches = [literal(image, branch, rate) for branch, rate in zip(block.dilated, (1, 3), strict=True)]
        torch.testing.assert_close(found, literal(torch.cat([whole, *branches]), block.fuse))


@torch.no_grad()
def test_the_head_is_residual_units_aspp_and_a_convolution() -> None:
    head = drawn(SegmentationHead(5, width=3, depth=2, rates=[2]))
    x = torch.randn(1, 5, 4, 4, dtype=torch.float64)
    y = x
    for unit in head.residual:
        change = unit.body[4](unit.body[3](torch.relu(unit.body[1](unit.body[0](y)))))
        y = torch.relu(change + (unit.skip(y) if y.shape[1] == 5 else y))
    found = head(x)[0]
    assert len(found.unique()) > 20  # where a ReLU leaves nothing, all maps are equal
    torch.testing.assert_close(found, literal(head.aspp(y)[0], head.last))


def test_sizes_at_the_published_width() -> None:
    with torch.device("meta"):
        head = SegmentationHead(448, width=256)
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in head.named_children()}
    assert counts == {"residual": 2_918_912, "aspp": 4_196_864, "last": 590_336}
    assert sum(counts.values()) + 256 + 1 == 7_706_369


def test_a_batch_of_one_image_has_the_mean_s_branch_at_its_bias() -> None:
    """In training BatchNorm2d refuses one value per channel, and its own mean would leave nothing but the bias."""
    block = drawn(ASPP(3, width=2, rates=[1])).train()
    x = torch.randn(2, 3, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(block._of_mean(x[:1])[0, :, 0, 0], block.mean[1].bias)
    assert block(x[:1]).shape == (1, 2, 4, 4)
    torch.testing.assert_close(block._of_mean(x), block.mean(x.mean(dim=(2, 3), keepdim=True)))


@pytest.mark.parametrize(
    ("kind", "arguments", "told"),
    [
        (ASPP, {"rates": []}, "rates must be one dilation or more"),
        (ASPP, {"rates": [1, 0]}, "each at least 1"),
        (SegmentationHead, {"depth": 0}, "depth must be at least 1, got 0"),
    ],
)
def test_what_makes_no_sense_is_refused(kind: Any, arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        kind(4, **arguments)
    with pytest.raises(ContractError, match="axis c must be == 4, got 3"):
        kind(4)(torch.zeros(2, 3, 4, 4))
