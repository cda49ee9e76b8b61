"""Learning curves: the terms of the loss over the steps of the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from dlkd.ablations.report.plots.panels import add_legend, colour, dash, make_panels
from dlkd.ablations.report.tables import Table
from dlkd.ablations.run.store import part_of_result
from dlkd.drawing import LiteralFigure

TERMS = {"total": "total loss", "ckd": "CKD", "pkd": "PKD", "anomaly_similarity": "anomaly similarity"}


def learning_curves(table: Table, store: Path) -> LiteralFigure | None:
    """Loss terms over steps, a panel a term: mean of a row's trials, band from the lowest to the highest."""
    curves = {row: _curves(lines, store) for row, lines in table.trials.groupby("row")}
    terms = list(dict.fromkeys(t for c in curves.values() for t in c.columns if t not in ("step", "epoch", "trial")))
    if not terms:
        return None
    terms.sort(key=lambda term: term != "total")
    figure, panels = make_panels(len(terms), width=3.5, height=2.9)
    handles: dict[str, Any] = {}
    for i, row in enumerate(table.rows):
        curve = curves.get(row.label, pd.DataFrame())
        for axes, term in zip(panels, terms, strict=True):
            if term not in curve:
                continue
            by_step = curve.groupby("step")[term]
            mean = by_step.mean()
            axes.fill_between(mean.index, by_step.min(), by_step.max(), color=colour(i), alpha=0.15, linewidth=0)
            [line] = axes.plot(mean.index, mean, color=colour(i), linestyle=dash(i), linewidth=1.6)
            handles.setdefault(row.label, line)
    for axes, term in zip(panels, terms, strict=True):
        axes.set_title(TERMS.get(term, term), fontsize=10)
        axes.set_xlabel("step", fontsize=9)
        axes.grid(color="#e5e7ea")
        axes.tick_params(labelsize=8)
    add_legend(figure, handles)
    return figure


def _curves(lines: pd.DataFrame, store: Path) -> pd.DataFrame:
    found = []
    for key in lines["key"].unique():
        curve = [epoch for epoch in part_of_result(store / key, "curve", list) if isinstance(epoch, dict)]
        found.append(pd.DataFrame(curve).apply(pd.to_numeric, errors="coerce").assign(trial=key))
    found = [curve for curve in found if not curve.empty]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()
