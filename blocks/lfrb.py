"""LFRB, the CNN-based local feature reconstruction block (eqs. 2 and 3)."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.blocks.embed import Embed
from dlkd.blocks.frfn import FRFN
from dlkd.blocks.norm import Act, Norm
from dlkd.contract import require, require_map
from dlkd.registry import register


@register("block", "lfrb")
class LFRB(nn.Module):
    """Split the map into patches, pass each through a small CNN and FRFN, put them back, embed (eqs. 2, 3).

    A patch gets no information from its neighbours before the embedding, so that normal regions far away cannot help to
    reconstruct a small defect.

    Args:
        channels: width of the map, a multiple of 4.
        patches: how many patches s; a square number for spatial patches.
        split: "spatial" cuts the map into a grid, "channel" cuts the channels into groups.
        shared: one CNN for all patches, or one CNN per patch.
        hidden_ratio: hidden width of FRFN over its channels.
        embed_ratio: middle width of the embedding over `channels`.
        norm: norm class of the convolutions.
        last_norm: whether a norm follows the last convolution of a patch too, before FRFN.
        act: activation class between the convolutions.

    Raises:
        ContractError: `channels` is no multiple of 4 (of `4 * patches` for channel groups), the input has other
            channels or a side under 2 (or under the side of the grid, if that is larger).
        ValueError: `patches` is no square number for spatial patches.

    >>> LFRB(8, patches=16)(torch.zeros(2, 8, 10, 12)).shape
    torch.Size([2, 8, 10, 12])
    """

    def __init__(
        self,
        channels: int,
        *,
        patches: int = 4,
        split: Literal["spatial", "channel"] = "spatial",
        shared: bool = True,
        hidden_ratio: float = 2.0,
        embed_ratio: float = 0.25,
        norm: Norm = nn.BatchNorm2d,
        last_norm: bool = True,
        act: Act = nn.ReLU,
    ) -> None:
        super().__init__()
        if patches < 1 or (split == "spatial" and math.isqrt(patches) ** 2 != patches):
            raise ValueError(f"lfrb: spatial patches must be a square number such as 1, 4 or 16, got {patches}")
        groups = patches if split == "channel" else 1
        require("lfrb", "c", channels, f"multiple of {4 * groups}")
        self.channels = channels
        self.patches = patches
        self.split = split
        width = channels // groups
        self.branches = nn.ModuleList(
            _Branch(width, hidden_ratio, norm, last_norm, act) for _ in range(1 if shared else patches)
        )
        self.embed = Embed(channels, ratio=embed_ratio, norm=norm, act=act)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, c, h, w)."""
        grid = math.isqrt(self.patches) if self.split == "spatial" else 1
        require_map("lfrb", x, self.channels, min_side=max(2, grid))
        out: Tensor = self.embed(self._spatial(x, grid) if self.split == "spatial" else self._by_channel(x))
        return out

    def _spatial(self, x: Tensor, grid: int) -> Tensor:
        h, w = x.shape[-2:]
        # Zeros to the next multiple of the grid, cut off again below: at a border the convolutions see zeros too.
        odd = h % grid or w % grid  # else neither copy is needed
        x = F.pad(x, (0, -w % grid, 0, -h % grid)) if odd else x
        tiles = self._run([tile for row in x.chunk(grid, 2) for tile in row.chunk(grid, 3)])
        rows = [torch.cat(tiles[i : i + grid], 3) for i in range(0, len(tiles), grid)]
        out = torch.cat(rows, 2)
        return out[..., :h, :w] if odd else out

    def _by_channel(self, x: Tensor) -> Tensor:
        return torch.cat(self._run(x.chunk(self.patches, 1)), 1)

    def _run(self, patches: list[Tensor] | tuple[Tensor, ...]) -> list[Tensor] | tuple[Tensor, ...]:
        """Pass patches (b, c, h, w) through the branches; a shared branch takes all patches as one batch.

        `split` and `cat` preserve the channels-last layout. Sizes, not a number of chunks, so that an exported program
        takes batches of any size.
        """
        if len(self.branches) == 1:
            out: Tensor = self.branches[0](torch.cat(patches))
            return torch.split(out, [patches[0].shape[0]] * len(patches))
        return [branch(patch) for branch, patch in zip(self.branches, patches, strict=True)]


class _Branch(nn.Module):
    """FRFN(Conv(DWConv(Conv(x)))), eq. 2, with norm and activation after the convolutions."""

    def __init__(self, channels: int, hidden_ratio: float, norm: Norm, last_norm: bool, act: Act) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(channels, channels, 1, bias=False),
            norm(channels),
            act(),
            nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
            norm(channels),
            act(),
            nn.Conv2d(channels, channels, 1, bias=False),
            *([norm(channels)] if last_norm else []),
        )
        self.frfn = FRFN(channels, hidden_ratio=hidden_ratio)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.frfn(self.conv(x))
        return out
