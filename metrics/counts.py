"""The counts from which every ranking metric is computed: one line per distinct score of an anomalous pixel.

Only there can the true positives or the region overlap change; at every score in between, precision falls
and the ROC and PRO curves run level. So counting the normal pixels above and at those scores loses nothing,
and the normal pixels, nearly all of them, need to be sorted only piece by piece and never kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlkd.metrics.inputs import reject_nan
from dlkd.metrics.regions import Regions, mask_of, region_sizes

Array = np.ndarray[Any, Any]
_PIECE = 2**22
"""Normal pixels sorted at a time, 16 MiB of float32. Each piece is searched for every threshold, so few are faster."""


@dataclass(frozen=True)
class Counts:
    """Counts at the k distinct scores of anomalous pixels, falling; a tie is one threshold.

    `true` (k,) and `false` (k,): anomalous and normal pixels with a score >= threshold; `false_above` (k,):
    normal pixels with a score > threshold; `overlap` (k,): mean over the regions of the share of a region
    with a score >= threshold, in [0, 1].
    """

    threshold: Array
    true: Array
    false: Array
    false_above: Array
    overlap: Array
    n_anomalous: int
    n_normal: int
    n_regions: int

    @property
    def new(self) -> Array:
        """Anomalous pixels (k,) at each threshold itself."""
        return np.diff(self.true, prepend=0)


def count(pairs: Iterable[tuple[Array, Array | Regions]], *, regions: bool) -> Counts:
    """Counts of (scores, labels) pairs, read twice; with `regions`, labels are masks (h, w) or `Regions`.

    Without, every anomalous score is its own region. Raises ValueError where a score is NaN.
    """
    anomalous, sizes, n_regions, dtype = _anomalous_of(pairs, regions=regions)
    normal = (scores[~mask_of(labels)] for scores, labels in pairs)
    return count_split(normal, anomalous.astype(dtype, copy=False), sizes, n_regions)


def count_split(normal: Iterable[Array], anomalous: Array, sizes: Array, n_regions: int) -> Counts:
    """Counts of scores that are already split: `normal` in pieces, `anomalous` (a,) with region `sizes` (a,).

    Raises ValueError where a score is NaN.
    """
    threshold, below_true, overlap = _rising_thresholds(anomalous, sizes)
    below, up_to = np.zeros(threshold.size, np.int64), np.zeros(threshold.size, np.int64)
    n_normal = 0
    # Pieces grow with the thresholds, so that looking these up costs no more than sorting the pieces.
    for piece in _pieces(normal, max(_PIECE, 4 * threshold.size), threshold.dtype):
        piece.sort()
        reject_nan(piece[-1:])
        here = np.searchsorted(piece, threshold, side="left")
        below += here
        # A second search finds more only where a normal pixel has the very same score.
        tied = np.flatnonzero(piece[np.minimum(here, piece.size - 1)] == threshold)
        here[tied] = np.searchsorted(piece, threshold[tied], side="right")
        up_to += here
        n_normal += piece.size
    return Counts(
        threshold=threshold[::-1],
        true=np.subtract(anomalous.size, below_true, out=below_true)[::-1],
        false=np.subtract(n_normal, below, out=below)[::-1],
        false_above=np.subtract(n_normal, up_to, out=up_to)[::-1],
        overlap=overlap,
        n_anomalous=anomalous.size,
        n_normal=n_normal,
        n_regions=n_regions,
    )


def _rising_thresholds(anomalous: Array, sizes: Array) -> tuple[Array, Array, Array]:
    """The distinct scores, rising; the number of scores below each; the overlap at each from the highest."""
    order = np.argsort(anomalous)
    scores = anomalous[order]
    reject_nan(scores[-1:])  # sorting puts NaN last
    first = np.flatnonzero(np.r_[True, scores[1:] != scores[:-1]][: scores.size])
    share = np.divide(1.0, sizes[order], dtype=np.float64)
    gained = np.add.reduceat(share, first) if first.size else share
    overlap = np.cumsum(gained[::-1])
    overlap /= overlap[-1:].copy()  # the number of regions, but for rounding
    return scores[first], first, overlap


def _anomalous_of(
    pairs: Iterable[tuple[Array, Array | Regions]], *, regions: bool
) -> tuple[Array, Array, int, np.dtype[Any]]:
    anomalous: list[Array] = [np.zeros(0, np.float32)]
    sizes: list[Array] = [np.zeros(0, np.int32)]
    n_regions = 0
    dtype: np.dtype[Any] = np.dtype(np.float32)
    for scores, labels in pairs:
        dtype = np.promote_types(dtype, scores.dtype)
        mask = mask_of(labels)
        if not mask.any():
            continue
        anomalous.append(scores[mask])
        if regions:
            of_pixel, n_here = region_sizes(labels)
            n_regions += n_here
        else:
            of_pixel = np.ones(anomalous[-1].size, np.int32)
        sizes.append(of_pixel)
    return np.concatenate(anomalous), np.concatenate(sizes), n_regions, dtype


def _pieces(arrays: Iterable[Array], size: int, dtype: np.dtype[Any]) -> Iterator[Array]:
    """The values of `arrays` in views of one buffer of at most `size` values, to be used before the next."""
    buffer = np.empty(size, dtype)
    filled = 0
    for array in arrays:
        while array.size:
            part, array = array[: size - filled], array[size - filled :]
            buffer[filled : filled + part.size] = part
            filled += part.size
            if filled == size:
                yield buffer
                filled = 0
    if filled:
        yield buffer[:filled]
