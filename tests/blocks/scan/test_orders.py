"""Scan orders: permutations for every size, and each the curve that its name says."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from dlkd.blocks.scan import ScanOrder, curve_count, scan_curves

ORDERS = get_args(ScanOrder)
sides = st.integers(1, 20)


def steps_of(curve: Tensor, w: int) -> Tensor:
    """Row and column distance of every step, (l - 1, 2)."""
    cells = torch.stack([curve // w, curve % w], dim=1)
    return cells.diff(dim=0)


@pytest.mark.parametrize("order", ORDERS)
@given(h=sides, w=sides)
def test_every_curve_visits_every_cell_once(order: str, h: int, w: int) -> None:
    curves = scan_curves(order, h, w)
    assert curves.shape == (curve_count(order), h * w)
    assert torch.equal(curves.sort(dim=1).values, torch.arange(h * w, dtype=torch.int32).expand_as(curves))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("h", "w"), [(8, 8), (7, 7), (5, 9), (16, 3)])
def test_directions_differ(order: str, h: int, w: int) -> None:
    curves = scan_curves(order, h, w)
    directions = {tuple(curve.tolist()) for curve in [*curves, *curves.flip(1)]}
    assert len(directions) == 2 * curve_count(order) == int(order[-1])


def test_rows_columns_and_diagonals_of_a_small_map() -> None:
    assert scan_curves("raster2", 2, 3).tolist() == [[0, 1, 2, 3, 4, 5]]
    assert scan_curves("cross4", 2, 3).tolist() == [[0, 1, 2, 3, 4, 5], [0, 3, 1, 4, 2, 5]]
    assert scan_curves("cross8", 2, 3)[2:].tolist() == [[0, 1, 3, 2, 4, 5], [2, 1, 5, 0, 4, 3]]


def test_zigzag_is_jpegs() -> None:
    assert scan_curves("zigzag8", 4, 4)[0].tolist() == [0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15]


@pytest.mark.parametrize(("h", "w"), [(4, 4), (5, 7), (9, 2)])
def test_zigzag_steps_to_neighbours_only(h: int, w: int) -> None:
    for curve in scan_curves("zigzag8", h, w):
        assert steps_of(curve, w).abs().max() == 1


@pytest.mark.parametrize("side", [2, 4, 16])
def test_hilbert_steps_to_edge_neighbours_and_spans_each_edge(side: int) -> None:
    last = side - 1
    corners = {"ends": [], "steps": []}
    for curve in scan_curves("hilbert8", side, side):
        assert steps_of(curve, side).abs().sum(dim=1).eq(1).all()
        corners["ends"].append({int(curve[0]), int(curve[-1])})
    edges = [{0, last}, {0, last * side}, {last * side, side * side - 1}, {last, side * side - 1}]
    assert corners["ends"] == edges


def test_hilbert_keeps_quarters_together() -> None:
    curve = scan_curves("hilbert8", 8, 8)[0]
    for quarter in curve.reshape(4, 16):
        assert {(int(c) // 8 // 4, int(c) % 8 // 4) for c in quarter} == {
            (int(quarter[0]) // 8 // 4, int(quarter[0]) % 8 // 4)
        }


@pytest.mark.parametrize("order", ORDERS)
def test_empty_maps(order: str) -> None:
    assert scan_curves(order, 0, 5).shape == (curve_count(order), 0)


def test_a_caller_cannot_spoil_the_cache() -> None:
    scan_curves("raster2", 2, 2).zero_()
    assert scan_curves("raster2", 2, 2).tolist() == [[0, 1, 2, 3]]


def test_unknown_order_is_named_with_the_known() -> None:
    with pytest.raises(ValueError, match='unknown scan order "spiral"; known: cross4, cross8, hilbert8'):
        curve_count("spiral")
