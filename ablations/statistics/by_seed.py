"""Details of a verdict: each pair's difference, and the verdict by number of seeds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from dlkd.ablations.statistics.metric_trials import CELL
from dlkd.ablations.statistics.pairs import Pairs, paired
from dlkd.ablations.statistics.verdict import COLUMNS, judge


def pair_differences(trials: pd.DataFrame, compared: Mapping[str, str]) -> pd.DataFrame:
    """Each row minus the row that `compared` names, in each cell that both have.

    `trials` are those of `metric_trials`. Columns: row, other, dataset, category, seed, difference.
    """
    values = trials.set_index(["row", *CELL])["value"]
    lines = []
    for row, other in compared.items():
        if row in values.index.get_level_values("row") and other in values.index.get_level_values("row"):
            difference = (values.loc[row] - values.loc[other]).dropna().rename("difference").reset_index()
            lines.append(difference.assign(row=row, other=other))
    columns = ["row", "other", *CELL, "difference"]
    return pd.concat(lines)[columns].reset_index(drop=True) if lines else pd.DataFrame(columns=columns)


def verdicts_by_seeds(
    trials: pd.DataFrame,
    compared: Mapping[str, str],
    margin: float = 0.005,
    *,
    max_seeds: int | None = None,
    last: Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """The lines of `verdict.verdicts` for these categories with the first 2, 3, ... seeds alone, and a column `seeds`.

    A comparison ends with its own last seed, or with so many seeds as `last` names. Without `max_seeds` each look is a
    table of its own: what is drawn from it is how a verdict came about, not a rule for when to stop.
    """
    seeds = np.sort(trials["seed"].unique())
    lines = []
    pairs: dict[str, Pairs] = {}
    for n in range(2, len(seeds) + 1):
        upto = trials[trials["seed"].isin(seeds[:n])]
        there = set(upto["row"])
        here = {row: other for row, other in compared.items() if {row, other} <= there}
        ends = dict.fromkeys(here, n) | dict(last or {})
        pairs |= {one.row: one for one in paired(upto, here) if n <= ends[one.row] or one.row not in pairs}
        for line in judge(list(pairs.values()), "these", max_seeds=max_seeds, margin=margin, alpha=0.05):
            if line["n_seeds"] == n:
                lines.append({"seeds": n, **line})
    return pd.DataFrame(lines, columns=["seeds", *COLUMNS])
