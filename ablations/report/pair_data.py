"""The data of the figures of single pairs of trainings: differences, and verdicts by number of seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dlkd.ablations.plan.hosts import compared_with
from dlkd.ablations.report.tables import Table
from dlkd.ablations.report.words.entries import base
from dlkd.ablations.statistics.by_seed import pair_differences, verdicts_by_seeds

FEWEST_SEEDS = 4
"""Below, there is no course to see."""
MOST_COURSES = 9


class Point(NamedTuple):
    """A difference in points: of which row, in which category (its place)."""

    row: str
    category: int
    value: float


@dataclass(frozen=True)
class PairPoints:
    """The rows' differences by the primary metric, one per category and seed.

    Attributes:
        metric: the primary one.
        margin: points that do not matter, either way.
        unit: what the figures are, in words.
        rows: from top to bottom.
        categories: names.
        points: all of them.
    """

    metric: str
    margin: float
    unit: str
    rows: list[str]
    categories: list[str]
    points: list[Point]


def pair_points(table: Table) -> PairPoints | None:
    """None where no two rows have a cell in common."""
    lines = pair_differences(table.primary_trials, compared_with(table.grid))
    if lines.empty:
        return None
    places = list(dict.fromkeys(zip(lines["dataset"], lines["category"], strict=True)))
    one_set = lines["dataset"].nunique() == 1
    points = [
        Point(line.row, places.index((line.dataset, line.category)), line.difference * 100)
        for line in lines.itertuples()
    ]
    return PairPoints(
        metric=table.grid.primary_metric,
        margin=table.grid.margin * 100,
        unit=f"points against {base(table)}, per category and seed",
        rows=list(lines["row"].unique()),
        categories=[category if one_set else f"{dataset}/{category}" for dataset, category in places],
        points=points,
    )


class Look(NamedTuple):
    """A comparison with the first seeds alone, in points."""

    seeds: int
    low: float
    estimate: float
    high: float
    verdict: str


@dataclass(frozen=True)
class Courses:
    """The course of each comparison by the primary metric, from two seeds on."""

    margin: float
    rows: list[str]
    looks: dict[str, list[Look]]


def courses(table: Table) -> Courses | None:
    """None with fewer than four seeds, and where there is nothing to compare."""
    trials = table.primary_trials
    if trials["seed"].nunique() < FEWEST_SEEDS:
        return None
    compared = compared_with(table.grid)
    decided = table.differences[table.differences["scope"] == "these"]
    lines = verdicts_by_seeds(
        trials,
        compared,
        table.grid.margin,
        max_seeds=table.grid.until_decided,
        last=dict(zip(decided["row"], decided["n_seeds"], strict=True)),
    )
    looks: dict[str, list[Look]] = {}
    for line in lines.to_dict("records"):
        low, estimate, high = (float(np.multiply(line[end], 100)) for end in ("low", "estimate", "high"))
        looks.setdefault(line["row"], []).append(Look(line["seeds"], low, estimate, high, line["verdict"]))
    rows = [row for row in compared if row in looks][:MOST_COURSES]
    return Courses(table.grid.margin * 100, rows, looks) if rows else None
