"""VT-ADL's encoder: a vision transformer that gives the code of each patch of an image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.contract import require, require_map
from dlkd.registry import register


@register("block", "vit")
class ViT(nn.Module):
    """Vision transformer (Dosovitskiy et al., ICLR 2021) as VT-ADL has it: pre-norm layers, no norm after the last.

    A class token takes part in the attention and is dropped. The logits of the attention are divided by the root of the
    whole width, not of a head's. Defaults are those of pankajmishra000/VT-ADL (docs/systems.md), and so is the start:
    He's for all matrices, biases at 0, class token and positions from a Gaussian of deviation 1.

    Args:
        channels: of the images.
        side: pixels of a side of the images.
        patch: pixels of a side of a patch.
        width: length of a code.
        depth: layers.
        heads: of the attention.
        mlp_width: of the hidden layer after each attention.

    Attributes:
        grid: patches along a side; there are `grid ** 2` codes.

    Raises:
        ContractError: the images have another side, or other channels.
        ValueError: `patch` does not divide `side`, `heads` not `width`, or a number is below 1.

    >>> ViT(3, side=32, patch=8, width=16, depth=1, heads=2, mlp_width=8)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 16, 16])
    """

    def __init__(
        self,
        channels: int = 3,
        *,
        side: int = 512,
        patch: int = 64,
        width: int = 512,
        depth: int = 6,
        heads: int = 8,
        mlp_width: int = 1024,
    ) -> None:
        super().__init__()
        sizes = {"side": side, "patch": patch, "width": width, "depth": depth, "heads": heads, "mlp_width": mlp_width}
        for name, value in sizes.items():
            if value < 1:
                raise ValueError(f"vit: {name} must be at least 1, got {value}")
        for name, whole, part, divisor in (("side", side, "patch", patch), ("width", width, "heads", heads)):
            if whole % divisor:
                raise ValueError(f"vit: {name} must be a multiple of {part}, got {whole} and {divisor}")
        self.channels, self.side, self.width = channels, side, width
        self.grid = side // patch
        self.embed = nn.Conv2d(channels, width, patch, patch)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.positions = nn.Parameter(torch.randn(1, self.grid**2 + 1, width))
        self.layers = nn.Sequential(*(Layer(width, heads, mlp_width) for _ in range(depth)))
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Images (b, channels, side, side) -> codes (b, grid ** 2, width), row by row."""
        require_map("vit", images, self.channels)
        for axis, length in zip("hw", images.shape[2:], strict=True):
            require("vit", axis, length, f"== {self.side}")
        patches = self.embed(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(images.shape[0], -1, -1), patches], dim=1)
        codes: Tensor = self.layers(tokens + self.positions)[:, 1:]
        return codes


class Layer(nn.Module):
    """Attention and a network of one hidden layer, each after a norm and added to what it takes."""

    def __init__(self, width: int, heads: int, mlp_width: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, mlp_width), nn.GELU(), nn.Linear(mlp_width, width))

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (b, n, width) -> the same shape."""
        b, n, width = x.shape
        qkv = self.qkv(self.norm1(x)).view(b, n, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, scale=width**-0.5)
        x = x + self.out(seen.transpose(1, 2).flatten(2))
        made: Tensor = x + self.mlp(self.norm2(x))
        return made
