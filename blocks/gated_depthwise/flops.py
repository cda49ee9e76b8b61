"""FLOPs of the fused middle of FRFN, for PyTorch's counter: those of its convolution, as of PyTorch's operators."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import prod

import torch


@cache
def register_formula() -> None:
    """Give the formula to PyTorch's counter; not on import, see `dlkd.blocks.scan.flops`."""
    from torch.utils.flop_counter import register_flop_formula

    register_flop_formula(torch.ops.dlkd.gated_depthwise)(convolution_flops)


def convolution_flops(value: Sequence[int], *others: object, out_shape: object = None) -> int:
    """Two per tap of the 3x3 window and number of the map; activations and biases are not counted."""
    del others, out_shape
    return 2 * 9 * prod(value)
