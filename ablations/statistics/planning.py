"""How many seeds and categories would show an effect of a given size, from the noise of trainings that are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pandas as pd
from scipy import special

from dlkd.ablations.statistics.pairs import Pairs
from dlkd.ablations.statistics.power import Noise, Target, power
from dlkd.ablations.statistics.power_until_decided import UntilDecided
from dlkd.ablations.statistics.verdict import MOST_SEEDS, Scope

WANTED = 0.8
"""Power that is planned for: the probability that a run shows the effect."""
MOST = 200
"""Most categories that are tried."""

PLAN_COLUMNS = [
    *("row", "other", "pair_sd", "spread", "n_pairs", "n_categories"),
    *("seeds", "seeds_high", "seeds_like", "categories", "more_images", "seeds_then"),
    *("until_decided", "until_decided_high", "seeds_taken", "shown"),
]


def plan(
    comparisons: Sequence[Pairs],
    effect: float,
    *,
    seeds: int,
    categories: int | None = None,
    margin: float = 0.005,
    first: int | None = None,
    most: int = MOST_SEEDS,
) -> pd.DataFrame:
    """What would show an effect with a power of 80%, for each comparison of one family, by the noise of its pairs.

    Args:
        comparisons: all of the family, also those without a pair.
        effect: a fraction above `margin`.
        seeds: per category, 2 or more, for the column `categories`.
        categories: for the columns of seeds; default as many as the comparison's pairs have.
        margin: of the grid.
        first: seeds of the first look, where comparisons get seeds until they are decided; default `seeds`.
        most: limit of their seeds, for the columns `seeds_taken` and `shown`.

    Returns:
        A line per comparison: row, other; pair_sd (of a pair's difference within a category) and spread (standard
        deviation of the categories' true differences), both fractions; n_pairs and n_categories that they are from;
        seeds (per category, on these categories), seeds_high (the same with `Noise.high`), seeds_like (on categories
        like these, with no more categories) and categories (on categories like these, with `seeds` each); more_images
        (how many times as many test images are needed, 1 where these are enough) and seeds_then (with so many). Where
        seeds are added until all is decided: until_decided (the smallest limit), until_decided_high; seeds_taken (per
        category, on average) and shown (share of runs) with the limit `most`. Infinity where no number of seeds, none
        to `MOST_SEEDS`, or not even `MOST` categories, are enough; NaN where nothing is known.

    Raises:
        ValueError: an effect that is not above the margin or not below 1, or no comparison.
    """
    if not comparisons:
        raise ValueError("there is one row only: an effect needs two rows to compare")
    if not margin < effect < 1:
        meant = f"above the margin {margin:g}, inside which differences do not matter, and below 1"
        raise ValueError(f"the effect is {effect:g}; give one {meant}")
    target = Target(effect, len(comparisons), margin)
    looks = (seeds if first is None else first, most)
    lines = [_planned(pairs, target, seeds, categories or len(pairs.n), looks) for pairs in comparisons]
    return pd.DataFrame(lines, columns=PLAN_COLUMNS)


def _planned(pairs: Pairs, target: Target, seeds: int, categories: int, looks: tuple[int, int]) -> dict[str, object]:
    line = {"row": pairs.row, "other": pairs.other, "n_pairs": int(pairs.n.sum()), "n_categories": len(pairs.n)}
    noise = Noise.of(pairs)
    if noise is None:
        return line
    wide = math.isfinite(noise.spread)
    images = images_needed(noise, target, categories)
    runs = UntilDecided(noise, target, looks[0], categories)
    course = runs.course(looks[1])
    return line | {
        "pair_sd": noise.pair_sd,
        "spread": math.sqrt(noise.spread) if wide else math.nan,
        "seeds": seeds_needed(noise, target, categories),
        "seeds_high": seeds_needed(noise.high, target, categories),
        "seeds_like": seeds_needed(noise, target, categories, "like") if wide and categories > 1 else math.nan,
        "categories": categories_needed(noise, target, seeds) if wide else math.nan,
        "more_images": images,
        "seeds_then": seeds_needed(noise.with_images(images), target, categories),
        "until_decided": runs.most_needed(WANTED),
        "until_decided_high": UntilDecided(noise.high, target, looks[0], categories).most_needed(WANTED),
        "seeds_taken": course.seeds,
        "shown": course.shown,
    }


def seeds_needed(noise: Noise, target: Target, categories: int, scope: Scope = "these") -> float:
    """Seeds per category with which 8 of 10 runs show the effect; infinity where no number of seeds is enough."""
    if power(noise, target, math.inf, categories, scope) <= WANTED:
        return math.inf
    fewest = _fewest(target, noise.seeds.mean() / categories)
    return _least(lambda seeds: power(noise, target, seeds, categories, scope), fewest, math.inf)


def categories_needed(noise: Noise, target: Target, seeds: int) -> float:
    """Categories with which 8 of 10 runs show the effect on categories like these; infinity for more than `MOST`."""
    fewest = _fewest(target, noise.spread + noise.seeds.mean() / seeds)
    return _least(lambda categories: power(noise, target, seeds, categories, "like"), fewest, MOST)


def images_needed(noise: Noise, target: Target, categories: int) -> float:
    """How many times as many test images a number of seeds is enough with; 1 where it is with these.

    That number is at most twice what perfectly known images would take.
    """
    if not noise.images.any() or power(noise, target, math.inf, categories) > WANTED:
        return 1
    seeds = 2 * seeds_needed(noise.with_images(math.inf), target, categories)
    return _least(lambda times: power(noise.with_images(times), target, seeds, categories), 2, math.inf)


def _fewest(target: Target, of_one: float) -> int:
    """Fewer are never enough: a little under what a z test would need, if `of_one` were the known variance of one."""
    z = special.ndtri(WANTED) - special.ndtri(target.level / 2)
    return max(2, int(0.9 * of_one * (z / target.effect) ** 2))


def _least(reached: Callable[[int], float], fewest: int, most: float) -> float:
    """The smallest number from `fewest` to `most` with the wanted power, which grows with the number; else infinity."""
    below, tried = fewest - 1, fewest
    while tried <= most and reached(tried) < WANTED:
        below, tried = tried, 2 * tried - fewest + 1
    if tried > most:
        return math.inf
    while tried - below > 1:
        middle = (below + tried) // 2
        below, tried = (below, middle) if reached(middle) >= WANTED else (middle, tried)
    return tried
