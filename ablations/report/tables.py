"""A grid's trials as the table that a report prints, in per cent; nothing is worded or drawn yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from dlkd.ablations.plan.grid import Grid, GridRow
from dlkd.ablations.run.trials import NOT_RUN
from dlkd.ablations.statistics.differences import paired_differences, row_summary
from dlkd.ablations.statistics.factorial import factorial_effects
from dlkd.ablations.statistics.metric_cells import CELL
from dlkd.ablations.statistics.verdicts import told_apart

COSTS = ("parameters", "flops", "images_per_second", "peak_memory_bytes", "train_seconds")
NAN = float("nan")


@dataclass(frozen=True)
class Entry:
    """One metric of one row; figures in per cent, NaN where there is none.

    Attributes:
        paper: the paper's figure.
        mean: over seeds, then categories.
        low: lower end of the interval.
        high: upper end.
        why_no_interval: in words, where there is a mean but no interval.
        undefined: why the metric does not exist in some or all categories.
        failed: why there is no figure at all.
        missing: cells without a figure.
        cells: cells that should have one.
        difference: row minus reference, in points.
        difference_low: lower end of its interval.
        difference_high: upper end.
        p: of the difference, after Holm.
        told_apart: whether p is at most the family's alpha.
    """

    paper: float = NAN
    mean: float = NAN
    low: float = NAN
    high: float = NAN
    why_no_interval: str = ""
    undefined: str = ""
    failed: str = ""
    missing: int = 0
    cells: int = 0
    difference: float = NAN
    difference_low: float = NAN
    difference_high: float = NAN
    p: float = NAN
    told_apart: bool = False

    @property
    def partial(self) -> bool:
        """Whether the mean leaves cells out."""
        return self.missing > 0 and not np.isnan(self.mean)


@dataclass(frozen=True)
class TableRow:
    """One row of a table: what it is, what it measured and what it cost."""

    label: str
    variant: str
    untrained: bool
    reference: bool
    entries: dict[str, Entry]
    costs: dict[str, float]


@dataclass(frozen=True)
class Table:
    """A grid with its figures.

    Attributes:
        grid: the grid.
        trials: its trials, in the order of its rows.
        metrics: names, in the order of the columns.
        rows: the grid's, in its order.
        differences: of `paired_differences`, all metrics.
        effects: of `factorial_effects`, all metrics; None where the grid is not factorial.
        absent: the cells without figures, a line each, with status and reason.
    """

    grid: Grid
    trials: pd.DataFrame
    metrics: list[str]
    rows: list[TableRow]
    differences: pd.DataFrame
    effects: pd.DataFrame | None
    absent: pd.DataFrame

    @property
    def not_run(self) -> int:
        """How many cells were not run."""
        return int((self.absent["status"] == NOT_RUN).sum())

    @property
    def failed_cells(self) -> int:
        """How many cells failed."""
        return len(self.absent) - self.not_run


def tabulate(trials: pd.DataFrame, grid: Grid) -> Table:
    """The table of one grid. Raises ValueError where `trials` (of all tables) has nothing of it."""
    own = trials_of(trials, grid)
    metrics = [m for m in grid.metrics if m in set(own["metric"])]
    differences, effects = differences_of(own, grid, metrics), effects_of(own, grid, metrics)
    summaries = {m: row_summary(own, m).set_index("row") for m in metrics}
    rows = [_row(own, grid, row, summaries, differences) for row in grid.rows]
    return Table(grid, own, metrics, rows, differences, effects, _absent(own))


def trials_of(trials: pd.DataFrame, grid: Grid) -> pd.DataFrame:
    """The trials of one grid, in the order of its rows. Raises ValueError where there are none."""
    order = {row.label: i for i, row in enumerate(grid.rows)}
    own = trials[(trials["table"] == grid.name) & trials["row"].isin(list(order))]
    if own.empty:
        known = ", ".join(sorted(trials["table"].unique()))
        raise ValueError(f"the trials hold nothing of grid '{grid.name}'; they hold {known}")
    # A cell shared with an earlier table comes first in the trials: statistics go by the order of the rows.
    return own.sort_values("row", key=lambda labels: labels.map(order), kind="stable").reset_index(drop=True)


def differences_of(own: pd.DataFrame, grid: Grid, metrics: Sequence[str]) -> pd.DataFrame:
    """`paired_differences` of a grid's own trials for these metrics; empty without a reference or another row."""
    if not (own["row"] == grid.reference).any() or own["row"].nunique() == 1:
        return pd.DataFrame()
    against = ("above", "full") if grid.stepwise else ("full",)
    found = [paired_differences(own, m, reference=grid.reference, comparisons=against) for m in metrics]
    return pd.concat(found, ignore_index=True)


