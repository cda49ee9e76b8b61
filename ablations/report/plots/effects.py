"""A forest plot: effects of factors, or differences of rows, with their intervals."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from dlkd.ablations.report.plots.panels import FAINT, PALETTE, make_panels, row_height, wrap
from dlkd.ablations.report.tables import Table
from dlkd.ablations.report.words.entries import label
from dlkd.ablations.statistics.verdicts import told_apart
from dlkd.drawing import LiteralFigure


def forest(table: Table) -> LiteralFigure | None:
    """Effects with intervals, a panel a metric: of factors where the grid has them, else of rows."""
    names = effect_names(table)
    if not names:
        return None
    height = 1.25 + row_height(names) * len(names)
    figure, panels = make_panels(len(table.metrics), width=3.4, height=height, share_y=True)
    for axes, metric in zip(panels, table.metrics, strict=True):
        draw_effects(axes, table, metric)
    panels[0].set_yticks(range(len(names)), [wrap(n) for n in names])
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    handles = [
        panels[0].plot([], [], "o", color=PALETTE[0], label="told from noise")[0],
        panels[0].plot([], [], "o", color=PALETTE[0], markerfacecolor="white", label="not told from noise")[0],
    ]
    if table.effects is None and _paper_differences(table):
        shape: dict[str, Any] = {"color": PALETTE[1], "markerfacecolor": "white", "markersize": 5}
        handles.append(panels[0].plot([], [], "D", label="paper (other data)", **shape)[0])
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8)
    return figure


def effect_names(table: Table) -> list[str]:
    """The factors and pairs of them, or the rows, whose effects can be drawn, from top to bottom."""
    lines, name, _ = _lines(table)
    return [] if lines.empty else list(lines[name].unique())


def draw_effects(axes: Axes, table: Table, metric: str) -> None:
    """Each effect on one metric, in points, with its interval; full dots are told from noise."""
    lines, name, value = _lines(table)
    names = effect_names(table)
    paper = {} if table.effects is not None else _paper_differences(table)
    axes.axvline(0, color=FAINT, linewidth=1)
    for line in lines[lines["metric"] == metric].to_dict("records"):
        y, x = names.index(line[name]), line[value] * 100
        if math.isnan(x):
            axes.text(0, y, " no figure", va="center", fontsize=8, color=FAINT)
            continue
        told = told_apart(line)
        axes.plot([line["low"] * 100, line["high"] * 100], [y, y], color=PALETTE[0], linewidth=2)
        axes.plot(x, y, "o", color=PALETTE[0], markersize=7, markerfacecolor=PALETTE[0] if told else "white")
        if (line[name], metric) in paper:
            axes.plot(paper[line[name], metric], y, "D", color=PALETTE[1], markersize=5, markerfacecolor="white")
    axes.set_title(label(metric), fontsize=10)
    axes.set_xlabel("points" if table.effects is not None else "points against the reference", fontsize=9)
    axes.grid(axis="x", color="#e5e7ea")
    axes.margins(x=0.12)


def _lines(table: Table) -> tuple[pd.DataFrame, str, str]:
    """The effects of factors where the grid has them, else of rows; the columns of their names and values."""
    if table.effects is not None:
        return table.effects, "effect", "estimate"
    differences = table.differences
    return (differences if differences.empty else differences[differences["against"] == "full"]), "row", "difference"


def _paper_differences(table: Table) -> dict[tuple[str, str], float]:
    reference = next(row for row in table.rows if row.reference)
    found = {}
    for row in table.rows:
        for metric in table.metrics:
            difference = row.entries[metric].paper - reference.entries[metric].paper
            if not math.isnan(difference):
                found[row.label, metric] = difference
    return found
