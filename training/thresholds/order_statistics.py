"""What an order statistic of n scores says of the next score: ranks for a wanted rate, and intervals of the rate.

The scores and the next one are taken as exchangeable (drawn alike, in an order that means nothing); that is all. The
next score is then as likely to fall into each of the n + 1 gaps between them: Vovk, Gammerman and Shafer, "Algorithmic
Learning in a Random World" (2005); Angelopoulos and Bates, "A Gentle Introduction to Conformal Prediction" (2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

LEVEL = 0.95
"""Of all intervals."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Rate:
    """A rate with its interval.

    Attributes:
        expected: of the next image; for a rate that was counted, the share.
        low: lower end of the 95% interval.
        high: upper end.
        images: how many images it rests on.
    """

    expected: float
    low: float
    high: float
    images: int

    def __str__(self) -> str:
        return f"{self.expected:.3g} (95% interval {self.low:.2g} to {self.high:.2g}, from {self.images} images)"


def least_rate(images: int) -> float:
    """The least rate above zero that so many images can support: that of scores beyond all of them."""
    return 1 / (images + 1)


def least_images(rate: float) -> int:
    """How many images can support a rate.

    >>> least_images(0.01), least_rate(99)
    (99, 0.01)
    """
    return math.ceil(1 / rate - 1 - _ROUNDING)


def beyond(images: int, rate: float) -> int:
    """How many of the n + 1 gaps between n scores may lie beyond the threshold, so that the rate is `rate` at most.

    0 where the images are too few.

    >>> beyond(99, 0.01), beyond(98, 0.01), beyond(200, 0.05)
    (1, 0, 10)
    """
    return math.floor((images + 1) * rate + _ROUNDING)


def of_order_statistic(images: int, gaps: int) -> Rate:
    """The rate of new scores in `gaps` of the n + 1 gaps between n scores, at one end.

    Of scores without ties it has the distribution Beta(gaps, n + 1 - gaps); with ties at the threshold, which are not
    beyond it, it is lower.
    """
    low, high = _between(gaps, images + 1 - gaps)
    return Rate(gaps / (images + 1), low, high, images)


def counted(hits: int, images: int) -> Rate:
    """A rate that was counted, with the interval of Clopper and Pearson (1934); NaN and 0 to 1 without any image."""
    if not images:
        return Rate(math.nan, 0.0, 1.0, 0)
    low = _between(hits, images - hits + 1)[0] if hits else 0.0
    high = _between(hits + 1, images - hits)[1] if hits < images else 1.0
    return Rate(hits / images, low, high, images)


def _between(a: int, b: int) -> tuple[float, float]:
    """The middle 95% of Beta(a, b)."""
    from scipy.special import betaincinv  # takes a tenth of a second, which reading a result need not wait for

    tail = (1 - LEVEL) / 2
    return float(betaincinv(a, b, tail)), float(betaincinv(a, b, 1 - tail))
