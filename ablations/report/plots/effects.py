"""A forest plot: effects of factors, or differences of rows, with their intervals."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.axes import Axes

from dlkd.ablations.report.plot_data import Effects, Estimate
from dlkd.ablations.report.plots.panels import FAINT, PALETTE, PANEL, make_panels, row_height, wrap
from dlkd.ablations.report.words.entries import label
from dlkd.drawing import LiteralFigure


def forest(effects: Effects) -> LiteralFigure:
    """Effects of factors where the grid has them, else differences of rows; a panel per metric."""
    names = effects.names
    height = 1.25 + row_height(names) * len(names)
    figure, panels = make_panels(len(effects.metrics), width=PANEL, height=height, share_y=True)
    for axes, metric in zip(panels, effects.metrics, strict=True):
        draw_effects(axes, effects, metric)
    panels[0].set_yticks(range(len(names)), [wrap(n) for n in names])
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    _legend(figure, panels[0], paper=bool(effects.paper))
    return figure


def draw_effects(axes: Axes, effects: Effects, metric: str) -> None:
    """Each effect on one metric, in points.

    The primary metric has the intervals of both scopes and the band of differences that do not matter; others, which
    are exploratory, have the estimates alone.
    """
    primary = metric == effects.primary_metric
    axes.axvline(0, color=FAINT, linewidth=1)
    if primary:
        axes.axvspan(-effects.margin, effects.margin, color="#e5e7ea", zorder=0)
    for estimate in effects.estimates:
        if estimate.metric == metric:
            _draw(axes, effects.names.index(estimate.name), estimate)
    for name, of, x in effects.paper:
        if of == metric and name in effects.names:
            axes.plot(x, effects.names.index(name), "D", color=PALETTE[1], markersize=5, markerfacecolor="white")
    axes.set_title(label(metric) + ("" if primary else " (exploratory)"), fontsize=10)
    axes.set_xlabel(wrap(effects.unit, 30), fontsize=9)
    axes.grid(axis="x", color="#e5e7ea")
    axes.margins(x=0.12)


def _draw(axes: Axes, y: int, line: Estimate) -> None:
    """One scope of one comparison; an exploratory one is its estimate alone."""
    has_interval = math.isfinite(line.low) and math.isfinite(line.high)
    if line.scope == "like":
        if has_interval:
            axes.plot([line.low, line.high], [y, y], color=PALETTE[0], linewidth=0.8)
        return
    if math.isnan(line.value):
        axes.text(0, y, " no figure", va="center", fontsize=8, color=FAINT)
        return
    if has_interval:
        axes.plot([line.low, line.high], [y, y], color=PALETTE[0], linewidth=3)
    told = line.verdict in ("helps", "harms")
    axes.plot(line.value, y, "o", color=PALETTE[0], markersize=7, markerfacecolor=PALETTE[0] if told else "white")


def _legend(figure: LiteralFigure, axes: Axes, *, paper: bool) -> None:
    handles = [
        axes.plot([], [], "o", color=PALETTE[0], label="helps or harms")[0],
        axes.plot([], [], "o", color=PALETTE[0], markerfacecolor="white", label="open, equivalent or exploratory")[0],
        axes.plot([], [], color=PALETTE[0], linewidth=3, label="these categories")[0],
        axes.plot([], [], color=PALETTE[0], linewidth=0.8, label="categories like these")[0],
    ]
    if paper:
        shape: dict[str, Any] = {"color": PALETTE[1], "markerfacecolor": "white", "markersize": 5}
        handles.append(axes.plot([], [], "D", label="paper (other data)", **shape)[0])
    figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 4), frameon=False, fontsize=8)
