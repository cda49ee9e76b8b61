"""The memory layout of a block's output: that of its input, so that a block can stand in any other network."""

from __future__ import annotations

from torch import Tensor


def in_layout_of(out: Tensor, x: Tensor) -> Tensor:
    """A map (b, c, h, w), contiguous where the map x is.

    Others flatten maps by `view`, which takes contiguous ones alone (anomalib's loss of ReverseDistillation does so).
    """
    return out.contiguous() if x.is_contiguous() else out
