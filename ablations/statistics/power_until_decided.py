"""The probability that a run shows an effect if its comparisons get seeds until they are decided."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from dlkd.ablations.statistics.power import Noise, Target
from dlkd.ablations.statistics.verdict import MOST_SEEDS, SPENT

Floats = NDArray[np.float64]
_RUNS = 2000


@dataclass(frozen=True)
class Course:
    """What runs come to.

    Attributes:
        shown: share of them with the verdict "helps".
        seeds: that they take per category, on average.
    """

    shown: float
    seeds: float


class UntilDecided:
    """Simulated runs, always with the same random numbers: a look at `first` seeds, then at one more while it is open.

    The rules are those of `looks.look_by_look`, for an effect that is the only one of its family.
    """

    def __init__(self, noise: Noise, target: Target, first: int, categories: int) -> None:
        """Draw the runs up to `verdict.MOST_SEEDS` seeds.

        Args:
            noise: of the comparison.
            target: what has to be shown.
            first: seeds of the first look; 2 at least decide something.
            categories: how many; more than the noise has repeat its own.
        """
        self._target, self._first = target, max(first, 2)
        rng = np.random.default_rng(0)
        sds = np.sqrt(np.resize(noise.seeds, categories))
        images, images_df = np.zeros(categories), np.ones(categories)
        if noise.images.any():
            images, images_df = np.resize(noise.images, categories), np.resize(noise.images_df, categories)
        drawn = target.effect + sds * rng.standard_normal((MOST_SEEDS, _RUNS, categories))
        shift = np.sqrt(images) * rng.standard_normal((_RUNS, categories))
        seen = images * rng.chisquare(images_df, (_RUNS, categories)) / images_df
        self._looks = {
            n: _look(drawn[:n].mean(axis=0) + shift, drawn[:n].var(axis=0, ddof=1) / n, seen, n, images_df)
            for n in range(self._first, MOST_SEEDS + 1)
        }

    def course(self, most: int) -> Course:
        """What the runs come to if a comparison gets `most` seeds at most."""
        is_open, shown, seeds = np.ones(_RUNS, dtype=bool), np.zeros(_RUNS, dtype=bool), np.zeros(_RUNS)
        for n in range(self._first, most + 1):
            seeds[is_open] = n
            helps, ends = self._looks[n].read(self._target, most)
            shown |= is_open & helps
            is_open &= ~ends
        return Course(float(shown.mean()), float(seeds.mean()))

    def most_needed(self, wanted: float) -> float:
        """The smallest limit of seeds with which this share of runs shows the effect; infinity for none allowed."""
        limits = range(self._first + 1, MOST_SEEDS + 1)
        return next((most for most in limits if self.course(most).shown >= wanted), math.inf)


@dataclass(frozen=True)
class _Look:
    """Estimate, standard error, the part of it that seeds move, and degrees of freedom, of each run with n seeds."""

    n: int
    estimate: Floats
    se: Floats
    se_seeds: Floats
    df: Floats

    def read(self, target: Target, most: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which runs say "helps", and which get no more seeds."""
        level = target.level * SPENT * self.n / most
        told = self._p(np.abs(self.estimate)) <= level
        inside = np.abs(self.estimate) < target.margin
        for edge in (target.margin - self.estimate, target.margin + self.estimate):
            inside[inside] = self._p(edge)[inside] < level
        # More seeds do not help where the images alone keep it open, as in `looks.can_be_decided`.
        half = -special.ndtri(target.level * SPENT / 2) * np.sqrt(np.maximum(self.se**2 - self.se_seeds**2, 0.0))
        never = (half >= target.margin) & (np.abs(self.estimate) + 2 * self.se_seeds <= half)
        return told & ~inside & (self.estimate > 0), told | inside | never

    def _p(self, distance: Floats) -> Floats:
        return np.asarray(2 * special.stdtr(self.df, -distance / self.se))


def _look(means: Floats, of_seeds: Floats, of_images: Floats, n: int, images_df: Floats) -> _Look:
    """From the categories' means (runs, categories) and the two parts of their variances."""
    categories = means.shape[1]
    seeds, total = of_seeds.sum(axis=1), (of_seeds + of_images).sum(axis=1)
    squares = (of_seeds**2 / (n - 1) + of_images**2 / images_df).sum(axis=1)
    return _Look(n, means.mean(axis=1), np.sqrt(total) / categories, np.sqrt(seeds) / categories, total**2 / squares)
