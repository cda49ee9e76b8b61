"""A heat map: every metric of every row in every category."""

from __future__ import annotations

import math

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from numpy.typing import NDArray

from dlkd.ablations.report.plot_data import Categories
from dlkd.ablations.report.plots.panels import INK, PANEL, WRAP, make_panels, row_height, wrap
from dlkd.ablations.report.words.entries import label
from dlkd.ablations.stored.trials import NOT_RUN
from dlkd.drawing import LiteralFigure
from dlkd.text import shortened


def heat_map(scores: Categories) -> LiteralFigure:
    """Rows by categories, one panel and one colour scale per metric, per cent averaged over seeds."""
    labels, names = scores.rows, _columns(scores)
    width = max(PANEL, 0.5 * len(names) + 0.4)
    stacked = width > PANEL
    figure, panels = make_panels(
        len(scores.metrics),
        width=width,
        height=1.1 + row_height(labels) * len(labels),
        share_y=not stacked,
        stacked=stacked,
    )
    for axes, metric in zip(panels, scores.metrics, strict=True):
        draw_heat_map(axes, scores, metric)
        if stacked or axes is panels[0]:
            axes.set_yticks(range(len(labels)), [wrap(name) for name in labels])
    return figure


def draw_heat_map(axes: Axes, scores: Categories, metric: str) -> None:
    """One metric: rows by categories, per cent averaged over seeds."""
    names = _columns(scores)
    _draw_values(axes, scores.values[metric])
    axes.set_title(label(metric), fontsize=10)
    long = len(names) > 4 or max(map(len, names)) > 9
    axes.set_xticks(range(len(names)), names, rotation=40 if long else 0, ha="right" if long else "center")
    axes.tick_params(length=0, labelsize=8)
    axes.spines[:].set_visible(False)


def _columns(scores: Categories) -> list[str]:
    """The name of each column."""
    one_set = len({dataset for dataset, _ in scores.categories}) == 1
    return [
        shortened(category, WRAP) if one_set else f"{shortened(dataset, WRAP)}\n{shortened(category, WRAP)}"
        for dataset, category in scores.categories
    ]


def _draw_values(axes: Axes, cells: list[list[float | str]]) -> None:
    """One metric's values as colours and text; where there is none, why."""
    values = np.array([[np.nan if isinstance(cell, str) else cell for cell in row] for row in cells])
    colours = colormaps["cividis"].with_extremes(bad="#eceef0")
    shown = axes.imshow(np.ma.masked_invalid(values), cmap=colours, aspect="auto", norm=_limits(values))
    for (y, x), value in np.ndenumerate(values):
        if math.isnan(value):
            state = str(cells[y][x])
            text, ink = {"undefined": "undef.", "": "none", NOT_RUN: NOT_RUN}.get(state, "failed"), INK
        else:
            light = np.dot(np.power(shown.cmap(shown.norm(value))[:3], 2.2), (0.21, 0.72, 0.07))
            text, ink = f"{value:.1f}", "black" if light > 0.18 else "white"
        axes.text(x, y, text, ha="center", va="center", fontsize=8, color=ink)


def _limits(values: NDArray[np.float64]) -> Normalize:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Normalize(0, 1)
    return Normalize(finite.min() - 0.5, finite.max() + 0.5)