def effects_of(own: pd.DataFrame, grid: Grid, metrics: Sequence[str]) -> pd.DataFrame | None:
    """`factorial_effects` of a grid's own trials for these metrics; None where the grid has no factors."""
    if not any(row.factors for row in grid.rows):
        return None
    factors = pd.DataFrame({row.label: row.factors for row in grid.rows if row.factors}).T.astype(int)
    return pd.concat([factorial_effects(own, m, factors) for m in metrics], ignore_index=True)


def _absent(trials: pd.DataFrame) -> pd.DataFrame:
    """One line for each cell without figures."""
    bad = trials["status"].isin(["failed", NOT_RUN]) | ((trials["status"] == "ok") & ~np.isfinite(trials["value"]))
    return trials[bad].drop_duplicates(["row", *CELL]).replace({"reason": {"": "its figure is not finite"}})


def _row(
    trials: pd.DataFrame, grid: Grid, row: GridRow, summaries: dict[str, pd.DataFrame], differences: pd.DataFrame
) -> TableRow:
    own = trials[trials["row"] == row.label]
    entries = {
        metric: _entry(own[own["metric"] == metric], row, metric, summary, differences)
        for metric, summary in summaries.items()
    }
    untrained = not own.empty and bool(((own["epochs"] == 0) | (own["max_steps"] == 0)).all())
    return TableRow(row.label, row.variant, untrained, row.label == grid.reference, entries, _costs(own))


def _entry(own: pd.DataFrame, row: GridRow, metric: str, summary: pd.DataFrame, differences: pd.DataFrame) -> Entry:
    paper = row.paper.get(metric, NAN)
    if own.empty:
        return Entry(paper=paper, failed="not in these trials")
    line = summary.loc[row.label]
    said = own[own["status"] == "undefined"]
    undefined = _where(said)
    failed = ""
    if line["n_trials"] == 0 and line["n_missing"] > 0:
        failed = "; ".join(own.loc[own["status"].isin(["failed", NOT_RUN]), "reason"].unique()) or "no figure is finite"
    # Student's t knows no bounds; these metrics end at 0 and 1, and cutting there costs no coverage.
    low, high = np.clip([line["low"], line["high"]], 0, 1)
    return Entry(
        paper=paper,
        mean=line["mean"] * 100,
        low=low * 100,
        high=high * 100,
        why_no_interval=line["note"],
        undefined=undefined,
        failed=failed,
        missing=int(line["n_missing"]),
        cells=int(line["n_missing"] + line["n_trials"]),
        **_against_reference(row.label, metric, differences),
    )


def _where(said: pd.DataFrame) -> str:
    """Reasons, each with its categories."""
    parts = []
    for reason, lines in said.groupby("reason", sort=False):
        names = (lines["dataset"] + "/" + lines["category"]).unique()
        parts.append(f"{reason} ({', '.join(names)})")
    return "; ".join(parts)


def _against_reference(row: str, metric: str, differences: pd.DataFrame) -> dict[str, Any]:
    if differences.empty:
        return {}
    of_row = differences["row"] == row
    lines = differences[of_row & (differences["metric"] == metric) & (differences["against"] == "full")]
    if lines.empty:
        return {}
    line = lines.iloc[0]
    return {
        "difference": line["difference"] * 100,
        "difference_low": line["low"] * 100,
        "difference_high": line["high"] * 100,
        "p": float(line["p_holm"]),
        "told_apart": told_apart(line),
    }


def _costs(own: pd.DataFrame) -> dict[str, float]:
    """Over the row's trials: the median, of memory the highest."""
    once = own.drop_duplicates("key").reindex(columns=list(COSTS)).astype(float)
    costs = once.median()
    costs["peak_memory_bytes"] = once["peak_memory_bytes"].max()
    return {name: float(value) for name, value in costs.items()}
