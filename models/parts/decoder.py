"""The coarse decoder: from the fused features to every scale of the teacher, one FRM per scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.blocks.frm import FRM
from dlkd.blocks.gfrb import GFRB
from dlkd.blocks.lfrb import LFRB
from dlkd.blocks.mffm import pyramid_reductions
from dlkd.blocks.norm import Act, Block, Norm
from dlkd.contract import ContractError, require, require_map
from dlkd.registry import register

Upsample: TypeAlias = Literal["transposed", "bilinear"]
Skip: TypeAlias = Literal["none", "add", "concat"]
"""How the input features of MFFM enter before each FRM: not at all, added, or concatenated with the map."""


@register("decoder", "coarse")
class CoarseDecoder(nn.Module):
    """Up, FRM; up, FRM; up, FRM: F_CS at the teacher's scales, coarsest first inside, largest first outside.

    Args:
        channels: the teacher's channels, largest map first.
        in_channels: channels of the fused map, whose sides are half of those of the last scale.
        reductions: image side over map side of each scale.
        global_: block class of every FRM's global branch, None to leave it out.
        local: block class of every FRM's local branch, None to leave it out.
        upsample: "transposed" convolution as in RD, or "bilinear" and a 3x3 convolution.
        skip: use of the multi-scale features between upsampling and FRM: "none" leaves them out, "add" adds them,
            "concat" concatenates them with the map, and a 1x1 convolution with norm and activation restores the
            channels.
        norm: norm class after upsampling, and after the convolution of "concat".
        act: activation class in the same places.

    Attributes:
        takes_features: whether `forward` needs the multi-scale features. `DLKD` gives them to a decoder that has
            this attribute and holds it true; any other is called with the fused map and the sides alone.

    Raises:
        ContractError: one of `channels` is no multiple of 4, or the input's channels are not `in_channels`.
    """

    def __init__(
        self,
        channels: Sequence[int] = (64, 128, 256),
        *,
        in_channels: int = 512,
        reductions: Sequence[int] | None = None,
        global_: Block | None = GFRB,
        local: Block | None = LFRB,
        upsample: Upsample = "transposed",
        skip: Skip = "concat",
        norm: Norm = nn.BatchNorm2d,
        act: Act = nn.ReLU,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        for c in channels:
            require("coarse", "c", c, "multiple of 4")
        found = pyramid_reductions("coarse", channels, reductions)
        below = [*found[1:], found[-1] * 2]
        widths = [*channels[1:], in_channels]
        self.ups = nn.ModuleList(
            _Up(wide, narrow, coarse // fine, upsample, norm, act)
            for wide, narrow, coarse, fine in zip(widths, channels, below, found, strict=True)
        )
        self.frms = nn.ModuleList(FRM(c, global_=global_, local=local) for c in channels)
        self.skip: Skip = skip
        self.takes_features = skip != "none"
        if skip == "concat":
            self.merges = nn.ModuleList(
                nn.Sequential(nn.Conv2d(2 * c, c, 1, bias=False), norm(c), act()) for c in channels
            )

    def forward(
        self,
        x: Tensor,
        sizes: Sequence[tuple[int, int]] | None = None,
        features: Sequence[Tensor] | None = None,
    ) -> list[Tensor]:
        """Fused map to F_CS, largest map first.

        Args:
            x: (b, in_channels, h, w).
            sizes: sides of each teacher map, largest first, needed if image sides are no multiple of the strides;
                default multiples of h and w.
            features: the input maps of MFFM, [(b, c_k, h_k, w_k), ...], largest first; needed with a skip only.

        Raises:
            ContractError: a skip without features, or features of other channels or sides than the decoder's maps.
        """
        require_map("coarse", x, self.in_channels)
        if self.takes_features and (features is None or len(features) != len(self.frms)):
            raise ContractError(
                f"coarse: skip {self.skip} needs {len(self.frms)} feature maps, got {len(features or ())}"
            )
        made: list[Tensor] = []
        for i in reversed(range(len(self.frms))):
            x = self.ups[i](x, None if sizes is None else sizes[i])
            if self.takes_features and features is not None:
                x = self._joined(x, features[i], i)
            x = self.frms[i](x)
            made.insert(0, x)
        return made

    def _joined(self, x: Tensor, feature: Tensor, scale: int) -> Tensor:
        """The upsampled map with the skip of its scale, both (b, c, h, w)."""
        if feature.shape != x.shape:
            raise ContractError(
                f"coarse: skip {self.skip} takes features {tuple(x.shape)} at scale {scale}, got {tuple(feature.shape)}"
            )
        if self.skip == "add":
            return x + feature
        out: Tensor = self.merges[scale](torch.cat([x, feature], dim=1))
        return out


class _Up(nn.Module):
    def __init__(self, inputs: int, outputs: int, factor: int, upsample: Upsample, norm: Norm, act: Act) -> None:
        super().__init__()
        self.factor = factor
        self.bilinear = upsample == "bilinear"
        self.conv = (
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
            if self.bilinear
            else nn.ConvTranspose2d(inputs, outputs, factor, stride=factor, bias=False)
        )
        self.norm = norm(outputs)
        self.act = act()

    def forward(self, x: Tensor, size: tuple[int, int] | None) -> Tensor:
        h, w = size or (x.shape[2] * self.factor, x.shape[3] * self.factor)
        x = self.conv(F.interpolate(x, (h, w), mode="bilinear")) if self.bilinear else fitted(self.conv(x), (h, w))
        out: Tensor = self.act(self.norm(x))
        return out


def fitted(x: Tensor, size: tuple[int, int]) -> Tensor:
    """An upsampled map (b, c, h, w) at the sides of the teacher's map.

    Strided stages round sides up, so the doubled map covers the teacher's and the rest is cut off; backbones that round
    down leave it a pixel short.
    """
    h, w = size
    return x[..., :h, :w] if x.shape[2] >= h and x.shape[3] >= w else F.interpolate(x, (h, w), mode="bilinear")
