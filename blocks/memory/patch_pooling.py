"""Pooled patches: one vector per place from the neighbourhoods of that place at several scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.contract import ContractError, require_map
from dlkd.registry import register


class Run(NamedTuple):
    """Consecutive numbers first .. last - 1 of a list, whose mean is taken."""

    first: int
    last: int


@register("block", "patch_pooling")
class PatchPooling(nn.Module):
    """Patch features of PatchCore (Roth et al., CVPR 2022): neighbourhoods pooled to vectors of one length.

    At each scale the `size` x `size` values around a place (zeros beyond the border), channel by channel, are pooled to
    `pooled` means of consecutive ones, and brought to the largest map. The means of all scales, one after another, are
    pooled to `out_channels` in the same way. Defaults are those of amazon-science/patchcore-inspection; docs/systems.md
    says where anomalib differs. Nothing here is trained.

    All this is linear, so that each scale takes one convolution with a fixed kernel instead of copies of the patches:
    with WideResNet50-2 an output is the mean of a channel of stage 2 around the place, where the place itself counts
    twice, or the mean of two channels of stage 3.

    Args:
        channels: channels of each scale, largest map first.
        size: side of a patch, odd.
        pooled: means per scale; None for one per channel.
        out_channels: means of all scales together; None leaves the second pooling out.

    Attributes:
        out_channels: channels of the output.

    Raises:
        ContractError: the number of maps, or the channels of a map, differ from `channels`.
        ValueError: `size` is not odd, or a number of means is below 1.

    >>> PatchPooling([8, 16], out_channels=24)([torch.zeros(2, 8, 16, 16), torch.zeros(2, 16, 8, 8)]).shape
    torch.Size([2, 24, 16, 16])
    """

    def __init__(
        self,
        channels: Sequence[int] = (512, 1024),
        *,
        size: int = 3,
        pooled: int | None = 1024,
        out_channels: int | None = 1024,
    ) -> None:
        super().__init__()
        if size < 1 or size % 2 == 0:
            raise ValueError(f"patch_pooling: size must be odd, got {size}")
        for name, value in (("pooled", pooled), ("out_channels", out_channels)):
            if value is not None and value < 1:
                raise ValueError(f"patch_pooling: {name} must be at least 1, got {value}")
        self.channels = tuple(channels)
        self.size = size
        widths = [pooled or c for c in channels]
        self.out_channels = out_channels or sum(widths)
        second = runs(sum(widths), self.out_channels)
        self.firsts: list[int] = []
        self.groups: list[int] = []
        self.kernels: list[str] = []
        for k, (c, width) in enumerate(zip(channels, widths, strict=True)):
            first, rows = _weights(runs(c * size**2, width), second, sum(widths[:k]))
            groups = _groups(rows, c, size**2)
            self.firsts.append(first)
            self.groups.append(groups)
            self.kernels.append(f"kernel{k}")
            self.register_buffer(f"kernel{k}", _kernel(rows, c, size, groups), persistent=False)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """[(b, c_k, h_k, w_k), ...], largest map first -> (b, out_channels, h_1, w_1)."""
        if len(features) != len(self.channels):
            raise ContractError(f"patch_pooling: expected {len(self.channels)} maps, got {len(features)}")
        for x, c in zip(features, self.channels, strict=True):
            require_map("patch_pooling", x, c)
        largest = features[0]
        vectors = largest.new_zeros(largest.shape[0], self.out_channels, *largest.shape[2:])
        if not largest.is_contiguous():
            vectors = vectors.contiguous(memory_format=torch.channels_last)
        for x, first, name, groups in zip(features, self.firsts, self.kernels, self.groups, strict=True):
            pooled = F.conv2d(x, self.get_buffer(name), padding=self.size // 2, groups=groups)
            if pooled.shape[2:] != largest.shape[2:]:
                pooled = F.interpolate(pooled, largest.shape[2:], mode="bilinear")
            vectors[:, first : first + pooled.shape[1]] += pooled
        return vectors


def runs(source: int, target: int) -> list[Run]:
    """Which of `source` numbers each of `target` means is taken of, as in adaptive average pooling.

    >>> runs(9, 2)
    [Run(first=0, last=5), Run(first=4, last=9)]
    """
    return [Run(i * source // target, -(-(i + 1) * source // target)) for i in range(target)]


def _weights(first: list[Run], second: list[Run], offset: int) -> tuple[int, list[dict[int, float]]]:
    """The first output that a scale contributes to; for each such output, the weights of the scale's patch values.

    Args:
        first: the scale's first pooling.
        second: the second pooling, of all scales.
        offset: of the scale's means among those of all scales.
    """
    rows: dict[int, dict[int, float]] = {}
    for j, (low, high) in enumerate(second):
        for i in range(max(low, offset), min(high, offset + len(first))):
            run, row = first[i - offset], rows.setdefault(j, {})
            for value in range(*run):
                row[value] = row.get(value, 0.0) + 1 / ((run.last - run.first) * (high - low))
    return min(rows), [rows[j] for j in sorted(rows)]


def _groups(rows: list[dict[int, float]], channels: int, area: int) -> int:
    """The most groups of a convolution in which each output's channels are in the output's group."""
    for groups in range(min(len(rows), channels), 1, -1):
        if len(rows) % groups or channels % groups:
            continue
        outputs, inputs = len(rows) // groups, channels // groups * area
        if all(min(row) // inputs == max(row) // inputs == j // outputs for j, row in enumerate(rows)):
            return groups
    return 1


def _kernel(rows: list[dict[int, float]], channels: int, size: int, groups: int) -> Tensor:
    """The weights as the kernel (outputs, channels / groups, size, size) of a convolution in groups."""
    inputs, outputs = channels // groups * size**2, len(rows) // groups
    kernel = torch.zeros(len(rows), inputs, device="cpu")
    for j, row in enumerate(rows):
        start = j // outputs * inputs
        kernel[j, torch.tensor([value - start for value in row], device="cpu")] = torch.tensor(
            list(row.values()), device="cpu"
        )
    return kernel.view(len(rows), channels // groups, size, size)
