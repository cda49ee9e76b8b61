"""Learning curves: the terms of the loss over the steps of the training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from dlkd.ablations.report.plots.panels import add_legend, colour, dash, make_panels
from dlkd.ablations.report.tables import Table
from dlkd.ablations.run.store import part_of_result
from dlkd.drawing import LiteralFigure

TERMS = {"total": "total loss", "ckd": "CKD", "pkd": "PKD", "anomaly_similarity": "anomaly similarity"}


def learning_curves(table: Table, store: Path) -> LiteralFigure | None:
    """Loss terms over steps, a panel a term: mean of a row's trials, band from the lowest to the highest."""
    curves = read_curves(table, store)
    terms = loss_terms(curves)
    if not terms:
        return None
    figure, panels = make_panels(len(terms), width=3.5, height=2.9)
    handles: dict[str, Any] = {}
    for axes, term in zip(panels, terms, strict=True):
        handles = draw_curves(axes, curves, term) | handles
    add_legend(figure, {name: handles[name] for name in curves if name in handles})
    return figure


def read_curves(table: Table, store: Path) -> dict[str, pd.DataFrame]:
    """The learning curves of each row's trials, in the grid's order; empty where a row has none."""
    trials = table.trials
    return {row.label: _curves(trials[trials["row"] == row.label], store) for row in table.rows}


def loss_terms(curves: Mapping[str, pd.DataFrame]) -> list[str]:
    """The terms of the loss that any curve has, the total first."""
    found = dict.fromkeys(term for curve in curves.values() for term in curve if term not in ("step", "epoch", "trial"))
    return sorted(found, key=lambda term: term != "total")


def draw_curves(axes: Axes, curves: Mapping[str, pd.DataFrame], term: str) -> dict[str, Any]:
    """One term of the loss over the steps; what stands for each row in a legend."""
    handles: dict[str, Any] = {}
    for i, (row, curve) in enumerate(curves.items()):
        if term not in curve:
            continue
        by_step = curve.groupby("step")[term]
        mean = by_step.mean()
        axes.fill_between(mean.index, by_step.min(), by_step.max(), color=colour(i), alpha=0.15, linewidth=0)
        [handles[row]] = axes.plot(mean.index, mean, color=colour(i), linestyle=dash(i), linewidth=1.6)
    axes.set_title(TERMS.get(term, term), fontsize=10)
    axes.set_xlabel("step", fontsize=9)
    axes.grid(color="#e5e7ea")
    axes.tick_params(labelsize=8)
    return handles


def _curves(lines: pd.DataFrame, store: Path) -> pd.DataFrame:
    found = []
    for key in lines["key"].unique():
        curve = [epoch for epoch in part_of_result(store / key, "curve", list) if isinstance(epoch, dict)]
        found.append(pd.DataFrame(curve).apply(pd.to_numeric, errors="coerce").assign(trial=key))
    found = [curve for curve in found if not curve.empty]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()
