"""SS2D: the two-dimensional selective scan of VMamba and VM-UNet.

Legend: b batch, c channels, i inner channels (expand * c), k directions, r dt_rank, n d_state, l = h * w.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.blocks.layout import in_layout_of
from dlkd.blocks.scan import ScanOrder, curve_count, directional_scan, require_backend, scan_curves
from dlkd.contract import require_map
from dlkd.registry import register


@register("block", "ss2d")
class SS2D(nn.Module):
    """Maps (b, c, h, w) -> (b, c, h, w): expand, depthwise convolution, scan in 2D, norm, gate, project back.

    The scan runs in float32 (float64 for a float64 module) under autocast too. Source: VM-UNet's SS2D, same parameter
    names and numbers.

    Args:
        channels: width of the map.
        d_state: states per channel of the scan.
        expand: inner width over `channels`.
        dt_rank: width from which the step sizes are made; "auto" is a sixteenth of `channels`, rounded up.
        scan: the orders in which the map is read: raster2, cross4, cross8, hilbert8 or zigzag8.
        gate: multiply by SiLU(z) before the output projection.
        dt_min: the least initial step size; they are drawn log-uniformly.
        dt_max: the largest.
        dt_init_floor: what initial step sizes are raised to, if they lie below it.
        act: activation class after the depthwise convolution.
        backend: selective-scan backend.

    >>> SS2D(8, d_state=4, scan="cross4", backend="torch")(torch.zeros(2, 8, 6, 9)).shape
    torch.Size([2, 8, 6, 9])
    """

    def __init__(
        self,
        channels: int,
        *,
        d_state: int = 16,
        expand: int = 2,
        dt_rank: int | str = "auto",
        scan: ScanOrder = "cross4",
        gate: bool = True,
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        dt_init_floor: float = 1e-4,
        act: type[nn.Module] = nn.SiLU,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        if not 0 < dt_min <= dt_max:
            raise ValueError(f"ss2d: dt_min and dt_max must be 0 < dt_min <= dt_max, got {dt_min} and {dt_max}")
        require_backend(backend)
        self.channels = channels
        self.d_state = d_state
        self.dt_rank = math.ceil(channels / 16) if dt_rank == "auto" else int(dt_rank)
        self.scan = scan
        self.gate = gate
        self.dt_min, self.dt_max, self.dt_init_floor = dt_min, dt_max, dt_init_floor
        self.backend = backend
        self.directions = k = 2 * curve_count(scan)
        inner = expand * channels

        self.in_proj = nn.Linear(channels, inner * (2 if gate else 1), bias=False)
        self.conv2d = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.act = act()
        self.x_proj_weight = nn.Parameter(torch.empty(k, self.dt_rank + 2 * d_state, inner))
        self.dt_projs_weight = nn.Parameter(torch.empty(k, inner, self.dt_rank))
        self.dt_projs_bias = nn.Parameter(torch.empty(k, inner))
        self.A_logs = nn.Parameter(torch.empty(k * inner, d_state))
        self.Ds = nn.Parameter(torch.empty(k * inner))
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, channels, bias=False)
        for parameter in (self.A_logs, self.Ds):
            parameter._no_weight_decay = True  # type: ignore[attr-defined]
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Mamba's initialisation of the state space; the layers keep PyTorch's own."""
        bound = self.x_proj_weight.shape[-1] ** -0.5
        self.x_proj_weight.uniform_(-bound, bound)
        bound = self.dt_rank**-0.5
        self.dt_projs_weight.uniform_(-bound, bound)
        log_dt = torch.empty_like(self.dt_projs_bias).uniform_(math.log(self.dt_min), math.log(self.dt_max))
        dt = log_dt.exp().clamp(min=self.dt_init_floor)
        self.dt_projs_bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # softplus of this is dt
        self.A_logs.copy_(torch.arange(1, self.d_state + 1).to(self.A_logs).log().expand_as(self.A_logs))
        self.Ds.fill_(1.0)

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> (b, c, h, w). Raises ContractError for other channels or a side under 2."""
        require_map("ss2d", x, self.channels, min_side=2)  # on a single cell no gradient reaches A_logs
        h, w = x.shape[2:]
        # Each half in the layout in which it is used: planes for the scan, channels last for the gate. As a
        # convolution, since a product of one matrix with a batch takes MKL twice as long on some processors.
        weights = self.in_proj.weight.chunk(2 if self.gate else 1)
        inner = F.conv2d(x.contiguous(), weights[0][..., None, None])
        u = self.act(self.conv2d(inner)).flatten(2)
        y = self.out_norm(self._scan_map(u, h, w).transpose(1, 2))  # (b, l, i)
        if self.gate:
            y = y * F.silu(F.linear(x.permute(0, 2, 3, 1).flatten(1, 2), weights[1]))
        return in_layout_of(torch.unflatten(self.out_proj(y).transpose(1, 2), 2, (h, w)), x)

    def _scan_map(self, u: Tensor, h: int, w: int) -> Tensor:
        """(b, i, l) -> (b, i, l). Projections act cell by cell, so they are made once, in raster order."""
        k, n = self.directions, self.d_state
        projected = F.conv1d(u, self.x_proj_weight.flatten(0, 1)[..., None])
        projected = torch.unflatten(projected, 1, (k, -1))  # (b, k, r + 2n, l)
        low_dt, B, C = torch.split(projected, [self.dt_rank, n, n], dim=2)
        dt = torch.einsum("kir,bkrl->bkil", self.dt_projs_weight, low_dt)  # on large maps half the time of a matmul
        return directional_scan(
            u,
            dt.flatten(1, 2),
            -self.A_logs.to(dt.dtype if dt.dtype == torch.float64 else torch.float32).exp(),
            B,
            C,
            self.Ds,
            curves=scan_curves(self.scan, h, w, u.device),
            dt_bias=self.dt_projs_bias.flatten(),
            dt_softplus=True,
            backend=self.backend,
        )
