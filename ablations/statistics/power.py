"""The probability that a run shows an effect, by the noise of trainings that are known."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from dlkd.ablations.statistics.pairs import Pairs, variance
from dlkd.ablations.statistics.verdict import Scope

Floats = NDArray[np.float64]
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

    def with_images(self, times: float) -> Noise:
        """The same with so many times as many test images; infinity for images that add nothing."""
        return replace(self, images=self.images / times, images_df=(self.images_df + 2) * times - 2)


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
