"""Looks at a family of comparisons, of which those that are open get one more seed each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
        open_ones = [i for i in open_ones if seeds[i] < max_seeds and can_be_decided(judged[i])]
        if not open_ones or not all(complete(i, n + 1) for i in open_ones):
            return Looked(seeds, [i in open_ones for i in range(len(current))], lines)
        n += 1
        later = pairs(n)
        for i in open_ones:
            current[i], seeds[i] = later[i], n


def can_be_decided(line: Mapping[str, Any]) -> bool:
    """Whether more seeds could decide an open comparison.

    Not where no training of it has a value, where nothing varies, or where a failed training keeps the better side from
    winning.
    """
    failed = (line["n_failed"] and line["estimate"] > 0) or (line["n_failed_other"] and line["estimate"] < 0)
    return bool(line["verdict"] == "open" and line["n_pairs"] and line["se"] != 0 and not failed)
