"""Activations of vectors inside Numba kernels, and their slopes."""

# Numba infers the types of kernels.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math

from dlkd.blocks.kernels.cache import inlined
from dlkd.blocks.kernels.vector import (
    at_least,
    below_zero,
    exp2,
    log1p_of_unit,
    magnitude,
    tail_of_normal,
)

LOG2E = 1 / math.log(2)
_DENSITY = 1 / math.sqrt(2 * math.pi)


@inlined
def soft_plus(x):
    """log(1 + exp(x))."""
    return at_least(x, 0.0) + log1p_of_unit(exp2(magnitude(x) * -LOG2E))


@inlined
def sigmoid(x):
    """1 / (1 + exp(-x))."""
    return 1.0 / (exp2(x * -LOG2E) + 1.0)


@inlined
def silu(x):
    """x sigmoid(x)."""
    return x * sigmoid(x)


@inlined
def silu_slope(x):
    """The derivative of `silu`."""
    gate = sigmoid(x)
    return gate * (x * (1.0 - gate) + 1.0)


@inlined
def gelu(x):
    """x Phi(x), with the exact normal distribution Phi."""
    bell = exp2(x * x * (-0.5 * LOG2E))
    tail = tail_of_normal(magnitude(x)) * bell
    return x * below_zero(x, tail, 1.0 - tail)


@inlined
def gelu_and_slope(x):
    """`gelu`, and its derivative Phi(x) + x phi(x)."""
    bell = exp2(x * x * (-0.5 * LOG2E))
    tail = tail_of_normal(magnitude(x)) * bell
    below = below_zero(x, tail, 1.0 - tail)
    return x * below, x * bell * _DENSITY + below
