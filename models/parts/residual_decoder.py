"""RD's decoder: a ResNet mirrored, from the embedding to every scale of the teacher."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from torch import Tensor, nn

from dlkd.blocks.mffm import pyramid_reductions
from dlkd.blocks.norm import Block, Norm
from dlkd.blocks.residual import Residual
from dlkd.contract import ContractError, require_map
from dlkd.models.parts.decoder import fitted
from dlkd.registry import register


@register("decoder", "residual")
class ResidualDecoder(nn.Module):
    """Reverse distillation's student (Deng and Li, CVPR 2022): per scale a stage of residual units, the first doubles.

    The defaults fit WideResNet50-2.

    Args:
        channels: the teacher's channels, largest map first.
        in_channels: channels of the embedding, whose sides are half of those of the last scale.
        reductions: image side over map side of each scale, twofold apart.
        depths: residual units of each scale, largest map first; those of the teacher in reversed order.
        bottleneck: kind of the units, see `Residual`.
        width: of the units' middle, see `Residual`.
        last_relu: each scale's map passes a ReLU at its end, as a ResNet's features do. Without it the map may have
            both signs, as the features of EfficientNets have.
        block: class of a block behind the units of each scale, such as FRM; None for none.
        norm: norm class.

    Raises:
        ContractError: the input's channels are not `in_channels`.
        ValueError: `depths` or `reductions` do not fit `channels`.
    """

    takes_features = False

    def __init__(
        self,
        channels: Sequence[int] = (256, 512, 1024),
        *,
        in_channels: int = 2048,
        reductions: Sequence[int] | None = None,
        depths: Sequence[int] = (6, 4, 3),
        bottleneck: bool = True,
        width: float = 2.0,
        last_relu: bool = True,
        block: Block | None = None,
        norm: Norm = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        found = pyramid_reductions("residual", channels, reductions)
        below = [*found[1:], found[-1] * 2]
        if any(coarse != 2 * fine for fine, coarse in zip(found, below, strict=True)):
            raise ValueError(f"residual: the teacher's scales must be twofold apart, got reductions {list(found)}")
        if len(depths) != len(channels) or min(depths) < 1:
            raise ValueError(f"residual: depths must name a number above 0 per scale, got {list(depths)}")
        self.in_channels = in_channels
        self.ups = nn.ModuleList()
        self.units = nn.ModuleList()
        for c, wide, depth in zip(channels, [*channels[1:], in_channels], depths, strict=True):
            unit = functools.partial(Residual, bottleneck=bottleneck, width=width, norm=norm)
            relus = [*[True] * (depth - 1), last_relu]
            self.ups.append(unit(wide, out_channels=c, resize="up", last_relu=relus[0]))
            self.units.append(nn.Sequential(*(unit(c, last_relu=relu) for relu in relus[1:])))
        self.blocks = None if block is None else nn.ModuleList(block(c) for c in channels)

    def forward(self, x: Tensor, sizes: Sequence[tuple[int, int]] | None = None) -> list[Tensor]:
        """Embedding (b, in_channels, h, w) -> [(b, c_k, h_k, w_k), ...], largest map first.

        Args:
            x: the embedding.
            sizes: sides of each teacher map, largest first, needed if image sides are no multiple of the strides;
                default multiples of h and w.
        """
        require_map("residual", x, self.in_channels)
        if sizes is not None and len(sizes) != len(self.ups):
            raise ContractError(f"residual: expected the sides of {len(self.ups)} maps, got {len(sizes)}")
        made: list[Tensor] = []
        for i in reversed(range(len(self.ups))):
            x = self.ups[i](x)
            if sizes is not None:
                x = fitted(x, sizes[i])
            x = self.units[i](x)
            if self.blocks is not None:
                x = self.blocks[i](x)
            made.insert(0, x)
        return made
