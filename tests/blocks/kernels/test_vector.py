"""The vector functions inside the Numba kernels, against NumPy in higher precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from numba import njit

from dlkd.blocks.kernels import vector
from dlkd.blocks.kernels.activations import sigmoid, soft_plus
from dlkd.blocks.kernels.vector import load, store, width_of

DTYPES = [np.float32, np.float64]
_softplus = soft_plus
_sigmoid = sigmoid
_exp2 = vector.exp2
_total = vector.total


@njit
def _apply(which, x, y, width):
    total = x[0] - x[0]
    for i in range(0, x.size, len(width)):
        v = load(x, i, width)
        if which == 0:
            store(y, i, _exp2(v))
        elif which == 1:
            store(y, i, _softplus(v))
        else:
            store(y, i, _sigmoid(v))
        total += _total(v)
    return total


def applied(which: int, x: npt.NDArray[Any], width: int = 16) -> npt.NDArray[Any]:
    y = np.empty_like(x)
    _apply(which, x, y, width_of(width))
    return y


def largest_relative_error(got: npt.NDArray[Any], wanted: npt.NDArray[Any]) -> float:
    return float(np.max(np.abs(got - wanted) / np.abs(wanted)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 3, 16])
def test_exp2_is_right_to_the_last_digit(dtype: type, width: int) -> None:
    limit = np.finfo(dtype).maxexp - 3
    x = np.linspace(-limit, limit, 4800, dtype=dtype)
    assert largest_relative_error(applied(0, x, width), np.exp2(x.astype(np.longdouble))) < np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", DTYPES)
def test_exp2_beyond_the_range(dtype: type) -> None:
    x = np.array([np.nan, -np.inf, -1e30, -2000, 0, 1, 1e30, np.inf], dtype)
    np.testing.assert_array_equal(applied(0, x, 4), np.array([np.nan, 0, 0, 0, 1, 2, np.inf, np.inf], dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_softplus_keeps_its_digits_at_both_ends(dtype: type) -> None:
    x = np.linspace(-60, 60, 4800, dtype=dtype)
    wanted = np.logaddexp(0, x.astype(np.longdouble))
    assert largest_relative_error(applied(1, x), wanted) < 60 * np.finfo(dtype).eps
    ends = np.array([-np.inf, -1e4, 1e4, np.inf, np.nan, 0, 25, -25], dtype)
    got = applied(1, ends, 4)
    np.testing.assert_array_equal(got[:5], np.array([0, 0, 1e4, np.inf, np.nan], dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_sigmoid(dtype: type) -> None:
    x = np.linspace(-60, 60, 4800, dtype=dtype)
    assert largest_relative_error(applied(2, x), 1 / (1 + np.exp(-x.astype(np.longdouble)))) < 60 * np.finfo(dtype).eps
    ends = np.array([-np.inf, -1e4, 1e4, np.inf], dtype)
    np.testing.assert_array_equal(applied(2, ends, 4), np.array([0, 0, 1, 1], dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 2, 3, 16, 64])
def test_total_sums_every_lane(dtype: type, width: int) -> None:
    x = np.arange(1, 193, dtype=dtype)
    assert _apply(0, x, np.empty_like(x), width_of(width)) == x.sum()
