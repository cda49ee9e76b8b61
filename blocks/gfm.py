"""GFM, global feature modelling: VM-UNet's VSS block (the paper's [10])."""

from __future__ import annotations

from torch import Tensor, nn

from dlkd.blocks.norm import LayerNorm2d, Norm
from dlkd.blocks.scan.orders import ScanOrder
from dlkd.blocks.ss2d import SS2D
from dlkd.contract import require, require_map
from dlkd.registry import register


@register("block", "gfm")
class GFM(nn.Module):
    """x + SS2D(LayerNorm(x)): selective scans of the map along several orders ("hybrid scanning").

    Args:
        channels: width of the map.
        d_state: states per channel of the scan.
        expand: inner width over `channels`.
        scan: the orders in which the map is read, see `dlkd.blocks.scan.orders`.
        gate: multiply by SiLU(z) before the output projection, as VM-UNet does.
        norm: norm class before the scan.
        residual: the block's own skip connection, as in VM-UNet; False makes the block SS2D(LayerNorm(x)).
        backend: selective-scan backend, see `dlkd.blocks.scan.selective_scan`.

    Raises:
        ContractError: fewer than 2 channels, or the input has other channels or a side under 2.
        ValueError: `d_state` or `expand` is under 1.
    """

    def __init__(
        self,
        channels: int,
        *,
        d_state: int = 16,
        expand: int = 2,
        scan: ScanOrder = "cross4",
        gate: bool = True,
        norm: Norm = LayerNorm2d,
        residual: bool = True,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        require("gfm", "c", channels, ">= 2")
        if d_state < 1 or expand < 1:
            raise ValueError(f"gfm: d_state and expand must be at least 1, got {d_state} and {expand}")
        self.channels = channels
        self.norm = norm(channels)
        self.residual = residual
        self.ss2d = SS2D(channels, d_state=d_state, expand=expand, scan=scan, gate=gate, backend=backend)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, c, h, w)."""
        require_map("gfm", x, self.channels, min_side=2)
        out: Tensor = self.ss2d(self.norm(x))
        return x + out if self.residual else out
