"""The frames of an ablation's results, made from the long form of its trials."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.report.parts import parts_of, within
from dlkd.ablations.report.tables import TRIAL_COSTS
from dlkd.ablations.statistics.row_means import row_means
from dlkd.ablations.stored.run_folder import MEASURED_WITH

By = Literal["row", "group", "category"]
"""What an average is taken over: all categories of a row, those of a group, or one."""
TRIAL = ["table", "label", "dataset", "category", "seed"]
SETTINGS = ["variant", *sorted(MEASURED_WITH)]
COMPARED = [
    *("table", "row", "other", "metric", "scope", "estimate", "low", "high", "p", "verdict", "repeat", "settle")
]
"""First columns of comparisons, in their order."""


def trial_frame(lines: pd.DataFrame) -> pd.DataFrame:
    """One line per trial, see `Ablation.trials`."""
    lines = lines.drop_duplicates("key").rename(columns={"row": "label"})
    measured = lines["status"].isin(["ok", "undefined"])
    lines = lines.assign(status=lines["status"].where(~measured, "ok"), reason=lines["reason"].where(~measured, ""))
    return lines.reindex(columns=[*TRIAL, "status", "reason", *SETTINGS, *TRIAL_COSTS, "key"]).reset_index(drop=True)


def score_frame(lines: pd.DataFrame) -> pd.DataFrame:
    """One line per metric, trial and row, see `Ablation.scores`."""
    columns = [*TRIAL, "metric", "value", "status", "reason", "key"]
    return lines.rename(columns={"row": "label"})[columns].reset_index(drop=True)


def summary_frame(lines: pd.DataFrame, metrics: list[str]) -> pd.DataFrame:
    """The averages of one table, see `Ablation.summary`."""
    parts = {}
    for name in metrics:
        own = lines[lines["metric"] == name]
        missing = (~np.isfinite(own["value"]) & (own["status"] != "undefined")).groupby(own["row"]).sum()
        line = row_means(lines, name).set_index("row").reindex(pd.unique(own["row"])).rename_axis("label")
        parts[name] = line.assign(n_missing=missing)[["mean", "low", "high", "n_missing"]]
    return pd.concat(parts, axis=1, names=["metric", None])


def part_frame(lines: pd.DataFrame, grid: Grid, metrics: list[str], by: By) -> pd.DataFrame:
    """The averages of one table by group or category, see `Ablation.summary`."""
    found = {}
    for part in parts_of(lines, grid):
        if part.average == (by == "group"):
            key = (part.name,) if part.average else (part.places[0][0], part.name)
            found[key] = summary_frame(within(lines, part.places), metrics)
    names = ["group"] if by == "group" else ["dataset", "category"]
    frame = pd.concat(found, names=names).reorder_levels(["label", *names])
    return frame.reindex(pd.unique(lines["row"]), level="label")


def comparison_frame(parts: dict[str, pd.DataFrame | None]) -> pd.DataFrame:
    """Comparisons of tables one below the other, the columns that all have first."""
    frame = joined(parts)
    if frame.empty:
        return frame
    return frame[COMPARED + [c for c in frame if c not in COMPARED]].rename(columns={"row": "label"})


def joined(parts: dict[str, pd.DataFrame | None]) -> pd.DataFrame:
    """Frames of tables one below the other, with the table's name in front."""
    found = [part.assign(table=name) for name, part in parts.items() if part is not None and not part.empty]
    if not found:
        return pd.DataFrame()
    frame = pd.concat(found, ignore_index=True)
    return frame[["table", *(column for column in frame if column != "table")]]
