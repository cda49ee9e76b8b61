"""The middle of FRFN and its backward in one pass over a map, compiled by Numba.

Legend: b samples, h rows, w columns, c channels. value, gate, out and their gradients are the memory of (b, h, w, c),
weight and its gradient that of (9, c), one tap of the 3x3 window after another; bias is (c,). A task is a band of rows
of one sample. It walks down the band and keeps the last three rows of what their neighbours need in buffers that fit a
core's cache, each (w + 2, c). The first and last column, and rows beyond the map, are zeros, as the convolution pads.
"""

# Numba infers the types of kernels.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np

from dlkd.blocks.kernels.activations import gelu, gelu_and_slope
from dlkd.blocks.kernels.cache import inlined, kernel
from dlkd.blocks.kernels.vector import fma, load, spread, store


@kernel
def forward_bands(first, last, bands, width, shape, value, gate, weight, bias, out):
    """Bands first..last of the b * bands bands of out."""
    h, w, c = shape
    active = _three_rows(value, w, c)
    for task in range(first, last):
        sample, band = task // bands, task % bands
        top, bottom = h * band // bands, h * (band + 1) // bands
        for y in range(top - 1, bottom + 1):
            _activate(value, sample, y, shape, active, active[:0], width)
            if y <= top:
                continue
            row = (sample * h + y - 1) * w * c
            above, level, below = _rows(y - 1, w, c)
            for at in range(0, w * c, c):
                for v in range(0, c, len(width)):
                    start = load(bias, v, width)
                    seen = _window(active, above + at + v, level + at + v, below + at + v, weight, v, c, start, width)
                    i = row + at + v
                    store(out, i, gelu(seen) * gelu(load(gate, i, width)))


@kernel
def backward_bands(
    first, last, bands, width, shape, value, gate, weight, bias, dout, dvalue, dgate, dweight, dbias
):  # fmt: skip
    """Bands first..last of the gradients; dweight (b * bands, 9, c) and dbias (b * bands, c) are zeros at first."""
    h, w, c = shape
    active, slopes, inner = _three_rows(value, w, c), _three_rows(value, w, c), _three_rows(value, w, c)
    mirrored = np.empty(9 * c, weight.dtype)
    for tap in range(9):
        mirrored[tap * c : (tap + 1) * c] = weight[(8 - tap) * c : (9 - tap) * c]
    for task in range(first, last):
        sample, band = task // bands, task % bands
        top, bottom = h * band // bands, h * (band + 1) // bands
        for y in range(top - 2, bottom + 2):
            _activate(value, sample, y, shape, active, slopes, width)
            if y >= top:
                own = top <= y - 1 < bottom  # else it is the neighbour of a row of this band
                _gradient_inside(gate, dout, dgate, weight, bias, sample, y - 1, own, shape, active, inner, width)
                if own:
                    _add_to_weights(dweight, dbias, task, y - 1, shape, active, inner, width)
            if y >= top + 2:
                _gradient_of_value(dvalue, mirrored, sample, y - 2, shape, slopes, inner, width)


@inlined
def _three_rows(like, w, c):
    return np.zeros(3 * (w + 2) * c, like.dtype)


@inlined
def _rows(y, w, c):
    """Where the rows above, at and below y begin in a buffer of three rows; each begins with a column of zeros."""
    row = (w + 2) * c
    return (y + 2) % 3 * row, (y + 3) % 3 * row, (y + 4) % 3 * row


@inlined
def _window(rows, above, level, below, weight, v, c, total, width):
    """total + the 3x3 window of the channels from v; the places are those of the column before."""
    total = fma(load(rows, above, width), load(weight, v, width), total)
    total = fma(load(rows, above + c, width), load(weight, v + c, width), total)
    total = fma(load(rows, above + 2 * c, width), load(weight, v + 2 * c, width), total)
    total = fma(load(rows, level, width), load(weight, v + 3 * c, width), total)
    total = fma(load(rows, level + c, width), load(weight, v + 4 * c, width), total)
    total = fma(load(rows, level + 2 * c, width), load(weight, v + 5 * c, width), total)
    total = fma(load(rows, below, width), load(weight, v + 6 * c, width), total)
    total = fma(load(rows, below + c, width), load(weight, v + 7 * c, width), total)
    return fma(load(rows, below + 2 * c, width), load(weight, v + 8 * c, width), total)


