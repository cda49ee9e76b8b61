"""Looks at a family of comparisons, of which those that are open get one more seed each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy import special

from dlkd.ablations.statistics.pairs import Pairs
from dlkd.ablations.statistics.verdict import judge


@dataclass(frozen=True)
class Looked:
    """What the looks at a family came to.

    Attributes:
        seeds: of each comparison, with how many it was last looked at.
        more: of each comparison, whether it gets one more.
        lines: a line of `verdict.verdicts` per look and comparison that was open before it, with a column `seeds`.
    """

    seeds: list[int]
    more: list[bool]
    lines: list[dict[str, Any]]


def look_by_look(
    pairs: Callable[[int], Sequence[Pairs]],
    complete: Callable[[int, int], bool],
    *,
    first: int,
    max_seeds: int,
    margin: float,
) -> Looked:
    """Look at all comparisons with `first` seeds, then at those that are open with one more, and so on.

    A comparison that was told or called equivalent keeps the seeds that it had then: Holm's levels only rise with what
    others add, so that it stays so. The looks depend on the trainings alone, so that a run that was broken off, and a
    report, find the same ones again.

    Args:
        pairs: of all comparisons, in the same order, with so many seeds.
        complete: whether all trainings of a comparison (its place) have ended for so many seeds.
        first: seeds of the first look.
        max_seeds: the most seeds of a comparison, see `verdict.verdicts`.
        margin: a difference within it does not matter.
    """
    current, n = list(pairs(first)), first
    seeds, open_ones = [first] * len(current), list(range(len(current)))
    lines: list[dict[str, Any]] = []
    while True:
        judged = judge(current, "these", max_seeds=max_seeds, margin=margin, alpha=0.05)
        lines += [{"seeds": n, **judged[i]} for i in open_ones]
        open_ones = [i for i in open_ones if seeds[i] < max_seeds and can_be_decided(judged[i], max_seeds, margin)]
        if not open_ones or not all(complete(i, n + 1) for i in open_ones):
            return Looked(seeds, [i in open_ones for i in range(len(current))], lines)
        n += 1
        later = pairs(n)
        for i in open_ones:
            current[i], seeds[i] = later[i], n


def can_be_decided(line: Mapping[str, Any], max_seeds: int, margin: float) -> bool:
    """Whether more seeds could decide an open comparison.

    Not where no training of it has a value, where nothing varies, where a failed training keeps the better side from
    winning, or where the test images alone leave it open. To stop with "open" is no claim, so that it is allowed.
    """
    failed = (line["n_failed"] and line["estimate"] > 0) or (line["n_failed_other"] and line["estimate"] < 0)
    possible = bool(line["verdict"] == "open" and line["n_pairs"] and line["se"] != 0 and not failed)
    return possible and not _too_few_images(line, max_seeds, margin)


def _too_few_images(line: Mapping[str, Any], max_seeds: int, margin: float) -> bool:
    """Whether the interval of a comparison without any noise of seeds would hold zero, and more than the margin.

    It is that of the last look. The estimate may still move by two of its standard errors of seeds.
    """
    images = math.sqrt(max(line["se"] ** 2 - line["se_seeds"] ** 2, 0.0)) if line["se_seeds"] > 0 else 0.0
    half = -float(special.ndtri(line["level"] * max_seeds / line["n_seeds"] / 2)) * images
    return half >= margin and abs(line["estimate"]) + 2 * line["se_seeds"] <= half
