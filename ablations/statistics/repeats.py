"""Whether another run, with new seeds of the same categories, would give the same verdict."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

SETTLED = 0.8
MOST = 50  # seeds; beyond, nobody wants to know
_DRAWS = 4000


def repeat_probability(line: Mapping[str, Any], margin: float = 0.005) -> float:
    """Probability that a repeat with new seeds gives the verdict of `line`, of `verdict.verdicts`; NaN if unknown.

    The estimate and both standard errors are uncertain: the repeat's t is (t* sqrt(q1) + sqrt(2) z) / sqrt(q2), with
    q = chi2_df / df and z normal. A verdict that was reached is the one of a lucky table, so t* = t - 1/t there. Say
    "about": with 3 categories and 3 seeds it is up to 0.2 too high for small effects.
    """
    shares = _shares(line, int(line["n_seeds"]), margin)
    return shares.get(line["verdict"], math.nan) if shares else math.nan


def seeds_to_settle(line: Mapping[str, Any], margin: float = 0.005) -> int | None:
    """Seeds per category with which a run gives a verdict, the same in 8 of 10 runs, if the effect is as estimated.

    The verdict is that of `line`, or any but "open" where `line` is open. None if more than 50 would be needed, or if
    nothing is known.
    """

    def settled(seeds: int) -> bool:
        shares = _shares(line, seeds, margin)
        same = 1 - shares["open"] if line["verdict"] == "open" else shares[line["verdict"]]
        return same >= SETTLED

    tried = max(int(line["n_seeds"]), 2)
    if tried > MOST or not _shares(line, tried, margin):
        return None
    if settled(tried):
        return tried
    # Each number takes some milliseconds: the first of a few that settles, then the smallest since the one before.
    while tried < MOST:
        before, tried = tried, min(max(tried + 1, int(1.5 * tried)), MOST)
        if settled(tried):
            between = range(before + 1, tried + 1)
            return between[bisect_left(between, True, key=settled)]
    return None


def _shares(line: Mapping[str, Any], wanted: int, margin: float) -> dict[str, float]:
    """Share of each verdict among repeats with `wanted` seeds per category; empty where nothing is known."""
    se, df, seeds = line["se"], line["df"], line["n_seeds"]
    if not (se > 0 and df > 0 and seeds > 1):
        return {}
    more = wanted / seeds
    # More seeds lessen what seeds move, and give that part more degrees of freedom. Where categories' means vary less
    # than their seeds explain, seeds move all of it.
    moved = min((line["se_seeds"] / se) ** 2, 1.0)
    smaller = math.sqrt(moved / more + 1 - moved)
    df *= max((wanted - 1) / (seeds - 1), 1.0)
    t = line["estimate"] / se
    told = line["verdict"] in ("helps", "harms")
    shrunk = (t - 1 / t if told else t) / smaller
    first, second, z = _draws(round(df, 3))
    estimate = shrunk * first + math.sqrt(2 * moved / more) / smaller * z
    half = -float(special.stdtrit(df, line["level"] / 2)) * second
    inside = margin / se / smaller * first
    equivalent = (estimate - half > -inside) & (estimate + half < inside)
    helps = (estimate - half > 0) & ~equivalent
    harms = (estimate + half < 0) & ~equivalent
    shares = {"equivalent": equivalent.mean(), "helps": helps.mean(), "harms": harms.mean()}
    return {name: float(share) for name, share in shares.items()} | {"open": 1 - float(sum(shares.values()))}


@lru_cache(maxsize=256)
def _draws(df: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """sqrt(chi2_df / df) twice, and a normal; always the same draws, so that the same table gives the same sentence."""
    uniform = np.random.default_rng(0).random((3, _DRAWS))
    first, second = np.sqrt(2 * special.gammaincinv(df / 2, uniform[:2]) / df)
    return first, second, special.ndtri(uniform[2])
