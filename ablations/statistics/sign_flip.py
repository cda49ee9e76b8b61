"""Exact paired permutation tests, Holm's correction, and what such a test can detect at all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

EXACT_UP_TO = 16  # units; 2**16 sign patterns
DRAWS = 20_000  # Monte Carlo sign patterns beyond that
_POWER_TABLES = 2000
_SIMULATED_UP_TO = 12  # units; beyond, the sign-flip test's power is Student's


class SignFlip(NamedTuple):
    """Two-sided p, the smallest p that so many units can give, and how it was found."""

    p: float
    floor: float
    method: str


def sign_flip_test(
    differences: NDArray[np.float64], *, weights: NDArray[np.float64] | None = None, seed: int = 0
) -> SignFlip:
    """Test that paired differences, one per exchangeable unit, are symmetric about zero.

    The statistic is their weighted sum. All 2**n sign patterns are counted up to 16 units (Fisher, 1935,
    section 21). Beyond, 20,000 are drawn and the observed one is counted among them, so that p stays valid
    (Phipson and Smyth, 2010).
    """
    n = len(differences)
    if n == 0:
        return SignFlip(np.nan, np.nan, "no pairs")
    terms = differences if weights is None else differences * weights
    observed = abs(terms.sum())
    observed -= 1e-9 * np.abs(terms).sum()  # sums that tie on paper differ in the last bits
    if n <= EXACT_UP_TO:
        sums = _signs(n) @ terms
        return SignFlip(float(np.mean(np.abs(sums) >= observed)), sign_flip_floor(n), f"exact, {2**n} sign patterns")
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, 2, size=(DRAWS, n), dtype=np.int8) * 2 - 1
    extreme = np.count_nonzero(np.abs(signs @ terms) >= observed)
    return SignFlip((1 + extreme) / (1 + DRAWS), sign_flip_floor(n), f"Monte Carlo, {DRAWS} sign patterns")


def sign_flip_floor(units: int) -> float:
    """Smallest two-sided p that so many units can give."""
    return 2.0 ** (1 - units) if units <= EXACT_UP_TO else 1 / (1 + DRAWS)


def holm(p_values: Sequence[float]) -> NDArray[np.float64]:
    """p-values adjusted to hold the family-wise error (Holm, 1979). NaN stays NaN and counts as a test.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)  # NaN last
    stepped = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.full(len(p), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted


@lru_cache(maxsize=256)
def detectable_effect(units: int, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest true mean, in standard deviations of a unit, that the test shows with this power; inf if none.

    With few units the test's p-values come in coarse steps, so its power is simulated (normal units); with
    more it is that of Student's t.
    """
    if sign_flip_floor(units) > alpha:
        return float("inf")
    if units > _SIMULATED_UP_TO:
        critical = stats.t.ppf(1 - alpha / 2, units - 1)

        def shortfall(effect: float) -> float:
            reach = effect * np.sqrt(units)
            # scipy's noncentral t gives NaN in its far lower tail, where the probability is next to nothing.
            wrong_way = np.nan_to_num(stats.nct.cdf(-critical, units - 1, reach))
            return float(stats.nct.sf(critical, units - 1, reach) + wrong_way - power)
    else:
        signs = _signs(units)
        noise = signs @ np.random.default_rng(0).standard_normal((units, _POWER_TABLES))
        shift = signs.sum(axis=1, keepdims=True)
        allowed = int(alpha * len(signs) * (1 + 1e-9))  # patterns, the observed one among them, that still reject

        def shortfall(effect: float) -> float:
            sums = np.abs(noise + effect * shift)
            as_extreme = np.count_nonzero(sums >= sums[0] * (1 - 1e-12), axis=0)  # row 0 holds the signs as observed
            return float(np.mean(as_extreme <= allowed) - power)

    highest = 1.0
    while shortfall(highest) < 0:
        highest *= 2
    return float(optimize.bisect(shortfall, 0.0, highest, xtol=1e-3))


@lru_cache(maxsize=EXACT_UP_TO)
def _signs(n: int) -> NDArray[np.float64]:
    """Half of the 2**n sign patterns, all + first; the other half mirrors it: the same absolute sums."""
    bits = np.arange(2 ** (n - 1))[:, None] >> np.arange(n)
    return np.where(bits & 1, -1.0, 1.0)
