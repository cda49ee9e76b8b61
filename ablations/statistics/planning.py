"""How many seeds and categories would show an effect of a given size, from the noise of trainings that are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

from dlkd.ablations.statistics.pairs import Pairs, variance
from dlkd.ablations.statistics.verdict import Scope

Floats = NDArray[np.float64]
WANTED = 0.8
"""Power that is planned for: the probability that a run shows the effect."""
MOST = 200
"""Most categories that are tried."""
_DRAWS = 4000


@dataclass(frozen=True)
class Target:
    """What a run has to show.

    Attributes:
        effect: the true mean difference, a fraction.
        comparisons: of its family. The effect is the only one, so that Holm's level of its interval is alpha divided by
            their number.
        margin: of the grid: an interval inside it says "equivalent".
        alpha: level of the family.
    """

    effect: float
    comparisons: int = 1
    margin: float = 0.005
    alpha: float = 0.05

    @property
    def level(self) -> float:
        """Of the interval that decides."""
        return self.alpha / self.comparisons


@dataclass(frozen=True)
class Noise:
    """What makes the differences of a comparison vary.

    Attributes:
        seeds: variance of a pair's difference in each category with two pairs or more.
        df: degrees of freedom of each.
        images: variance of each category's mean difference that its test images make, where their influences are known.
        images_df: degrees of freedom of each.
        spread: variance of the categories' true differences; NaN where only one category is known.
        n_pairs: pairs that it is found from.
        n_categories: their categories.
    """

    seeds: Floats
    df: Floats
    images: Floats
    images_df: Floats
    spread: float
    n_pairs: int
    n_categories: int

    @classmethod
    def of(cls, pairs: Pairs) -> Noise | None:
        """The noise of a comparison that was run; None where no category has two pairs, or nothing varies."""
        several = pairs.n > 1
        seeds = pairs.variance[several]
        if not seeds.any():
            return None
        spread = math.nan
        if len(pairs.n) > 1:
            spread = max(0.0, variance(pairs.means) - float((seeds.mean() / pairs.n).mean()))
        return cls(
            seeds=seeds,
            df=np.asarray(pairs.n[several] - 1, dtype=np.float64),
            images=pairs.image,
            images_df=pairs.image_df,
            spread=spread,
            n_pairs=int(pairs.n.sum()),
            n_categories=len(pairs.n),
        )

    @property
    def pair_sd(self) -> float:
        """Standard deviation of a pair's difference, over all categories."""
        return math.sqrt(self.seeds.mean())

    @property
    def high(self) -> Noise:
        """The same with the largest variance of seeds that the pairs allow (upper end of an 80% interval)."""
        df = float(self.df.sum())
        return replace(self, seeds=self.seeds * df / (2 * special.gammaincinv(df / 2, 0.1)))


PLAN_COLUMNS = [
    *("row", "other", "pair_sd", "spread", "n_pairs", "n_categories"),
    *("seeds", "seeds_high", "seeds_like", "categories"),
]


def plan(
    comparisons: Sequence[Pairs], effect: float, *, seeds: int, categories: int | None = None, margin: float = 0.005
) -> pd.DataFrame:
    """What would show an effect with a power of 80%, for each comparison of one family, by the noise of its pairs.

    Args:
        comparisons: all of the family, also those without a pair.
        effect: a fraction above `margin`.
        seeds: per category, 2 or more, for the column `categories`.
        categories: for the columns of seeds; default as many as the comparison's pairs have.
        margin: of the grid.

    Returns:
        A line per comparison: row, other; pair_sd (of a pair's difference within a category) and spread (standard
        deviation of the categories' true differences), both fractions; n_pairs and n_categories that they are from;
        seeds (per category, on these categories), seeds_high (the same with `Noise.high`), seeds_like (on categories
        like these, with no more categories) and categories (on categories like these, with `seeds` each). Infinity
        where no number of seeds, or not even `MOST` categories, are enough; NaN where nothing is known.

    Raises:
        ValueError: an effect that is not above the margin or not below 1, or no comparison.
    """
    if not comparisons:
        raise ValueError("there is one row only: an effect needs two rows to compare")
    if not margin < effect < 1:
        meant = f"above the margin {margin:g}, inside which differences do not matter, and below 1"
        raise ValueError(f"the effect is {effect:g}; give one {meant}")
    target = Target(effect, len(comparisons), margin)
    lines = [_planned(pairs, target, seeds, categories or len(pairs.n)) for pairs in comparisons]
    return pd.DataFrame(lines, columns=PLAN_COLUMNS)


