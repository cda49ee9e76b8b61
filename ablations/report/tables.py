"""A grid's trials as the table that a report prints, in per cent; nothing is worded or drawn yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from dlkd.ablations.plan.grid import Grid, GridRow
from dlkd.ablations.plan.hosts import compared_with
from dlkd.ablations.report.families import Family, family
from dlkd.ablations.run.costs import Measured, RowCosts
from dlkd.ablations.statistics.claims import claims, estimates
from dlkd.ablations.statistics.metric_trials import CELL, metric_trials
from dlkd.ablations.statistics.row_means import row_means
from dlkd.ablations.stored.trials import NOT_RUN
from dlkd.training.trials.trial_result import SECONDS

TRIAL_COSTS = ("parameters", "flops", *SECONDS)
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
        worst: the mean with each category's lowest value in place of failed cells.
        difference: row minus the row that it is compared with, in points.
        difference_low: lower end of its interval; NaN for a metric that is not the grid's primary one.
        difference_high: upper end.
        p: of the difference, after Holm.
        verdict: of the difference, for these categories; "" for a metric that is not the primary one.
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
    worst: float = NAN
    difference: float = NAN
    difference_low: float = NAN
    difference_high: float = NAN
    p: float = NAN
    verdict: str = ""

    @property
    def partial(self) -> bool:
        """Whether the mean leaves cells out."""
        return self.missing > 0 and not np.isnan(self.mean)

    @property
    def told_apart(self) -> bool:
        """Whether the difference has a direction."""
        return self.verdict in ("helps", "harms")


@dataclass(frozen=True)
class TableRow:
    """One row of a table: what it is, the label of the row that it is compared with ("" for none), and its figures.

    Attributes:
        role: what it is to other rows: "reference", "host", or "" for neither.
        costs: `TRIAL_COSTS`, each the median over the row's trials.
        measured: time and memory of its model alone.
    """

    label: str
    variant: str
    untrained: bool
    role: str
    compared: str
    entries: dict[str, Entry]
    costs: dict[str, float]
    measured: Measured


@dataclass(frozen=True)
class Table:
    """A grid with its figures.

    Attributes:
        grid: the grid.
        trials: its trials, in the order of its rows.
        metrics: names, in the order of the columns.
        rows: the grid's, in its order.
        differences: of rows, with the columns of `claims` and metric: of the primary metric both scopes, of each other
            metric the estimate alone, with an empty scope and the verdict "exploratory".
        effects: the same of factors, with kind, settings (used), of_settings and left_out; None where the grid has no
            factors.
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
    def primary_shown(self) -> str:
        """The primary metric, or the first one that the trials have."""
        primary = self.grid.primary_metric
        return primary if primary in self.metrics else self.metrics[0]

    @property
    def primary_trials(self) -> pd.DataFrame:
        """The trainings by the primary metric, as `metric_trials` gives them; none where the trials lack the metric."""
        found = metric_trials(self.trials, self.primary_shown)
        return found if self.primary_shown == self.grid.primary_metric else found.iloc[:0]

    @property
    def new_images(self) -> bool:
        """Whether the claims by the primary metric are about new test images too, not these very ones alone."""
        lines = self.differences if self.effects is None else self.effects
        judged = lines[(lines["metric"] == self.grid.primary_metric) & (lines["n_pairs"] > 0)]
        return bool(len(judged) and judged["new_images"].all())

    @property
    def not_run(self) -> int:
        """How many cells were not run."""
        return int((self.absent["status"] == NOT_RUN).sum())

    @property
    def failed_cells(self) -> int:
        """How many cells failed."""
        return len(self.absent) - self.not_run


def tabulate(trials: pd.DataFrame, grid: Grid, measured: RowCosts | None = None) -> Table:
    """The table of one grid, with what was measured of its rows alone.

    Raises ValueError where `trials` (of all tables) has nothing of it.
    """
    own = trials_of(trials, grid)
    metrics = [m for m in grid.metrics if m in set(own["metric"])]
    differences, effects = differences_of(own, grid, metrics), effects_of(own, grid, metrics)
    summaries = {m: row_means(own, m).set_index("row") for m in metrics}
    measured = measured or {}
    rows = [
        _row(
            own, grid, row, summaries, differences, measured.get((grid.name, row.label), Measured(grid.name, row.label))
        )
        for row in grid.rows
    ]
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
    """The rows' comparisons in a grid's own trials, by these metrics; see Table."""
    return pd.concat([_differences(own, grid, metric) for metric in metrics], ignore_index=True)


