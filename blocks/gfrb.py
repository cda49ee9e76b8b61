"""GFRB, the SSM-based global feature reconstruction block (eq. 1)."""

from __future__ import annotations

from torch import Tensor, nn

from dlkd.blocks.embed import Embed
from dlkd.blocks.frfn import FRFN
from dlkd.blocks.gfm import GFM
from dlkd.blocks.norm import Act, LayerNorm2d, Norm
from dlkd.blocks.scan.orders import ScanOrder
from dlkd.contract import require, require_map
from dlkd.registry import register


@register("block", "gfrb")
class GFRB(nn.Module):
    """Embed(FRFN(GFM(x))) + x, eq. 1.

    Args:
        channels: width of the map, a multiple of 4.
        d_state: states per channel of GFM's scan.
        expand: inner width of GFM over `channels`.
        scan: the orders in which GFM reads the map.
        gate: whether GFM gates the scan by SiLU(z).
        gfm_norm: norm class before GFM's scan.
        gfm_residual: whether GFM has a skip connection of its own, beside eq. 1's.
        hidden_ratio: hidden width of FRFN over `channels`.
        embed_ratio: middle width of the embedding over `channels`.
        norm: norm class of the embedding's convolutions.
        act: activation class of the embedding.
        backend: selective-scan backend.

    Raises:
        ContractError: `channels` is no multiple of 4, the input has other channels or a side under 2.

    >>> import torch
    >>> GFRB(8, scan="hilbert8", backend="torch")(torch.zeros(2, 8, 6, 9)).shape
    torch.Size([2, 8, 6, 9])
    >>> GFRB(6)
    Traceback (most recent call last):
    dlkd.contract.ContractError: gfrb: axis c must be multiple of 4, got 6
    """

    def __init__(
        self,
        channels: int,
        *,
        d_state: int = 16,
        expand: int = 2,
        scan: ScanOrder = "cross4",
        gate: bool = True,
        gfm_norm: Norm = LayerNorm2d,
        gfm_residual: bool = True,
        hidden_ratio: float = 2.0,
        embed_ratio: float = 0.25,
        norm: Norm = nn.BatchNorm2d,
        act: Act = nn.ReLU,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        require("gfrb", "c", channels, "multiple of 4")
        self.channels = channels
        self.gfm = GFM(
            channels,
            d_state=d_state,
            expand=expand,
            scan=scan,
            gate=gate,
            norm=gfm_norm,
            residual=gfm_residual,
            backend=backend,
        )
        self.frfn = FRFN(channels, hidden_ratio=hidden_ratio)
        self.embed = Embed(channels, ratio=embed_ratio, norm=norm, act=act)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, c, h, w)."""
        require_map("gfrb", x, self.channels, min_side=2)
        out: Tensor = self.embed(self.frfn(self.gfm(x))) + x
        return out
