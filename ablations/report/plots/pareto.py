"""Benefit over cost: each metric over the time of one image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from dlkd.ablations.report.plot_data import Costs
from dlkd.ablations.report.plots.panels import FAINT, MARKERS, PANEL, add_legend, colour, make_panels
from dlkd.ablations.report.words.entries import label
from dlkd.drawing import LiteralFigure


def pareto(costs: Costs) -> LiteralFigure:
    """Each metric over the time of one image; the line joins rows that no other row beats in both."""
    figure, panels = make_panels(len(costs.metrics), width=PANEL, height=2.8)
    handles: dict[str, Any] = {}
    for axes, metric in zip(panels, costs.metrics, strict=True):
        handles = draw_pareto(axes, costs, metric) | handles
    panels[0].set_ylabel("per cent", fontsize=9)
    add_legend(figure, {row.row: handles[row.row] for row in costs.rows if row.row in handles})
    return figure


def draw_pareto(axes: Axes, costs: Costs, metric: str) -> dict[str, Any]:
    """One metric over the time of one image; what stands for each row in a legend."""
    handles: dict[str, Any] = {}
    points = []
    for i, row in enumerate(costs.rows):
        x, (mean, low, high) = row.milliseconds, row.metrics[metric]
        if math.isnan(x) or math.isnan(mean):
            continue
        points.append((x, mean))
        shape: dict[str, Any] = {
            "color": colour(i),
            "marker": MARKERS[i % len(MARKERS)],
            "markersize": 8,
            "linestyle": "none",
        }
        bars = None if math.isnan(low) else [[mean - low], [high - mean]]
        handles[row.row] = axes.errorbar(x, mean, yerr=bars, elinewidth=1, **shape)
    front = _front(points)
    axes.plot([x for x, _ in front], [y for _, y in front], color=FAINT, linewidth=1, zorder=0)
    axes.set_title(label(metric), fontsize=10)
    axes.set_xlabel("milliseconds per image", fontsize=9)
    axes.grid(color="#e5e7ea")
    axes.tick_params(labelsize=8)
    axes.margins(0.15)
    if not points:
        axes.text(0.5, 0.5, "no figure", ha="center", va="center", transform=axes.transAxes, color=FAINT)
    return handles


def _front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    best, front = -math.inf, []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if y > best:
            best = y
            front.append((x, y))
    return front
