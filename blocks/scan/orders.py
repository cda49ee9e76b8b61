"""Scan orders: the curves along which SS2D reads a map, as permutations of its cells.

A curve is a permutation of the raster indices 0..h*w-1. Every order is a set of curves each walked both
ways, so only the forward half is kept: "cross4" is two curves (rows, columns) and their reverses.

Sources: rows and columns from VM-UNet's SS2D; Hilbert and zigzag families from MambaAD's hybrid scanning.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dlkd.blocks.kernels.traced import assumed_constant

ScanOrder = Literal["raster2", "cross4", "cross8", "hilbert8", "zigzag8"]
CPU = torch.device("cpu")
Raster = npt.NDArray[np.int64]  # raster indices arranged as a (h, w) grid, possibly flipped or transposed
Curve = npt.NDArray[np.int64]  # the same indices in walking order, (h*w,)


def curve_count(order: str) -> int:
    """How many curves `order` has, each walked both ways. Raises ValueError for an unknown name."""
    if order not in _ORDERS:
        raise ValueError(f'unknown scan order "{order}"; known: {", ".join(sorted(_ORDERS))}')
    return len(_ORDERS[order])


def scan_curves(order: str, h: int, w: int, device: torch.device = CPU) -> Tensor:
    """Curves of `order` on an h x w map: int32 (k, h*w), curve i visiting raster index [i, t] at step t.

    A GPU gets them once, for a copy to it would wait for all that it still has to do.
    """
    as_operator = torch.compiler.is_compiling() and not torch.compiler.is_exporting()
    curves: Tensor = (_as_operator if as_operator else _as_constant)(order, h, w, device)
    return curves


@assumed_constant
def _as_constant(order: str, h: int, w: int, device: torch.device) -> Tensor:
    return torch.tensor(_curves(order, h, w)) if device.type == "cpu" else _kept(order, h, w, device)


@torch.library.custom_op("dlkd::scan_curves", mutates_args=())
def _as_operator(order: str, h: int, w: int, device: torch.device) -> Tensor:
    """What `torch.compile` sees, which takes a constant of one name once only and a model has several scans."""
    curves: Tensor = _as_constant(order, h, w, device)
    return curves if device.type == "cpu" else curves.clone()  # an operator gives no tensor that others hold


@_as_operator.register_fake
def _(order: str, h: int, w: int, device: torch.device) -> Tensor:
    return torch.empty(curve_count(order), h * w, dtype=torch.int32, device=device)


@lru_cache(maxsize=256)
def _kept(order: str, h: int, w: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # a training saves for its backward what a score has put here
        return torch.tensor(_curves(order, h, w)).to(device)


def forget_curves() -> None:
    """Drop what was kept on devices, such as tensors without numbers."""
    _kept.cache_clear()


@lru_cache(maxsize=256)
def _curves(order: str, h: int, w: int) -> npt.NDArray[np.int32]:
    count = curve_count(order)
    grid = np.arange(h * w).reshape(h, w)
    if grid.size == 0:
        return np.empty((count, 0), np.int32)
    return np.stack([walk(grid) for walk in _ORDERS[order]]).astype(np.int32)


def _rows(grid: Raster) -> Curve:
    return grid.ravel()


def _columns(grid: Raster) -> Curve:
    return grid.T.ravel()


def _diagonals(grid: Raster) -> Curve:
    """Cells by anti-diagonal i + j, each from its top right end."""
    i, j = np.indices(grid.shape)
    return grid.ravel()[np.lexsort((i.ravel(), (i + j).ravel()))]


def _zigzag(grid: Raster) -> Curve:
    """Anti-diagonals walked alternately up and down, as in JPEG."""
    i, j = np.indices(grid.shape)
    diagonal = (i + j).ravel()
    along = np.where(diagonal % 2 == 0, j.ravel(), i.ravel())
    return grid.ravel()[np.lexsort((along, diagonal))]


def _hilbert(grid: Raster) -> Curve:
    """The Hilbert curve of the smallest enclosing 2^k square, less the cells outside the grid."""
    h, w = grid.shape
    side = 1 << (max(h, w) - 1).bit_length()
    i, j = _hilbert_cells(side)
    inside = (i < h) & (j < w)
    curve: Curve = grid[i[inside], j[inside]]
    return curve


def _hilbert_cells(side: int) -> tuple[Curve, Curve]:
    """Row and column of each step of the curve from the top left to the top right corner."""
    i = j = np.zeros(1, dtype=np.int64)
    half = 1
    while half < side:
        # Four half-size copies: transposed, as is, as is, transposed about the other diagonal.
        i, j = (
            np.concatenate([j, i + half, i + half, half - 1 - j]),
            np.concatenate([i, j, j + half, 2 * half - 1 - i]),
        )
        half *= 2
    return i, j


def _of(walk: Callable[[Raster], Curve], image: Callable[[Raster], Raster]) -> Callable[[Raster], Curve]:
    return lambda grid: walk(image(grid))


def _transposed(grid: Raster) -> Raster:
    return grid.T


def _flipped_rows(grid: Raster) -> Raster:
    return grid[::-1]


def _flipped_columns(grid: Raster) -> Raster:
    return grid[:, ::-1]


_ORDERS: dict[str, list[Callable[[Raster], Curve]]] = {
    "raster2": [_rows],
    "cross4": [_rows, _columns],
    "cross8": [_rows, _columns, _diagonals, _of(_diagonals, _flipped_columns)],
    # A Hilbert curve walked backwards is its own mirror image, so the four images are the rotations ...
    "hilbert8": [
        _hilbert,
        _of(_hilbert, _transposed),
        _of(_hilbert, _flipped_rows),
        _of(_hilbert, lambda grid: _flipped_columns(grid).T),
    ],
    # ... and a zigzag walked backwards is itself turned by 180 degrees, so they start at two corners.
    "zigzag8": [
        _zigzag,
        _of(_zigzag, _transposed),
        _of(_zigzag, _flipped_rows),
        _of(_zigzag, lambda grid: _flipped_rows(grid).T),
    ],
}
