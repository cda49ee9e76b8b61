"""The fused selective scan and its backward, compiled by Numba: states live in registers, never in memory.

Legend: b batch, d channels, l sequence, n states, k directions, g groups; arrays are contiguous. u, z, y are
(b, d, l); dt is (b, k*d, l); A is (k*d, n); B, C and their gradients are (b, g, l, n), so that one step's n
values are one vector; D, dt_bias are (k*d,). Absent inputs are arrays of size 0. Step t of a direction is at
cell curve[t], or curve[l - 1 - t] in those directions that come after the last of the curves. The states
before every `interval` steps are kept for the backward, which walks each interval forward and then back.
"""

# Numba infers the types of kernels.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numba import njit

from dlkd.blocks.scan.numba_vector import (
    at_least,
    exp2,
    fma,
    load,
    log1p_of_unit,
    magnitude,
    spread,
    store,
    total,
    width_of,
)

LOG2E = 1 / math.log(2)
_LANES = width_of(16)  # for work along l
_ONE = width_of(1)

_inlined: Any = njit(nogil=True, error_model="numpy")


def _kernel(function: Any) -> Any:
    """Compiled, and kept on disk for the next process where there is a place to write."""
    try:
        return njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError as error:
        warnings.warn(
            f"Numba cannot keep compiled code, so every process compiles anew; set NUMBA_CACHE_DIR ({error})",
            stacklevel=2,
        )
        return _inlined(function)


