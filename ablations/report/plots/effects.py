"""A forest plot: effects of factors, or differences of rows, with their intervals."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from dlkd.ablations.report.plots.panels import FAINT, PALETTE, make_panels, row_height, wrap
from dlkd.ablations.report.tables import Table
from dlkd.ablations.report.words.entries import label
from dlkd.drawing import LiteralFigure


def forest(table: Table) -> LiteralFigure | None:
    """Effects of factors where the grid has them, else differences of rows; a panel per metric."""
    names = effect_names(table)
    if not names:
        return None
    height = 1.25 + row_height(names) * len(names)
    figure, panels = make_panels(len(table.metrics), width=3.4, height=height, share_y=True)
    for axes, metric in zip(panels, table.metrics, strict=True):
        draw_effects(axes, table, metric)
    panels[0].set_yticks(range(len(names)), [wrap(n) for n in names])
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    _legend(figure, panels[0], paper=bool(_paper_differences(table)))
    return figure


def effect_names(table: Table) -> list[str]:
    """The factors and pairs of them, or the rows, whose effects can be drawn, from top to bottom."""
    return list(_lines(table)["row"].unique())


def draw_effects(axes: Axes, table: Table, metric: str) -> None:
    """Each effect on one metric, in points.

    The primary metric has the intervals of both scopes and the band of differences that do not matter; others, which
    are exploratory, have the estimates alone.
    """
    names, lines = effect_names(table), _lines(table)
    primary = metric == table.grid.primary_metric
    axes.axvline(0, color=FAINT, linewidth=1)
    if primary:
        axes.axvspan(-table.grid.margin * 100, table.grid.margin * 100, color="#e5e7ea", zorder=0)
    for line in lines[lines["metric"] == metric].to_dict("records"):
        _draw(axes, names.index(line["row"]), line)
    for (name, of), x in _paper_differences(table).items():
        if of == metric and name in names:
            axes.plot(x, names.index(name), "D", color=PALETTE[1], markersize=5, markerfacecolor="white")
    axes.set_title(label(metric) + ("" if primary else " (exploratory)"), fontsize=10)
    against = "the row above" if table.grid.stepwise else "the reference"
    axes.set_xlabel("points" if table.effects is not None else f"points against {against}", fontsize=9)
    axes.grid(axis="x", color="#e5e7ea")
    axes.margins(x=0.12)


def _lines(table: Table) -> pd.DataFrame:
    return table.differences if table.effects is None else table.effects


def _draw(axes: Axes, y: int, line: dict[str, Any]) -> None:
    """One scope of one comparison; an exploratory one is its estimate alone."""
    x, low, high = (line[name] * 100 for name in ("estimate", "low", "high"))
    if line["scope"] == "like":
        if math.isfinite(low) and math.isfinite(high):
            axes.plot([low, high], [y, y], color=PALETTE[0], linewidth=0.8)
        return
    if math.isnan(x):
        axes.text(0, y, " no figure", va="center", fontsize=8, color=FAINT)
        return
    if math.isfinite(low) and math.isfinite(high):
        axes.plot([low, high], [y, y], color=PALETTE[0], linewidth=3)
    told = line["verdict"] in ("helps", "harms")
    axes.plot(x, y, "o", color=PALETTE[0], markersize=7, markerfacecolor=PALETTE[0] if told else "white")


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


def _paper_differences(table: Table) -> dict[tuple[str, str], float]:
    """Of the paper's figures, where rows and not factors are drawn."""
    rows = {row.label: row for row in table.rows}
    found: dict[tuple[str, str], float] = {}
    if table.effects is not None:
        return found
    for row in table.rows:
        for metric in table.metrics if row.compared else ():
            difference = row.entries[metric].paper - rows[row.compared].entries[metric].paper
            if not math.isnan(difference):
                found[row.label, metric] = difference
    return found
