"""The differences behind the averages: a point per category and seed."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from dlkd.ablations.report.pair_data import PairPoints
from dlkd.ablations.report.plots.panels import FAINT, INK, MARKERS, add_legend, colour, make_panels, row_height, wrap
from dlkd.ablations.report.words.entries import label
from dlkd.drawing import LiteralFigure

MOST_CATEGORIES = 15
"""Beyond, colours say nothing: all points have the same."""


def draw_pair_points(data: PairPoints) -> LiteralFigure:
    """Each comparison of rows, a point per category and seed, a bar at each category's mean."""
    count = len(data.categories)
    tall = max(row_height(data.rows), 0.09 * min(count, MOST_CATEGORIES) + 0.15)
    figure, [axes] = make_panels(1, width=7.0, height=1.2 + tall * len(data.rows), share_y=True)
    handles: dict[str, Any] = {}
    for i, category in enumerate(data.categories):
        shade, mark = (colour(i), MARKERS[i % len(MARKERS)]) if count <= MOST_CATEGORIES else (colour(0), "o")
        shift = 0.6 * ((i + 0.5) / count - 0.5)
        for y, row in enumerate(data.rows):
            points = [point.value for point in data.points if (point.row, point.category) == (row, i)]
            if points:
                middle = sum(points) / len(points)
                axes.plot(points, [y + shift] * len(points), mark, color=shade, markersize=4.5, alpha=0.75)
                axes.plot([middle] * 2, [y + shift - 0.07, y + shift + 0.07], color=INK, linewidth=1.6)
        if count <= MOST_CATEGORIES:
            handles[category] = axes.plot([], [], mark, color=shade, linestyle="none")[0]
    _frame(axes, data)
    add_legend(figure, handles)
    return figure


def _frame(axes: Axes, data: PairPoints) -> None:
    axes.axvline(0, color=FAINT, linewidth=1)
    axes.axvspan(-data.margin, data.margin, color="#e5e7ea", zorder=0)
    axes.set_yticks(range(len(data.rows)), [wrap(name) for name in data.rows])
    axes.set_ylim(len(data.rows) - 0.45, -0.55)
    axes.set_title(label(data.metric), fontsize=10)
    axes.set_xlabel(data.unit, fontsize=9)
    axes.grid(axis="x", color="#e5e7ea")
