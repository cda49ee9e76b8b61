"""The fused selective scan and its backward for GPUs, in Triton: one program a row, parallel over steps and states.

Legend: b batch, d channels, l sequence, n states, k directions, g groups; arrays are contiguous. u, dy are
(b, d, l); dt, y, du, ddt are (b, k*d, l): each direction has its own y and du, which the caller sums. The rows
of dt and ddt may also lie by channel, so the strides of their first two axes are given. A is
(k*d, n); B, C and their gradients are (b, g, l, n), so that one step's n values are side by side; D, dt_bias
are (k*d,), or None. Step t of a direction is at cell curve[t], or curve[l - 1 - t] in those directions that
come after the last of the curves.

A program takes `STEPS` steps at a time as a tile (STEPS, WIDTH), WIDTH >= n a power of two, and joins them by
an associative scan; the states before every tile are kept for the backward, which takes the tiles from last to
first. What is beyond the sequence has dt = 0, a decay of 1 and no input, so that it changes nothing.
"""

# Triton infers the types of kernels.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

import triton
import triton.language as tl

_kernel: Any = triton.jit


@_kernel
def forward_kernel(
    u, dt, A, B, C, D, dt_bias, curves, y, states,
    d, length, groups, directions, curve_count, n, dt_sample, dt_channel,
    SOFTPLUS: tl.constexpr, STEPS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """y of one row of the b * k*d; fills `states` (b, k*d, tiles, n) unless it is None."""
    row = tl.program_id(0).to(tl.int64)
    sample, channel = row // (directions * d), row % (directions * d)
    direction, c = channel // d, channel % d
    curve = curves + direction % curve_count * length
    backwards = direction >= curve_count
    u += (sample * d + c) * length
    dt += sample * dt_sample + channel * dt_channel
    y += row * length
    shared = (sample * groups + channel * groups // (directions * d)) * length
    lanes = tl.arange(0, WIDTH)
    offsets = tl.arange(0, STEPS)
    rate = tl.load(A + channel * n + lanes, lanes < n, 0.0)
    bias = tl.load(dt_bias + channel) if dt_bias is not None else 0.0
    h = tl.zeros_like(rate)
    for start in range(0, length, STEPS):
        if states is not None:
            tl.store(states + (row * tl.cdiv(length, STEPS) + start // STEPS) * n + lanes, h, lanes < n)
        t = start + offsets
        inside = t < length
        both = inside[:, None] & (lanes < n)[None, :]
        cell = _cell(curve, t, inside, length, backwards)
        at = (shared + cell)[:, None] * n + lanes[None, :]
        value = tl.load(u + cell, inside, 0.0)
        step = _step(dt + cell, inside, bias, SOFTPLUS)
        entered = (step * value)[:, None] * tl.load(B + at, both, 0.0)
        decayed, local = tl.associative_scan((tl.exp(step[:, None] * rate[None, :]), entered), 0, _then)
        reached = local + decayed * h[None, :]
        out = tl.sum(reached * tl.load(C + at, both, 0.0), 1)
        if D is not None:
            out += tl.load(D + channel) * value
        tl.store(y + cell, out, inside)
        h = _row_of(reached, offsets, STEPS - 1)


@_kernel
def backward_kernel(
    u, dt, A, B, C, D, dt_bias, curves, states, dy, du, ddt, dA, dB, dC, dD, ddt_bias,
    d, length, groups, directions, curve_count, n, dt_sample, dt_channel,
    SOFTPLUS: tl.constexpr, STEPS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """One row of the b * k*d: its du and ddt, its (b, k*d, n) of dA, its (b, k*d) of dD and ddt_bias, unless None.

    dB and dC are zeroed by the caller and added to by every row of their group.
    """
    row = tl.program_id(0).to(tl.int64)
    sample, channel = row // (directions * d), row % (directions * d)
    direction, c = channel // d, channel % d
    curve = curves + direction % curve_count * length
    backwards = direction >= curve_count
    u += (sample * d + c) * length
    dy += (sample * d + c) * length
    dt += sample * dt_sample + channel * dt_channel
    ddt += sample * dt_sample + channel * dt_channel
    du += row * length
    shared = (sample * groups + channel * groups // (directions * d)) * length
    lanes = tl.arange(0, WIDTH)
    offsets = tl.arange(0, STEPS)
    tiles = tl.cdiv(length, STEPS)
    rate = tl.load(A + channel * n + lanes, lanes < n, 0.0)
    bias = tl.load(dt_bias + channel) if dt_bias is not None else 0.0
    skip = tl.load(D + channel) if D is not None else 0.0
    from_next = tl.zeros_like(rate)  # the next tile's first decay times the gradient of its first state
    dA_row = tl.zeros_like(rate)
    dD_row = tl.sum(tl.zeros_like(rate), 0)
    bias_row = tl.sum(tl.zeros_like(rate), 0)
    for i in range(tiles):
        tile = tiles - 1 - i
        t = tile * STEPS + offsets
        inside = t < length
        both = inside[:, None] & (lanes < n)[None, :]
        cell = _cell(curve, t, inside, length, backwards)
        at = (shared + cell)[:, None] * n + lanes[None, :]
        value = tl.load(u + cell, inside, 0.0)
        step = _step(dt + cell, inside, bias, SOFTPLUS)
        grad = tl.load(dy + cell, inside, 0.0)
        B_t = tl.load(B + at, both, 0.0)
        decay = tl.exp(step[:, None] * rate[None, :])

        # The state before each step: the scan of what was one step earlier, from the state before the tile.
        has_earlier = inside & (offsets > 0)
        earlier = _cell(curve, t - 1, has_earlier, length, backwards)
        earlier_at = (shared + earlier)[:, None] * n + lanes[None, :]
        earlier_step = _step(dt + earlier, has_earlier, bias, SOFTPLUS)
        earlier_entered = (earlier_step * tl.load(u + earlier, has_earlier, 0.0))[:, None] * tl.load(
            B + earlier_at, has_earlier[:, None] & (lanes < n)[None, :], 0.0
        )
        h = tl.load(states + (row * tiles + tile) * n + lanes, lanes < n, 0.0)
        decayed, local = tl.associative_scan((tl.exp(earlier_step[:, None] * rate[None, :]), earlier_entered), 0, _then)
        old = decay * (local + decayed * h[None, :])

        # The gradient of each state: its own output's, and the next state's through the next decay.
        has_later = (t + 1 < length) & (offsets < STEPS - 1)
        later = _cell(curve, t + 1, has_later, length, backwards)
        later_decay = tl.exp(_step(dt + later, has_later, bias, SOFTPLUS)[:, None] * rate[None, :])
        decayed, local = tl.associative_scan(
            (later_decay, tl.load(C + at, both, 0.0) * grad[:, None]), 0, _then, reverse=True
        )
        dh = local + decayed * from_next[None, :]
        from_next = _row_of(decay * dh, offsets, 0)

        entered = step * value
        tl.atomic_add(dC + at, (old + entered[:, None] * B_t) * grad[:, None], both, sem="relaxed")
        tl.atomic_add(dB + at, dh * entered[:, None], both, sem="relaxed")
        from_input = tl.sum(dh * B_t, 1)
        from_decay = dh * old
        dstep = value * from_input + tl.sum(from_decay * rate[None, :], 1)
        if SOFTPLUS:
            dstep *= 1.0 / (1.0 + tl.exp(-(tl.load(dt + cell, inside, 0.0) + bias)))
        tl.store(du + cell, step * from_input + skip * grad, inside)
        tl.store(ddt + cell, dstep, inside)
        dA_row += tl.sum(from_decay * step[:, None], 0)
        dD_row += tl.sum(grad * value, 0)
        bias_row += tl.sum(tl.where(inside, dstep, 0.0), 0)
    tl.store(dA + row * n + lanes, dA_row, lanes < n)
    if dD is not None:
        tl.store(dD + row, dD_row)
    if ddt_bias is not None:
        tl.store(ddt_bias + row, bias_row)


@_kernel
def _then(decay, state, next_decay, next_state):
    return decay * next_decay, next_decay * state + next_state


@_kernel
def _cell(curve, t, inside, length, backwards):
    """The cell of each step, 0 for those not `inside`."""
    return tl.load(curve + tl.where(backwards, length - 1 - t, t), inside, 0)


@_kernel
def _row_of(tile, offsets, index):
    return tl.sum(tl.where((offsets == index)[:, None], tile, 0.0), 0)


@_kernel
def _step(dt, inside, bias, SOFTPLUS: tl.constexpr):
    """softplus(dt + bias), or dt + bias; 0 outside."""
    x = tl.load(dt, inside, 0.0) + bias
    if SOFTPLUS:
        # log(1 + e) as 2 * atanh(e / (2 + e)), so that small e keep their digits
        e = tl.exp(-tl.abs(x))
        ratio = e / (2.0 + e)
        square = ratio * ratio
        series = tl.zeros_like(x)
        TERMS: tl.constexpr = 18 if x.dtype == tl.float64 else 9
        for k in tl.static_range(TERMS):
            series = series * square + 2.0 / (2 * (TERMS - 1 - k) + 1)
        x = tl.where(x > 0, x, 0.0) + ratio * series
    return tl.where(inside, x, 0.0)