def effects_of(own: pd.DataFrame, grid: Grid, metrics: Sequence[str]) -> pd.DataFrame | None:
    """The effects of a grid's factors in its own trials, by these metrics; None where the grid has no factors."""
    if not any(row.factors for row in grid.rows):
        return None
    return pd.concat([_effects(own, grid, metric) for metric in metrics], ignore_index=True)


def _differences(trials: pd.DataFrame, grid: Grid, metric: str) -> pd.DataFrame:
    """The rows' comparisons of one metric, as one family."""
    return _claims(family(trials, grid, metric, "rows"), grid, metric)


def _effects(trials: pd.DataFrame, grid: Grid, metric: str) -> pd.DataFrame:
    """The effects of one metric, main effects and interactions as one family."""
    found = family(trials, grid, metric, "effects")
    about = [
        (e.name, e.kind, e.settings, e.settings + len(e.left_out), "; ".join(e.left_out)) for e in found.comparisons
    ]
    names = pd.DataFrame(about, columns=["row", "kind", "settings", "of_settings", "left_out"])
    return _claims(found, grid, metric).merge(names, on="row")


def _claims(found: Family, grid: Grid, metric: str) -> pd.DataFrame:
    """One family; of another metric than the grid's primary one the estimates alone."""
    pairs = [effect.pairs for effect in found.comparisons]
    if metric != grid.primary_metric:
        return estimates(pairs).assign(metric=metric)
    return claims(pairs, margin=grid.margin, max_seeds=grid.until_decided).assign(metric=metric)


def _absent(trials: pd.DataFrame) -> pd.DataFrame:
    """One line for each cell without figures."""
    bad = trials["status"].isin(["failed", NOT_RUN]) | ((trials["status"] == "ok") & ~np.isfinite(trials["value"]))
    return trials[bad].drop_duplicates(["row", *CELL]).replace({"reason": {"": "its figure is not finite"}})


def _row(
    trials: pd.DataFrame,
    grid: Grid,
    row: GridRow,
    summaries: dict[str, pd.DataFrame],
    differences: pd.DataFrame,
    measured: Measured,
) -> TableRow:
    own = trials[trials["row"] == row.label]
    entries = {
        metric: replace(
            make_entry(own[own["metric"] == metric], row.label, row.published(metric), summary),
            **_compared(row.label, metric, differences),
        )
        for metric, summary in summaries.items()
    }
    untrained = not own.empty and bool(((own["epochs"] == 0) | (own["max_steps"] == 0)).all())
    others = compared_with(grid)
    hosts = {other.host for other in grid.rows}
    role = "reference" if row.label == grid.reference else "host" if row.label in hosts else ""
    costs = own.drop_duplicates("key").reindex(columns=list(TRIAL_COSTS)).astype(float).median().to_dict()
    return TableRow(row.label, row.variant, untrained, role, others.get(row.label, ""), entries, costs, measured)


def make_entry(own: pd.DataFrame, row: str, paper: float, summary: pd.DataFrame) -> Entry:
    """One metric of a row in its own trials, beside the paper's figure; `summary` is that of `row_means`, by row."""
    if own.empty:
        return Entry(paper=paper, failed="not in these trials")
    said = own[own["status"] == "undefined"]
    line = summary.loc[row] if row in summary.index else None
    expected = own[(own["status"] != "undefined")]
    missing = int((~np.isfinite(expected["value"])).sum())
    failed = ""
    if missing and missing == len(expected):
        failed = "; ".join(own.loc[own["status"].isin(["failed", NOT_RUN]), "reason"].unique()) or "no figure is finite"
    found = (
        {} if line is None else {"mean": line["mean"], "low": line["low"], "high": line["high"], "worst": line["worst"]}
    )
    return Entry(
        paper=paper,
        why_no_interval="" if line is None else line["note"],
        undefined=_where(said),
        failed=failed,
        missing=missing,
        cells=len(expected),
        **{name: value * 100 for name, value in found.items()},
    )


def _where(said: pd.DataFrame) -> str:
    """Reasons, each with its categories."""
    parts = []
    for reason, lines in said.groupby("reason", sort=False):
        names = (lines["dataset"] + "/" + lines["category"]).unique()
        parts.append(f"{reason} ({', '.join(names)})")
    return "; ".join(parts)


def _compared(row: str, metric: str, differences: pd.DataFrame) -> dict[str, Any]:
    of_row = (differences["row"] == row) & (differences["metric"] == metric) & (differences["scope"] != "like")
    if not of_row.any():
        return {}
    line = differences[of_row].iloc[0]
    return {
        "difference": line["estimate"] * 100,
        "difference_low": line["low"] * 100,
        "difference_high": line["high"] * 100,
        "p": float(line["p"]),
        "verdict": line["verdict"],
    }
