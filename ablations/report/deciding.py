"""The comparisons that a grid's headline is about, before or after it has run."""

from __future__ import annotations

import pandas as pd

from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.plan.hosts import compared_with
from dlkd.ablations.report.families import deciding, family
from dlkd.ablations.statistics.metric_trials import metric_trials
from dlkd.ablations.statistics.pairs import Pairs, Table


def deciding_pairs(own: pd.DataFrame, grid: Grid) -> list[Pairs]:
    """Every comparison by the primary metric in a grid's own trials, over all seeds that they have.

    One of rows without trials is there too, without a pair.
    """
    kind = deciding(grid)
    every = grid.model_copy(update={"until_decided": None})
    found = {one.pairs.row: one.pairs for one in family(own, every, grid.primary_metric, kind).comparisons}
    if kind == "effects":
        return list(found.values())
    nothing = Table.of(metric_trials(own, grid.primary_metric))
    return [found.get(row) or nothing.contrast({}, row, other) for row, other in compared_with(grid).items()]
