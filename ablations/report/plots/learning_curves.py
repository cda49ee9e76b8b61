"""Learning curves: the terms of the loss over the steps of the training."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from dlkd.ablations.report.plot_data import Curves
from dlkd.ablations.report.plots.panels import PANEL, add_legend, colour, dash, make_panels
from dlkd.drawing import LiteralFigure

TERMS = {"total": "total loss", "ckd": "CKD", "pkd": "PKD", "anomaly_similarity": "anomaly similarity"}


def learning_curves(curves: Curves) -> LiteralFigure:
    """Loss terms over steps, one panel per term: mean of a row's trials, band from the lowest to the highest."""
    figure, panels = make_panels(len(curves.terms), width=PANEL, height=2.4)
    handles: dict[str, Any] = {}
    for axes, term in zip(panels, curves.terms, strict=True):
        handles = draw_curves(axes, curves, term) | handles
    add_legend(figure, {name: handles[name] for name in curves.rows if name in handles})
    return figure


def draw_curves(axes: Axes, curves: Curves, term: str) -> dict[str, Any]:
    """One term of the loss over the steps; what stands for each row in a legend."""
    handles: dict[str, Any] = {}
    for i, row in enumerate(curves.rows):
        if (curve := curves.curves.get((i, term))) is None:
            continue
        axes.fill_between(curve.steps, curve.low, curve.high, color=colour(i), alpha=0.15, linewidth=0)
        [handles[row]] = axes.plot(curve.steps, curve.mean, color=colour(i), linestyle=dash(i), linewidth=1.6)
    axes.set_title(TERMS.get(term, term), fontsize=10)
    axes.set_xlabel("step", fontsize=9)
    axes.grid(color="#e5e7ea")
    axes.tick_params(labelsize=8)
    return handles
