"""Resizing of images to the network's size: two products with matrices of weights, in float32, without rounding."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_BAND = 2**22
"""Values of the picture that are held as float32 at a time: 16 MB, however large the picture is."""


@lru_cache(maxsize=64)
def resize_weights(source: int, target: int) -> csr_array:
    """The matrix (target, source) that resizes an axis of `source` pixels to `target`: float32, each row sums to 1.

    Pixel i of the target has its centre at c = (i + 1/2) s in source pixels, with s = source / target. Source pixel j
    has the weight max(0, 1 - |j + 1/2 - c| / max(s, 1)) there, divided by the sum of its row: a triangle that is as
    wide as two pixels of the larger grid (antialiased bilinear: `antialias=True` in PyTorch, BILINEAR in Pillow).
    `.toarray()` is the matrix of a graph that repeats it. Raises ValueError on a size below 1.
    """
    from scipy.sparse import csr_array  # takes a fifth of a second, which most commands need not wait for

    if source < 1 or target < 1:
        raise ValueError(f"an axis of {source} pixels cannot be resized to {target}; both must be at least 1")
    scale = source / target
    width = max(scale, 1.0)
    centre = (np.arange(target) + 0.5) * scale
    near = np.floor(centre - width).astype(np.int64)[:, None] + np.arange(int(np.ceil(2 * width)) + 2)
    weights = np.maximum(0.0, 1.0 - np.abs(near + 0.5 - centre[:, None]) / width)
    weights[(near < 0) | (near >= source)] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    row, tap = np.nonzero(weights)
    return csr_array((weights[row, tap].astype(np.float32), (row, near[row, tap])), shape=(target, source))


def resize(picture: NDArray[np.uint8] | NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float32]:
    """Picture (h, w, c), grey levels of any type, at `size` (height, width): float32 (c, height, width).

    `V X H^T` of each channel X, with V = resize_weights(h, height) and H = resize_weights(w, width), V first. Grey
    levels keep their unit. A side that has the requested size already does not change in any bit. One thread, and the
    same
    bits on every machine that adds floats in order.
    """
    h, w, channels = picture.shape
    height, width = size
    shrunk = _product(resize_weights(h, height), picture.reshape(h, w * channels)) if h != height else picture
    across = np.ascontiguousarray(shrunk.reshape(height, w, channels).transpose(1, 2, 0)).reshape(w, channels * height)
    if w != width:
        across = _product(resize_weights(w, width), across)
    return np.ascontiguousarray(across.reshape(width, channels, height).transpose(1, 2, 0), dtype=np.float32)


def _product(weights: csr_array, values: NDArray[np.generic]) -> NDArray[np.float32]:
    """`weights @ values`, by bands of rows: a picture of 20 megapixels would take 240 MB as float32."""
    target, source = weights.shape
    rows = max(1, int(_BAND / max(1, values.shape[1]) * target / source))
    product = np.empty((target, values.shape[1]), dtype=np.float32)
    for start in range(0, target, rows):
        band = weights[start : start + rows]
        first, last = band.indices.min(), band.indices.max() + 1
        product[start : start + rows] = band[:, first:last] @ values[first:last].astype(np.float32)
    return product
