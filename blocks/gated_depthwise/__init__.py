"""GELU(depthwise convolution of GELU(value)) * GELU(gate), the middle of FRFN, in one pass on a CPU."""

from dlkd.blocks.gated_depthwise.operator import gated_depthwise

__all__ = ["gated_depthwise"]
