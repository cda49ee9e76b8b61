"""The fused selective scan and its backward, compiled by Numba: states live in registers, never in memory.

Legend: b batch, d channels, l sequence, n states, k directions, g groups; arrays are contiguous. u, z, y are
(b, d, l); dt is the memory of (b, k*d, l) with the strides of its first two axes; A is (k*d, n); B, C and their
gradients are (b, g, l, n), so that one step's n values are one vector; D, dt_bias are (k*d,). Absent inputs are
arrays of size 0. Step t of a direction is at cell curve[t], or curve[l - 1 - t] in those directions that come
after the last of the curves. The states before every `interval` steps are kept for the backward, which walks
each interval forward and then back.
"""

# Numba infers the types of kernels.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from dlkd.blocks.kernels.activations import LOG2E, sigmoid, silu, silu_slope, soft_plus
from dlkd.blocks.kernels.cache import inlined, kernel
from dlkd.blocks.kernels.vector import exp2, fma, item, load, put, spread, store, total, width_of

_LINE = 64  # bytes of a cache line
_LANES = width_of(16)  # for work along l
_ONE = width_of(1)


@kernel
def forward_rows(
    first, last, width, u, dt, dt_strides, A, B, C, D, z, dt_bias, softplus, curves, interval, y, states
):  # fmt: skip
    """Rows first..last of the b * d rows of y, all directions summed; fills `states` unless its size is 0."""
    d, length = u.shape[1:]
    directions = A.shape[0] // d
    groups = B.shape[1]
    n = len(width)
    intervals = (length + interval - 1) // interval
    A, B, C, states = A.reshape(-1), B.reshape(-1), C.reshape(-1), states.reshape(-1)
    steps, entered = np.empty(length, u.dtype), np.empty(length, u.dtype)
    decays = _vectors(interval * n, u)
    for row in range(first, last):
        sample, c = row // d, row % d
        u_row = u[sample, c]
        out = y[sample, c]
        _skip_connection(u_row, D, c, d, directions, out)
        for k in range(directions):
            channel = k * d + c
            _step_sizes(_row(dt, dt_strides, sample, channel, length), dt_bias, channel, softplus, steps)
            _set_product(entered, steps, u_row)
            curve = curves[k % curves.shape[0]]
            origin, sign = (0, 1) if k < curves.shape[0] else (length - 1, -1)
            shared = (sample * groups + channel * groups // (directions * d)) * length * n
            B_k, C_k = B[shared : shared + length * n], C[shared : shared + length * n]
            kept = (sample * directions * d + channel) * intervals * n
            rate = load(A, channel * n, width) * LOG2E
            h = spread(0.0, A, width)
            for i in range(intervals):
                if states.size > 0:
                    store(states, kept + i * n, h)
                start, stop = i * interval, min((i + 1) * interval, length)
                # Apart from the recurrence, so that the powers of many steps are under way at once.
                for t in range(start, stop):
                    store(decays, (t - start) * n, exp2(rate * item(steps, item(curve, origin + sign * t))))
                for t in range(start, stop):
                    cell = item(curve, origin + sign * t)
                    decay = load(decays, (t - start) * n, width)
                    h = fma(decay, h, load(B_k, cell * n, width) * item(entered, cell))
                    put(out, cell, item(out, cell) + total(h * load(C_k, cell * n, width)))
        if z.size > 0:
            _gate(out, z[sample, c])


@kernel
def backward_blocks(
    first, last, blocks, width, u, dt, dt_strides, A, B, C, D, z, dt_bias, softplus, curves, interval, states, dy,
    du, ddt, dA, dB, dC, dD, dz, ddt_bias,
):  # fmt: skip
    """Tasks first..last of the b * blocks tasks, each some channels of one sample; fills du and the rest.

    du: (b, d, l), ddt: as dt, dA: (b, k*d, n), dB, dC: (blocks, b, g, l, n) zeroed by the caller,
    dD, ddt_bias: (b, k*d), dz: (b, d, l); those of absent inputs have size 0.
    """
    batch, d, length = u.shape
    directions = A.shape[0] // d
    groups = B.shape[1]
    n = len(width)
    intervals = (length + interval - 1) // interval
    A, B, C, states = A.reshape(-1), B.reshape(-1), C.reshape(-1), states.reshape(-1)
    dA, dB, dC = dA.reshape(-1), dB.reshape(-1), dC.reshape(-1)
    steps, entered = np.empty(length, u.dtype), np.empty(length, u.dtype)
    from_input, from_decay = np.empty(length, u.dtype), np.empty(length, u.dtype)
    grad = np.empty(length, u.dtype)
    scanned = np.empty(length if z.size > 0 else 0, u.dtype)
    decays, carried = _vectors(interval * n, u), _vectors(interval * n, u)
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
                dt_row = _row(dt, dt_strides, sample, channel, length)
                ddt_row = _row(ddt, dt_strides, sample, channel, length)
                _step_sizes(dt_row, dt_bias, channel, softplus, steps)
                _set_product(entered, steps, u_row)
                curve = curves[k % curves.shape[0]]
                origin, sign = (0, 1) if k < curves.shape[0] else (length - 1, -1)
                group = sample * groups + channel * groups // (directions * d)
                shared = group * length * n
                summed = (block * batch * groups + group) * length * n
                B_k, C_k = B[shared : shared + length * n], C[shared : shared + length * n]
                dB_k, dC_k = dB[summed : summed + length * n], dC[summed : summed + length * n]
                kept = (sample * directions * d + channel) * intervals * n
                A_row = load(A, channel * n, width)
                rate = A_row * LOG2E
                dA_row = spread(0.0, A, width)
                from_next = spread(0.0, A, width)  # the next step's decay times the next state's gradient
                for i in range(intervals - 1, -1, -1):
                    start, stop = i * interval, min((i + 1) * interval, length)
                    h = load(states, kept + i * n, width)
                    for t in range(start, stop):
                        cell = item(curve, origin + sign * t)
                        decay = exp2(rate * item(steps, cell))
                        old = decay * h
                        store(decays, (t - start) * n, decay)
                        store(carried, (t - start) * n, old)
                        h = fma(load(B_k, cell * n, width), item(entered, cell), old)
                        if scanned.size > 0:
                            put(scanned, cell, item(scanned, cell) + total(h * load(C_k, cell * n, width)))
                    dA_part = spread(0.0, A, width)  # summing by interval keeps float32's digits in long sequences
                    for t in range(stop - 1, start - 1, -1):
                        cell = item(curve, origin + sign * t)
                        at = cell * n
                        old = load(carried, (t - start) * n, width)
                        B_t = load(B_k, at, width)
                        h = fma(B_t, item(entered, cell), old)
                        store(dC_k, at, fma(h, item(grad, cell), load(dC_k, at, width)))
                        dh = fma(load(C_k, at, width), item(grad, cell), from_next)
                        store(dB_k, at, fma(dh, item(entered, cell), load(dB_k, at, width)))
                        put(from_input, cell, total(dh * B_t))
                        decayed = dh * old
                        put(from_decay, cell, total(decayed * A_row))
                        dA_part = fma(decayed, item(steps, cell), dA_part)
                        from_next = dh * load(decays, (t - start) * n, width)
                    dA_row = dA_row + dA_part
                store(dA, (sample * directions * d + channel) * n, dA_row)
                _add_product(du_row, steps, from_input)
                ddt_row[:] = from_decay
                _add_product(ddt_row, u_row, from_input)
                if softplus:
                    _through_softplus(dt_row, dt_bias, channel, ddt_row)
                if ddt_bias.size > 0:
                    ddt_bias[sample, channel] = _dot(ddt_row, ddt_row, False)
                if dD.size > 0:
                    dD[sample, channel] = _dot(grad, u_row, True)
            if z.size > 0:
                _gate_gradient(dy[sample, c], scanned, z[sample, c], dz[sample, c])


@inlined
def _vectors(size, like):
    """Memory for vectors, none of which lies across two cache lines."""
    memory = np.empty(size + _LINE // like.itemsize, like.dtype)
    start = -memory.ctypes.data % _LINE // like.itemsize
    return memory[start : start + size]


@inlined
def _row(x, strides, sample, channel, length):
    """The l values of one channel in memory of (b, k*d, l) or (k*d, b, l); `strides` are those of the two axes."""
    start = sample * strides[0] + channel * strides[1]
    return x[start : start + length]


@inlined
def _skip_connection(x, D, c, d, directions, out):
    """out = x times the sum of the directions' D."""
    weight = x.dtype.type(0)
    if D.size > 0:
        for k in range(directions):
            weight += D[k * d + c]
    for t in range(x.size):
        out[t] = weight * x[t] if D.size > 0 else x.dtype.type(0)


@inlined
def _step_sizes(dt, dt_bias, channel, softplus, steps):
    """steps = softplus(dt + bias), or dt + bias."""
    bias = dt_bias[channel] if dt_bias.size > 0 else dt.dtype.type(0)
    if not softplus:
        for t in range(dt.size):
            steps[t] = dt[t] + bias
        return
    whole = dt.size - dt.size % len(_LANES)
    for t in range(0, whole, len(_LANES)):
        store(steps, t, soft_plus(load(dt, t, _LANES) + bias))
    for t in range(whole, dt.size):
        store(steps, t, soft_plus(load(dt, t, _ONE) + bias))


@inlined
def _set_product(out, x, y):
    """out = x * y."""
    for t in range(out.size):
        out[t] = x[t] * y[t]


@inlined
def _add_product(out, x, y):
    """out += x * y."""
    for t in range(out.size):
        out[t] += x[t] * y[t]


@inlined
def _through_softplus(dt, dt_bias, channel, ddt):
    """ddt *= sigmoid(dt + bias)."""
    bias = dt_bias[channel] if dt_bias.size > 0 else dt.dtype.type(0)
    whole = dt.size - dt.size % len(_LANES)
    for t in range(0, whole, len(_LANES)):
        store(ddt, t, load(ddt, t, _LANES) * sigmoid(load(dt, t, _LANES) + bias))
    for t in range(whole, dt.size):
        store(ddt, t, load(ddt, t, _ONE) * sigmoid(load(dt, t, _ONE) + bias))


@inlined
def _gate(x, z):
    """x *= silu(z)."""
    whole = x.size - x.size % len(_LANES)
    for t in range(0, whole, len(_LANES)):
        store(x, t, load(x, t, _LANES) * silu(load(z, t, _LANES)))
    for t in range(whole, x.size):
        store(x, t, load(x, t, _ONE) * silu(load(z, t, _ONE)))


@inlined
def _gate_gradient(dy, scanned, z, dz):
    """dz = dy * scanned * silu'(z)."""
    whole = z.size - z.size % len(_LANES)
    for t in range(0, whole, len(_LANES)):
        store(dz, t, load(dy, t, _LANES) * load(scanned, t, _LANES) * silu_slope(load(z, t, _LANES)))
    for t in range(whole, z.size):
        store(dz, t, load(dy, t, _ONE) * load(scanned, t, _ONE) * silu_slope(load(z, t, _ONE)))


@inlined
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
