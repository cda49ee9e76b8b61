"""VT-ADL's decoder: an image of a small map, by transposed convolutions."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from dlkd.blocks.norm import Act, Norm
from dlkd.contract import require_map
from dlkd.registry import register

LAYERS = ((16, 3, 2, 1), (32, 9, 3, 1), (32, 7, 5, 1), (16, 9, 2, 0), (8, 6, 1, 0), (3, 11, 1, 0))
"""VT-ADL's: sides of 15, 49, 245, 497, 502 and 512 of a map of side 8."""


@register("block", "pixel_decoder")
class PixelDecoder(nn.Module):
    """Transposed convolutions with bias, norm and activation after each but the last, and tanh after that.

    Defaults are those of pankajmishra000/VT-ADL (docs/systems.md).

    Args:
        channels: of the map.
        layers: channels, kernel, stride and padding of each.
        norm: norm class.
        act: activation class.

    Raises:
        ContractError: the map has other channels.
        ValueError: there is no layer, or one is not four numbers that make a transposed convolution.

    >>> import torch
    >>> PixelDecoder(8, layers=[[4, 4, 2, 1], [3, 4, 2, 1]])(torch.zeros(2, 8, 5, 4)).shape
    torch.Size([2, 3, 20, 16])
    """

    def __init__(
        self,
        channels: int = 8,
        *,
        layers: Sequence[Sequence[int]] = LAYERS,
        norm: Norm = nn.BatchNorm2d,
        act: Act = nn.ReLU,
    ) -> None:
        super().__init__()
        for layer in layers:
            if len(layer) != 4 or min(layer[:3]) < 1 or not 0 <= layer[3] < layer[1]:
                raise ValueError(
                    f"pixel_decoder: a layer is [channels, kernel, stride, padding], at least 1 but for a padding from "
                    f"0 to below the kernel, got {list(layer)}"
                )
        if not layers:
            raise ValueError("pixel_decoder: layers must name at least one layer, got none")
        self.channels = channels
        self.steps = [(kernel, stride, padding) for _, kernel, stride, padding in layers]
        widths = [channels, *(layer[0] for layer in layers)]
        made: list[nn.Module] = []
        for (before, after), step in zip(itertools.pairwise(widths), self.steps, strict=True):
            made += [nn.ConvTranspose2d(before, after, *step), norm(after), act()]
        self.layers = nn.Sequential(*made[:-2], nn.Tanh())

    def side(self, side: int) -> int:
        """Of the image that is made of a map of this side.

        >>> PixelDecoder(8).side(8)
        512
        """
        for kernel, stride, padding in self.steps:
            side = (side - 1) * stride - 2 * padding + kernel
        return side

    def forward(self, x: Tensor) -> Tensor:
        """(b, channels, h, w) -> images (b, the last layer's channels, side(h), side(w)), from -1 to 1."""
        require_map("pixel_decoder", x, self.channels)
        images: Tensor = self.layers(x)
        return images
