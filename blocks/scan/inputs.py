"""What a selective scan reads, checked once for every backend."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class ScanInputs(NamedTuple):
    """u, z: (b, d, l); dt: (b, k*d, l); A: (k*d, n); B, C: (b, g, n, l); D, dt_bias: (k*d,).

    k is the number of directions that one u is scanned in, 1 but for SS2D. Channels fall into g consecutive
    groups that share B and C.
    """

    u: Tensor
    dt: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    z: Tensor | None
    dt_bias: Tensor | None

    def prepared(self, directions: int = 1) -> ScanInputs:
        """Checked, with a group axis in B and C, in the scan's precision: float64 if u is, else float32.

        Raises ValueError that names the input that does not fit u.
        """
        self._check_kinds()
        self._check_shapes(directions)
        dtype = torch.float64 if self.u.dtype == torch.float64 else torch.float32
        B, C = (x.unsqueeze(1) if x.dim() == 3 else x for x in (self.B, self.C))
        u, dt, A, B, C = (x.to(dtype) for x in (self.u, self.dt, self.A, B, C))
        D, z, dt_bias = (None if x is None else x.to(dtype) for x in (self.D, self.z, self.dt_bias))
        return ScanInputs(u, dt, A, B, C, D, z, dt_bias)

    def _check_kinds(self) -> None:
        for name, x in self._asdict().items():
            if x is None:
                continue
            if not x.is_floating_point():
                raise ValueError(f"selective_scan: {name} must be real floating point, got {x.dtype}")
            if x.device != self.u.device:
                raise ValueError(
                    f"selective_scan: {name} is on {x.device} and u on {self.u.device}; move them together"
                )

    def _check_shapes(self, directions: int) -> None:
        if self.u.dim() != 3:
            raise ValueError(f"selective_scan: u must be (b, d, l), got {tuple(self.u.shape)}")
        if self.A.dim() != 2:
            raise ValueError(f"selective_scan: A must be (d, n), got {tuple(self.A.shape)}")
        b, width, length = self.u.shape
        d, n = width * directions, self.A.shape[1]
        expected = {
            "dt": (self.dt, (b, d, length)),
            "A": (self.A, (d, n)),
            "D": (self.D, (d,)),
            "z": (self.z, (b, width, length)),
            "dt_bias": (self.dt_bias, (d,)),
        }
        for name, (x, shape) in expected.items():
            if x is not None and tuple(x.shape) != shape:
                raise ValueError(f"selective_scan: {name} must be {shape} to fit u, got {tuple(x.shape)}")
        for name, x in (("B", self.B), ("C", self.C)):
            if tuple(x.shape) == (b, n, length):
                continue
            if x.dim() != 4 or (x.shape[0], *x.shape[2:]) != (b, n, length) or x.shape[1] < 1 or d % x.shape[1]:
                raise ValueError(
                    f"selective_scan: {name} must be {(b, n, length)} or (b, g, n, l) with g dividing {d}, "
                    f"got {tuple(x.shape)}"
                )
        groups = [x.shape[1] if x.dim() == 4 else 1 for x in (self.B, self.C)]
        if groups[0] != groups[1]:
            raise ValueError(f"selective_scan: B has {groups[0]} groups, C {groups[1]}; they must agree")