def _planned(pairs: Pairs, target: Target, seeds: int, categories: int) -> dict[str, object]:
    line = {"row": pairs.row, "other": pairs.other, "n_pairs": int(pairs.n.sum()), "n_categories": len(pairs.n)}
    noise = Noise.of(pairs)
    if noise is None:
        return line
    wide = math.isfinite(noise.spread)
    return line | {
        "pair_sd": noise.pair_sd,
        "spread": math.sqrt(noise.spread) if wide else math.nan,
        "seeds": seeds_needed(noise, target, categories),
        "seeds_high": seeds_needed(noise.high, target, categories),
        "seeds_like": seeds_needed(noise, target, categories, "like") if wide and categories > 1 else math.nan,
        "categories": categories_needed(noise, target, seeds) if wide else math.nan,
    }


def power(noise: Noise, target: Target, seeds: float, categories: int, scope: Scope = "these") -> float:
    """Probability that a run gives the verdict "helps", as `verdict.verdicts` does, if the true effect is `target`'s.

    The width of the interval is drawn 4000 times, always with the same random numbers; the estimate is normal around
    the effect. More categories than the noise has repeat its own.

    Args:
        noise: of the comparison.
        target: what has to be shown.
        seeds: of each category, 2 or more; infinity gives the limit of any number of seeds.
        categories: how many; 2 or more for the scope "like".
        scope: "these" categories, or categories "like" these.
    """
    rng = np.random.default_rng(0)
    of_seeds = np.resize(noise.seeds, categories) / seeds
    terms = [(of_seeds, np.full(categories, seeds - 1.0))]
    if noise.images.any():
        terms.append((np.resize(noise.images, categories), np.resize(noise.images_df, categories)))
    half = _half_these(rng, [(term, df) for term, df in terms if term.any()], target.level)
    total = np.sum([term for term, _ in terms], axis=0)
    if scope == "like":
        total = of_seeds + noise.spread  # it holds what the images add
        half = np.maximum(half, _half_like(rng, total, target.level))
    error = math.sqrt(total.sum()) / categories
    least = np.maximum(half, target.margin - half)  # an estimate beyond it is above zero and not inside the margin
    if error == 0:
        return float(target.effect > target.margin)
    return float(special.ndtr((target.effect - least) / error).mean())


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


def _half_these(rng: np.random.Generator, terms: list[tuple[Floats, Floats]], level: float) -> Floats:
    """Draws of half the interval's width for these categories (Student's t with Welch-Satterthwaite's df).

    `terms` are variances of the categories' means, each with degrees of freedom: what seeds move, what images do.
    """
    if not terms:
        return np.zeros(_DRAWS)
    drawn = [term * rng.chisquare(df, (_DRAWS, len(df))) / df for term, df in terms]
    total = np.sum([each.sum(axis=1) for each in drawn], axis=0)
    squares = np.sum([(each**2 / df).sum(axis=1) for each, (_, df) in zip(drawn, terms, strict=True)], axis=0)
    return np.asarray(-special.stdtrit(total**2 / squares, level / 2) * np.sqrt(total) / len(terms[0][0]))


def _half_like(rng: np.random.Generator, total: Floats, level: float) -> Floats:
    """Draws of half the width of Student's t interval over the categories' means, which have these variances."""
    means = rng.standard_normal((_DRAWS, len(total))) * np.sqrt(total)
    se = np.sqrt(means.var(axis=1, ddof=1) / len(total))
    return np.asarray(-special.stdtrit(len(total) - 1, level / 2) * se)
