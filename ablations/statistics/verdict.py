"""What each comparison of a table comes to, from one estimate and one interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special  # scipy.stats takes half a second more to load

from dlkd.ablations.statistics.pairs import Pairs, paired, variance

Scope = Literal["these", "like"]
SPENT = 0.3  # share of alpha that each look may use, times seeds / max_seeds; holds for max_seeds up to MOST_SEEDS
MOST_SEEDS = 20


def verdicts(
    trials: pd.DataFrame,
    reference: str | Mapping[str, str],
    scope: Scope = "these",
    *,
    max_seeds: int | None = None,
    margin: float = 0.005,
    alpha: float = 0.05,
    influences: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Compare every row with the row `reference`, or each row of a mapping with the row it names, as one family.

    The estimate is the mean over categories of the mean difference over seeds (row - reference). Its interval and p
    hold after Holm's correction over all rows (Holm, 1979): the interval excludes zero exactly if p is at most `alpha`,
    and the verdict is read off the interval alone.

    Args:
        trials: a line per training: row, category, seed, value (a fraction; NaN where the training failed), and dataset
            where there are several. A training that is not there was not asked for.
        reference: the row that the others are compared with; {row: other row} where each has its own.
        scope: "these" speaks of new seeds of these categories: Student's t with the variance of each category and
            Welch-Satterthwaite's degrees of freedom. "like" speaks of categories like these: the wider of that and
            Student's t over the categories' means.
        max_seeds: the most seeds that a comparison may get, where seeds are added to those that are open. p and
            interval then hold at every look.
        margin: a difference within it, either way, does not matter.
        alpha: level of the family.
        influences: a line per training and test image: the columns of `trials` that name the training, image, anomalous
            (bool), influence (`dlkd.metrics.influences`). With it the claim is about new test images too, and `trials`
            may have it in `images.IMAGE_COLUMNS` instead.

    Returns:
        A line per comparison, in the order of the rows: row, other, estimate, low, high, p, verdict ("helps", "harms",
        "equivalent", "open"); se and df of the scope, se_seeds (the part of se that other seeds move) and the level of
        the interval, for `repeats`; new_images (whether the claim is about new test images too); n_seeds, n_pairs,
        n_categories; n_asked (trainings of the row that the other row was asked for too), n_failed of these and
        n_failed_other, of as many of the other row; wins (pairs that the row wins, ties half), worst (the estimate with
        each category's lowest value in place of failed trainings), and note.

    Raises:
        ValueError: an unknown reference or scope, a training that is there twice, more seeds than `max_seeds`.

    Example:
        >>> trials = pd.DataFrame(
        ...     {
        ...         "row": ["with"] * 4 + ["without"] * 4,
        ...         "category": ["brick", "brick", "gravel", "gravel"] * 2,
        ...         "seed": [0, 1] * 4,
        ...         "value": [0.90, 0.91, 0.85, 0.84, 0.70, 0.72, 0.66, 0.65],
        ...     }
        ... )
        >>> verdicts(trials, "without")[["row", "estimate", "verdict"]].round(2).to_dict("records")
        [{'row': 'with', 'estimate': 0.19, 'verdict': 'helps'}]
    """
    if scope not in ("these", "like"):
        raise ValueError(f"scope {scope!r} is unknown; give 'these' or 'like'")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}; give a fraction between 0 and 1, such as 0.05")
    if not margin >= 0:
        raise ValueError(f"margin is {margin}; give a fraction, such as 0.005 for half a point")
    lines = judge(paired(trials, reference, influences), scope, max_seeds=max_seeds, margin=margin, alpha=alpha)
    return pd.DataFrame(lines, columns=COLUMNS)


def judge(
    comparisons: Sequence[Pairs], scope: Scope, *, max_seeds: int | None, margin: float, alpha: float
) -> list[dict[str, Any]]:
    """The lines of `verdicts` for one family of comparisons."""
    spent = np.array([_share(pairs, max_seeds) for pairs in comparisons])
    narrow = [_these(pairs) for pairs in comparisons]
    found = _family(narrow, spent, alpha)
    tests = narrow
    if scope == "like":
        tests = [_wider(test, _means(pairs)) for test, pairs in zip(narrow, comparisons, strict=True)]
        wide = _family(tests, spent, alpha)
        # Holm may give a row a wider level here than there; the wide claim is never surer than the narrow one.
        found = [replace(w, half=max(w.half, n.half)) for w, n in zip(wide, found, strict=True)]
    return [_line(*each, margin) for each in zip(comparisons, tests, found, strict=True)]


COLUMNS = [
    *("row", "other", "estimate", "low", "high", "p", "verdict", "se", "se_seeds", "df", "level", "new_images"),
    *("n_pairs", "n_categories", "n_seeds", "n_asked", "n_failed", "n_failed_other", "wins", "worst", "note"),
]


@dataclass(frozen=True)
class _Test:
    """A t test: estimate / se with df degrees of freedom; `narrower` is a second one that has to agree."""

    estimate: float
    se: float
    df: float
    se_seeds: float = math.nan
    narrower: _Test | None = None

    @property
    def binding(self) -> _Test:
        """The one of the two whose p it is."""
        return self.narrower if self.narrower and self.narrower.p >= self._own_p else self

    @property
    def _own_p(self) -> float:
        if not self.df > 0 or not self.se > 0:  # nothing varied, or no pairs: nothing can be told
            return 1.0
        return 2 * float(special.stdtr(self.df, -abs(self.estimate) / self.se))

    @property
    def p(self) -> float:
        """Probability of an estimate as far from zero, where there is no effect."""
        return max(self._own_p, self.narrower.p) if self.narrower else self._own_p

    def half(self, level: float) -> float:
        """Half the width of the interval that misses with probability `level`."""
        if self.estimate == 0 and self.se == 0:
            return 0.0
        if not self.df > 0 or not self.se > 0:
            return math.inf
        own = -float(special.stdtrit(self.df, level / 2)) * self.se
        return max(own, self.narrower.half(level)) if self.narrower else own