@_kernel
def forward_rows(first, last, width, u, dt, A, B, C, D, z, dt_bias, softplus, curves, interval, y, states):
    """Rows first..last of the b * d rows of y, all directions summed; fills `states` unless its size is 0."""
    d, length = u.shape[1:]
    directions = dt.shape[1] // d
    groups = B.shape[1]
    n = len(width)
    intervals = (length + interval - 1) // interval
    A, B, C, states = A.reshape(-1), B.reshape(-1), C.reshape(-1), states.reshape(-1)
    steps = np.empty(length, u.dtype)
    for row in range(first, last):
        sample, c = row // d, row % d
        u_row = u[sample, c]
        out = y[sample, c]
        _skip_connection(u_row, D, c, d, directions, out)
        for k in range(directions):
            channel = k * d + c
            _step_sizes(dt[sample, channel], dt_bias, channel, softplus, steps)
            curve = curves[k % curves.shape[0]]
            origin, sign = (0, 1) if k < curves.shape[0] else (length - 1, -1)
            shared = (sample * groups + channel * groups // (directions * d)) * length
            kept = (sample * directions * d + channel) * intervals * n
            rate = load(A, channel * n, width) * LOG2E
            h = spread(0.0, A, width)
            for i in range(intervals):
                if states.size > 0:
                    store(states, kept + i * n, h)
                for t in range(i * interval, min((i + 1) * interval, length)):
                    cell = curve[origin + sign * t]
                    at = (shared + cell) * n
                    step = steps[cell]
                    h = fma(exp2(rate * step), h, load(B, at, width) * (step * u_row[cell]))
                    out[cell] += total(h * load(C, at, width))
        if z.size > 0:
            _gate(out, z[sample, c])


@_kernel
def backward_blocks(
    first, last, blocks, width, u, dt, A, B, C, D, z, dt_bias, softplus, curves, interval, states, dy,
    du, ddt, dA, dB, dC, dD, dz, ddt_bias,
):  # fmt: skip
    """Tasks first..last of the b * blocks tasks, each some channels of one sample; fills du and the rest.

    du: (b, d, l), ddt: (b, k*d, l), dA: (b, k*d, n), dB, dC: (blocks, b, g, l, n) zeroed by the caller,
    dD, ddt_bias: (b, k*d), dz: (b, d, l); those of absent inputs have size 0.
    """
    batch, d, length = u.shape
    directions = dt.shape[1] // d
    groups = B.shape[1]
    n = len(width)
    intervals = (length + interval - 1) // interval
    A, B, C, states = A.reshape(-1), B.reshape(-1), C.reshape(-1), states.reshape(-1)
    dA, dB, dC = dA.reshape(-1), dB.reshape(-1), dC.reshape(-1)
    steps = np.empty(length, u.dtype)
    decays = np.empty(interval * n, u.dtype)
    carried = np.empty(interval * n, u.dtype)
    grad = np.empty(length, u.dtype)
    scanned = np.empty(length if z.size > 0 else 0, u.dtype)
    for task in range(first, last):
        sample, block = task // blocks, task % blocks
        for c in range(block * d // blocks, (block + 1) * d // blocks):
            u_row = u[sample, c]
            du_row = du[sample, c]
            grad[:] = dy[sample, c]
            if z.size > 0:
                _gate(grad, z[sample, c])
                _skip_connection(u_row, D, c, d, directions, scanned)
            _skip_connection(grad, D, c, d, directions, du_row)
            for k in range(directions):
                channel = k * d + c
                _step_sizes(dt[sample, channel], dt_bias, channel, softplus, steps)
                ddt_row = ddt[sample, channel]
                curve = curves[k % curves.shape[0]]
                origin, sign = (0, 1) if k < curves.shape[0] else (length - 1, -1)
                group = sample * groups + channel * groups // (directions * d)
                shared = group * length
                summed = (block * batch * groups + group) * length
                kept = (sample * directions * d + channel) * intervals * n
                A_row = load(A, channel * n, width)
                rate = A_row * LOG2E
                dA_row = spread(0.0, A, width)
                from_next = spread(0.0, A, width)  # the next step's decay times the next state's gradient
                for i in range(intervals - 1, -1, -1):
                    start, stop = i * interval, min((i + 1) * interval, length)
                    h = load(states, kept + i * n, width)
                    for t in range(start, stop):
                        cell = curve[origin + sign * t]
                        at = (shared + cell) * n
                        step = steps[cell]
                        decay = exp2(rate * step)
                        old = decay * h
                        store(decays, (t - start) * n, decay)
                        store(carried, (t - start) * n, old)
                        h = fma(load(B, at, width), step * u_row[cell], old)
                        if scanned.size > 0:
                            scanned[cell] += total(h * load(C, at, width))
                    dA_part = spread(0.0, A, width)  # summing by interval keeps float32's digits in long sequences
                    for t in range(stop - 1, start - 1, -1):
                        cell = curve[origin + sign * t]
                        at = (shared + cell) * n
                        to = (summed + cell) * n
                        step = steps[cell]
                        entered = step * u_row[cell]
                        old = load(carried, (t - start) * n, width)
                        B_t = load(B, at, width)
                        store(dC, to, fma(fma(B_t, entered, old), grad[cell], load(dC, to, width)))
                        dh = fma(load(C, at, width), grad[cell], from_next)
                        store(dB, to, fma(dh, entered, load(dB, to, width)))
                        from_input = total(dh * B_t)
                        from_decay = dh * old
                        du_row[cell] += step * from_input
                        ddt_row[cell] = u_row[cell] * from_input + total(from_decay * A_row)
                        dA_part = fma(from_decay, step, dA_part)
                        from_next = dh * load(decays, (t - start) * n, width)
                    dA_row = dA_row + dA_part
                store(dA, (sample * directions * d + channel) * n, dA_row)
                if softplus:
                    _through_softplus(dt[sample, channel], dt_bias, channel, ddt_row)
                if ddt_bias.size > 0:
                    ddt_bias[sample, channel] = _dot(ddt_row, ddt_row, False)
                if dD.size > 0:
                    dD[sample, channel] = _dot(grad, u_row, True)
            if z.size > 0:
                _gate_gradient(dy[sample, c], scanned, z[sample, c], dz[sample, c])


@_inlined
def _skip_connection(x, D, c, d, directions, out):
    """out = x times the sum of the directions' D."""
    weight = x.dtype.type(0)
    if D.size > 0:
        for k in range(directions):
            weight += D[k * d + c]
    for t in range(x.size):
        out[t] = weight * x[t] if D.size > 0 else x.dtype.type(0)


@_inlined
def _step_sizes(dt, dt_bias, channel, softplus, steps):
    """steps = softplus(dt + bias), or dt + bias."""
    bias = dt_bias[channel] if dt_bias.size > 0 else dt.dtype.type(0)
    if not softplus:
        for t in range(dt.size):
            steps[t] = dt[t] + bias
        return
    whole = dt.size - dt.size % len(_LANES)
    for t in range(0, whole, len(_LANES)):
        store(steps, t, _softplus(load(dt, t, _LANES) + bias))
    for t in range(whole, dt.size):
        store(steps, t, _softplus(load(dt, t, _ONE) + bias))


@_inlined
def _through_softplus(dt, dt_bias, channel, ddt):
    """ddt *= sigmoid(dt + bias)."""
    bias = dt_bias[channel] if dt_bias.size > 0 else dt.dtype.type(0)
    whole = dt.size - dt.size % len(_LANES)
    for t in range(0, whole, len(_LANES)):
        store(ddt, t, load(ddt, t, _LANES) * _sigmoid(load(dt, t, _LANES) + bias))
    for t in range(whole, dt.size):
        store(ddt, t, load(ddt, t, _ONE) * _sigmoid(load(dt, t, _ONE) + bias))


@_inlined
def _gate(x, z):
    """x *= silu(z)."""
    whole = x.size - x.size % len(_LANES)
    for t in range(0, whole, len(_LANES)):
        store(x, t, load(x, t, _LANES) * _silu(load(z, t, _LANES)))
    for t in range(whole, x.size):
        store(x, t, load(x, t, _ONE) * _silu(load(z, t, _ONE)))


@_inlined
def _gate_gradient(dy, scanned, z, dz):
    """dz = dy * scanned * silu'(z)."""
    whole = z.size - z.size % len(_LANES)
    for t in range(0, whole, len(_LANES)):
        store(dz, t, load(dy, t, _LANES) * load(scanned, t, _LANES) * _silu_slope(load(z, t, _LANES)))
    for t in range(whole, z.size):
        store(dz, t, load(dy, t, _ONE) * load(scanned, t, _ONE) * _silu_slope(load(z, t, _ONE)))


@_inlined
def _dot(x, y, product):
    """Sum of x * y, or of x alone, in as many partial sums as there are lanes."""
    whole = x.size - x.size % len(_LANES)
    sums = spread(0.0, x, _LANES)
    for t in range(0, whole, len(_LANES)):
        sums = fma(load(x, t, _LANES), load(y, t, _LANES), sums) if product else sums + load(x, t, _LANES)
    result = total(sums)
    for t in range(whole, x.size):
        result += x[t] * y[t] if product else x[t]
    return result


@_inlined
def _softplus(x):
    return at_least(x, 0.0) + log1p_of_unit(exp2(magnitude(x) * -LOG2E))


@_inlined
def _sigmoid(x):
    return 1.0 / (exp2(x * -LOG2E) + 1.0)


@_inlined
def _silu(x):
    return x * _sigmoid(x)


@_inlined
def _silu_slope(x):
    gate = _sigmoid(x)
    return gate * (x * (1.0 - gate) + 1.0)