@inlined
def _activate(value, sample, y, shape, active, slopes, width):
    """Row y of GELU(value) into `active`, of its slope into `slopes` unless that is empty; zeros beyond the map."""
    h, w, c = shape
    _, into, _ = _rows(y, w, c)
    if y < 0 or y >= h:
        active[into : into + (w + 2) * c] = 0
        return
    row = (sample * h + y) * w * c
    for i in range(0, w * c, len(width)):
        if slopes.size > 0:
            activated, slope = gelu_and_slope(load(value, row + i, width))
            store(active, into + c + i, activated)
            store(slopes, into + c + i, slope)
        else:
            store(active, into + c + i, gelu(load(value, row + i, width)))


@inlined
def _gradient_inside(gate, dout, dgate, weight, bias, sample, y, own, shape, active, inner, width):
    """Row y of the convolution's gradient into `inner`, zeros beyond the map; of dgate too if `own`."""
    h, w, c = shape
    above, level, below = _rows(y, w, c)
    if y < 0 or y >= h:
        inner[level : level + (w + 2) * c] = 0
        return
    row = (sample * h + y) * w * c
    for at in range(0, w * c, c):
        for v in range(0, c, len(width)):
            i = at + v
            start = load(bias, v, width)
            seen = _window(active, above + i, level + i, below + i, weight, v, c, start, width)
            activated, slope = gelu_and_slope(seen)
            opened, gate_slope = gelu_and_slope(load(gate, row + i, width))
            grad = load(dout, row + i, width)
            store(inner, level + c + i, grad * opened * slope)
            if own:
                store(dgate, row + i, grad * activated * gate_slope)


@inlined
def _add_to_weights(dweight, dbias, task, y, shape, active, inner, width):
    """The share of row y in the gradients of the weights and of the bias."""
    _, w, c = shape
    _, level, _ = _rows(y, w, c)
    for v in range(0, c, len(width)):
        total = load(dbias, task * c + v, width)
        for at in range(c, (w + 1) * c, c):
            total = total + load(inner, level + at + v, width)
        store(dbias, task * c + v, total)
        for dy in range(3):
            seen, _, _ = _rows(y + dy, w, c)  # the row y - 1 + dy
            tap = (task * 9 + 3 * dy) * c + v
            left, middle = load(dweight, tap, width), load(dweight, tap + c, width)
            right = load(dweight, tap + 2 * c, width)
            before, here = load(active, seen + v, width), load(active, seen + c + v, width)
            for at in range(c, (w + 1) * c, c):
                grad = load(inner, level + at + v, width)
                after = load(active, seen + at + c + v, width)
                left, middle, right = fma(before, grad, left), fma(here, grad, middle), fma(after, grad, right)
                before, here = here, after
            store(dweight, tap, left)
            store(dweight, tap + c, middle)
            store(dweight, tap + 2 * c, right)


@inlined
def _gradient_of_value(dvalue, mirrored, sample, y, shape, slopes, inner, width):
    """Row y of dvalue: the convolution backwards, through the first activation."""
    h, w, c = shape
    above, level, below = _rows(y, w, c)
    row = (sample * h + y) * w * c
    nothing = spread(0.0, inner, width)
    for at in range(0, w * c, c):
        for v in range(0, c, len(width)):
            i = at + v
            grad = _window(inner, above + i, level + i, below + i, mirrored, v, c, nothing, width)
            store(dvalue, row + i, grad * load(slopes, level + c + i, width))
