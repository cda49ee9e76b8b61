"""The residual unit of ResNets, at the same size, at half of it or at twice of it."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from dlkd.blocks.norm import Norm
from dlkd.contract import require, require_map
from dlkd.registry import register

Resize: TypeAlias = Literal["none", "down", "up"]
"""The unit keeps the map's sides, halves them (rounded up) or doubles them."""

EXPANSION = 4
"""Output channels of a bottleneck over its planes, from which its inner width is counted."""


@register("block", "residual")
class Residual(nn.Module):
    """ResNet's residual unit (He et al., CVPR 2016), or its mirror image in RD's decoder, which doubles the sides.

    Two 3x3 convolutions, or as bottleneck 1x1, 3x3, 1x1; the first 3x3 changes the sides: strided, or a transposed 2x2
    convolution. Where sides or channels change, the skip has a convolution and a norm of its own.

    Args:
        channels: of the input.
        out_channels: default the input's.
        resize: see `Resize`.
        bottleneck: three convolutions around a narrow middle, as in ResNet50, instead of two.
        width: the bottleneck's middle has `width * out_channels / 4` channels; 2 in WideResNet50-2.
        last_relu: the sum of body and skip passes a ReLU, as in ResNet.
        norm: norm class.

    Raises:
        ContractError: the input has other channels, or a bottleneck's output is no multiple of 4.

    >>> Residual(8, out_channels=16, resize="down")(torch.zeros(2, 8, 7, 6)).shape
    torch.Size([2, 16, 4, 3])
    """

    def __init__(
        self,
        channels: int,
        *,
        out_channels: int | None = None,
        resize: Resize = "none",
        bottleneck: bool = False,
        width: float = 1.0,
        last_relu: bool = True,
        norm: Norm = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.last_relu = last_relu
        out = out_channels or channels
        if bottleneck:
            require("residual", "c", out, f"multiple of {EXPANSION}")
        middle = int(out // EXPANSION * width) if bottleneck else out
        first = [_conv(channels, middle, 1), norm(middle), nn.ReLU()] if bottleneck else []
        entry = middle if bottleneck else channels
        last = _conv(middle, out, 1 if bottleneck else 3)
        between = [_resized(entry, middle, 3, resize), norm(middle), nn.ReLU()]
        self.body = nn.Sequential(*first, *between, last, norm(out))
        changes = resize != "none" or channels != out
        self.skip = nn.Sequential(_resized(channels, out, 1, resize), norm(out)) if changes else nn.Identity()
        start_as_resnet(self)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, out_channels, h', w') with the sides of `resize`."""
        require_map("residual", x, self.channels)
        out: Tensor = self.body(x) + self.skip(x)
        return torch.relu(out) if self.last_relu else out


def start_as_resnet(module: nn.Module) -> None:
    """Draw the weights of convolutions from torchvision's distribution of ResNets; transposed ones keep PyTorch's."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")


def _resized(inputs: int, outputs: int, kernel: int, resize: Resize) -> nn.Module:
    if resize == "up":
        return nn.ConvTranspose2d(inputs, outputs, 2, stride=2, bias=False)
    return _conv(inputs, outputs, kernel, 2 if resize == "down" else 1)


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
