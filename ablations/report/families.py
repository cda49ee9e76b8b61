"""The comparisons that a grid's verdicts are about, each with the seeds that it took."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.plan.hosts import compared_with
from dlkd.ablations.statistics.factorial import Effect, factorial_effects
from dlkd.ablations.statistics.looks import look_by_look
from dlkd.ablations.statistics.metric_trials import CELL, metric_trials
from dlkd.ablations.statistics.pairs import paired
from dlkd.ablations.stored.trials import NOT_RUN

Kind = Literal["rows", "effects"]


@dataclass(frozen=True)
class Family:
    """Comparisons of one kind by one metric, which are judged together.

    Attributes:
        comparisons: each over the seeds that it took.
        more: those that get one more seed.
        looks: see `looks.Looked.lines`; none where the number of seeds was fixed beforehand.
    """

    comparisons: list[Effect]
    more: list[Effect] = field(default_factory=list)
    looks: list[dict[str, Any]] = field(default_factory=list)


def deciding(grid: Grid) -> Kind:
    """The kind that the grid's headline is about."""
    return "effects" if any(row.factors for row in grid.rows) else "rows"


def family(own: pd.DataFrame, grid: Grid, metric: str, kind: Kind) -> Family:
    """The comparisons of a kind in a grid's own trials, in long form.

    Where seeds are added until all is decided, a comparison by the primary metric has those of its last look.
    """
    of_metric = metric_trials(own, metric)
    make = _effects if kind == "effects" else _rows
    if grid.until_decided is None or metric != grid.primary_metric:
        return Family(make(of_metric, grid))
    seeds = sorted(own["seed"].unique())
    ended = set(own.loc[own["status"] != NOT_RUN, ["row", *CELL]].itertuples(index=False, name=None))
    places = set(own[["dataset", "category"]].itertuples(index=False, name=None))

    @functools.cache
    def first(n: int) -> list[Effect]:
        return make(of_metric[of_metric["seed"].isin(seeds[:n])], grid)

    def complete(i: int, n: int) -> bool:
        return n <= len(seeds) and ended.issuperset(
            (row, *place, seeds[n - 1]) for row in first(n - 1)[i].rows for place in places
        )

    looked = look_by_look(
        lambda n: [effect.pairs for effect in first(n)],
        complete,
        first=grid.seeds or 1,
        max_seeds=grid.until_decided,
        margin=grid.margin,
    )
    taken = [first(n)[i] for i, n in enumerate(looked.seeds)]
    more = [effect for effect, wants in zip(taken, looked.more, strict=True) if wants]
    return Family(taken, more, looked.lines)


def _rows(of_metric: pd.DataFrame, grid: Grid) -> list[Effect]:
    there = set(of_metric["row"])
    compared = {row: other for row, other in compared_with(grid).items() if row in there and other in there}
    return [
        Effect(pairs.row, "row", pairs, frozenset((pairs.row, pairs.other)), 1, ())
        for pairs in paired(of_metric, compared)
    ]


def _effects(of_metric: pd.DataFrame, grid: Grid) -> list[Effect]:
    factors = pd.DataFrame({row.label: row.factors for row in grid.rows if row.factors}).T
    baseline = next((row.factors for row in grid.rows if row.label == grid.reference), {})
    return factorial_effects(of_metric, factors, baseline)