@dataclass(frozen=True)
class _Found:
    p: float
    half: float
    level: float


def _these(pairs: Pairs) -> _Test:
    """New seeds of these categories (and new images of them, where their influences are known)."""
    n, variances = pairs.n, pairs.variance
    several = n > 1
    if not several.any():
        return _Test(pairs.estimate, 0.0 if pairs.identical else math.nan, math.nan)
    # A category with one pair borrows the mean variance of the others, whose weights carry it.
    weights = (1 / n + (1 / n[~several]).sum() / several.sum())[several]
    terms = [weights * variances[several], pairs.image]
    freedom = [n[several] - 1.0, pairs.image_df]
    total = sum(term.sum() for term in terms)
    if total == 0:
        return _Test(pairs.estimate, 0.0, math.nan)
    df = total**2 / sum(float((term**2 / df).sum()) for term, df in zip(terms, freedom, strict=True))
    se, se_seeds = math.sqrt(total) / len(n), math.sqrt(terms[0].sum()) / len(n)
    return _Test(pairs.estimate, se, df, se_seeds)


def _means(pairs: Pairs) -> _Test:
    """Categories like these: Student's t over the categories' means."""
    categories = len(pairs.means)
    if categories < 2:
        return _Test(pairs.estimate, math.nan, math.nan)
    se = math.sqrt(variance(pairs.means) / categories)
    return _Test(pairs.estimate, se, categories - 1)


def _wider(narrow: _Test, means: _Test) -> _Test:
    if not narrow.df > 0 or not narrow.se > 0 or means.se == 0:  # se 0: the same mean in every category
        return narrow
    return replace(means, se_seeds=narrow.se_seeds, narrower=narrow)


def _share(pairs: Pairs, max_seeds: int | None) -> float:
    """The share of alpha that this look may spend: p <= 0.3 alpha seeds / max_seeds at every look."""
    if max_seeds is None:
        return 1.0
    if max_seeds > MOST_SEEDS:
        raise ValueError(f"max_seeds is {max_seeds}; the rule for adding seeds holds to {MOST_SEEDS}")
    if pairs.n_seeds > max_seeds:
        raise ValueError(f"row {pairs.row!r} has {pairs.n_seeds} seeds, more than max_seeds {max_seeds}")
    return SPENT * max(pairs.n_seeds, 1) / max_seeds


def _family(tests: list[_Test], spent: NDArray[np.float64], alpha: float) -> list[_Found]:
    """Holm's p and the interval that belongs to it, for each test.

    With r tests told apart, the j-th smallest p (j <= r) has an interval of level alpha / (k - j + 1), the others of
    alpha / (k - r): zero is outside exactly where Holm rejects.
    """
    p = np.array([min(test.p / share, 1.0) for test, share in zip(tests, spent, strict=True)])
    k = len(p)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(k)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(k, 0, -1)), 1.0)
    told = adjusted <= alpha
    ranks = np.empty(k, dtype=int)
    ranks[order] = np.arange(k)
    families = np.where(told, k - ranks, max(k - int(told.sum()), 1))
    found = []
    for test, share, holm, is_told, size in zip(tests, spent, adjusted, told, families, strict=True):
        half = test.half(alpha / size * share)
        # Rounding at the level itself must not part the interval from p.
        edge = abs(test.estimate)
        if is_told and half >= edge:
            half = math.nextafter(edge, 0.0)
        elif not is_told and half < edge:
            half = edge
        found.append(_Found(float(holm), half, alpha / size * share))
    return found


def _line(pairs: Pairs, test: _Test, found: _Found, margin: float) -> dict[str, Any]:
    estimate, p = pairs.estimate, found.p
    low, high = estimate - found.half, estimate + found.half
    notes = [pairs.note]
    if pairs.n_failed or pairs.n_failed_other:
        # A row that fails now and then is at best as good as its other trainings: the interval holds the worst case.
        low, high = min(low, pairs.worst), max(high, pairs.worst)
        if (pairs.n_failed and estimate > 0) or (pairs.n_failed_other and estimate < 0) or low <= 0 <= high:
            low, high, p = min(low, 0.0), max(high, 0.0), 1.0  # a failed training is no way to win
    if not pairs.differences:
        p = math.nan
    elif pairs.identical:
        notes.append("identical in every cell")
    elif math.isinf(found.half):
        one_each = (pairs.n == 1).all()
        notes.append("one seed per category: train two or more" if one_each else "no spread to learn from")
    binding = test.binding
    return {
        **{"row": pairs.row, "other": pairs.other, "estimate": estimate, "low": low, "high": high, "p": p},
        **{"verdict": read(low, high, margin), "se": binding.se, "se_seeds": binding.se_seeds, "df": binding.df},
        **{"level": found.level, "new_images": pairs.new_images, "n_seeds": pairs.n_seeds},
        **{"n_pairs": int(pairs.n.sum()), "n_categories": len(pairs.n)},
        **{"n_asked": pairs.n_asked, "n_failed": pairs.n_failed, "n_failed_other": pairs.n_failed_other},
        **{"wins": pairs.wins, "worst": pairs.worst, "note": "; ".join(filter(None, notes))},
    }


def read(low: float, high: float, margin: float) -> str:
    """The verdict that an interval gives: inside the margin, above zero, below zero, or none of them."""
    if -margin < low and high < margin:
        return "equivalent"
    if low > 0:
        return "helps"
    return "harms" if high < 0 else "open"
