"""MB-PFM's mapping: each of two networks' features predicted from the other's, through one shared layer."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dlkd.blocks.norm import Act, Norm
from dlkd.contract import ContractError, require, require_map
from dlkd.registry import register


@register("block", "feature_mapping")
class FeatureMapping(nn.Module):
    """Bidirectional mapping between the maps of two networks at one scale (Wan et al., 2022, MB-PFM).

    All convolutions are 1x1 with bias. Each direction has an encoder of two and a decoder of three, with norm and
    activation after all but the last; between them is one linear layer, the same for both directions.

    Args:
        channels: channels of the first and of the second map.
        latent: width of the shared layer's output.
        expand: width of what enters the shared layer and leaves the decoder's first convolution, over `latent`. The
            layer between it and a map has the mean of both widths.
        norm: norm class.
        act: activation class.

    Raises:
        ContractError: there are not two maps, their channels are not `channels`, or their batches or sides differ.
        ValueError: `latent` is below 1, or `expand * latent` is.

    >>> import torch
    >>> maps = [torch.zeros(2, 4, 8, 8), torch.zeros(2, 6, 8, 8)]
    >>> [tuple(x.shape) for x in FeatureMapping([4, 6], latent=5)(maps)]
    [(2, 4, 8, 8), (2, 6, 8, 8)]
    """

    def __init__(
        self,
        channels: Sequence[int] = (64, 256),
        *,
        latent: int = 200,
        expand: float = 2.0,
        norm: Norm = nn.BatchNorm2d,
        act: Act = nn.ReLU,
    ) -> None:
        super().__init__()
        if len(channels) != 2:
            raise ContractError(f"feature_mapping: channels must be those of two maps, got {list(channels)}")
        wide = round(expand * latent)
        if latent < 1 or wide < 1:
            raise ValueError(f"feature_mapping: latent and expand * latent must be at least 1, got {latent}, {expand}")
        self.channels = tuple(channels)
        self.encoders = nn.ModuleList()
        self.decoders = nn.ModuleList()
        for c in channels:
            middle = (c + wide) // 2
            self.encoders.append(nn.Sequential(*_layer(c, middle, norm, act), *_layer(middle, wide, norm, act)))
            inner = [*_layer(latent, wide, norm, act), *_layer(wide, middle, norm, act)]
            self.decoders.append(nn.Sequential(*inner, nn.Conv2d(middle, c, 1)))
        self.shared = nn.Conv2d(wide, latent, 1)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """[(b, c1, h, w), (b, c2, h, w)] -> of the same shapes the first predicted from the second, and vice versa."""
        if len(maps) != 2:
            raise ContractError(f"feature_mapping: expected two maps, got {len(maps)}")
        first, second = maps
        for x, c in zip(maps, self.channels, strict=True):
            require_map("feature_mapping", x, c)
        for axis, place in (("h", 2), ("w", 3)):
            require("feature_mapping", axis, second.shape[place], f"== {first.shape[place]}")
        if first.shape[0] != second.shape[0]:
            raise ContractError(f"feature_mapping: the maps' batches differ: {first.shape[0]} and {second.shape[0]}")
        codes = [self.shared(encode(x)) for encode, x in zip(self.encoders, maps, strict=True)]
        return [decode(code) for decode, code in zip(self.decoders, reversed(codes), strict=True)]


def _layer(inputs: int, outputs: int, norm: Norm, act: Act) -> tuple[nn.Module, nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, 1), norm(outputs), act()
