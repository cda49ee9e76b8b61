"""What DLKD's student makes of a batch."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Reconstruction:
    """The student's output for one batch; lists hold one map per scale, largest first.

    Attributes:
        coarse: F_CS, [(b, c_k, h_k, w_k), ...].
        precise: F_PS, same shapes; the same tensors as `coarse` where there is no refiner.
        coarse_maps: M_C of eq. 7, [(b, h_k, w_k), ...].
        precise_maps: eq. 7 between the teacher's features and F_PS.
    """

    coarse: list[Tensor]
    precise: list[Tensor]
    coarse_maps: list[Tensor]
    precise_maps: list[Tensor]
