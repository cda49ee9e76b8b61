"""Average precision and the best F1 over all thresholds, of images or of pixels."""

from __future__ import annotations

from numpy.typing import ArrayLike
from torch import Tensor

from dlkd.metrics.counts import Counts, count
from dlkd.metrics.inputs import Masks, Stack, pairs_of
from dlkd.metrics.undefined import Undefined


def average_precision(scores: Stack, labels: Masks | ArrayLike | Tensor) -> float:
    """Exact average precision: the sum over thresholds of precision times the recall gained there.

    Of images, scores (n,) and labels (n,), or of pixels, maps (n, h, w) and masks (n, h, w) or lists of both.
    Undefined (NaN with a reason) where nothing is anomalous. Raises ValueError on NaN scores, shapes that
    differ and labels that are not 0 or 1.
    """
    return area_under_precision(count(pairs_of(scores, labels), regions=False))


def f1_max(scores: Stack, labels: Masks | ArrayLike | Tensor) -> float:
    """Exact largest F1 over all thresholds; takes, gives and raises what `average_precision` does."""
    return best_f1(count(pairs_of(scores, labels), regions=False))


def area_under_precision(counts: Counts) -> float:
    """Average precision; only thresholds at anomalous scores gain recall."""
    if not counts.n_anomalous:
        return Undefined("nothing is anomalous")
    return float((counts.new * counts.true / (counts.true + counts.false)).sum() / counts.n_anomalous)


def best_f1(counts: Counts) -> float:
    """Largest F1; it falls between anomalous scores, where only false positives are added."""
    if not counts.n_anomalous:
        return Undefined("nothing is anomalous")
    return float((2 * counts.true / (counts.true + counts.false + counts.n_anomalous)).max())
