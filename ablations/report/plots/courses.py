"""Verdicts by number of seeds: estimate and interval with the first 2, 3, ... seeds."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from dlkd.ablations.report.pair_data import Courses, Look
from dlkd.ablations.report.plots.panels import FAINT, PALETTE, PANEL, make_panels, wrap
from dlkd.drawing import LiteralFigure


def draw_courses(data: Courses) -> LiteralFigure:
    """A panel per comparison: its estimate and interval over the number of seeds."""
    figure, panels = make_panels(len(data.rows), width=PANEL, height=2.3)
    for axes, row in zip(panels, data.rows, strict=True):
        axes.axhspan(-data.margin, data.margin, color="#e5e7ea", zorder=0)
        axes.axhline(0, color=FAINT, linewidth=1)
        _draw(axes, data.looks[row])
        axes.set_title(wrap(row, 26), fontsize=9)
        axes.set_xlabel("seeds per category", fontsize=9)
        axes.set_ylabel("points", fontsize=9)
    return figure


def _draw(axes: Axes, looks: list[Look]) -> None:
    seeds, low, middle, high = (np.array([look[i] for look in looks], dtype=float) for i in range(4))
    told = np.array([look.verdict in ("helps", "harms") for look in looks])
    axes.fill_between(seeds, low, high, color=PALETTE[0], alpha=0.2, linewidth=0)
    axes.plot(seeds, middle, color=PALETTE[0], linewidth=1.6)
    axes.plot(seeds[told], middle[told], "o", color=PALETTE[0], markersize=5)
    # Two seeds leave an interval so wide that nothing else could be seen.
    shown = np.concatenate([low[seeds > 2], high[seeds > 2], middle])
    shown = shown[np.isfinite(shown)]
    if len(shown):
        room = 0.05 * float(np.ptp(shown)) + 0.1
        axes.set_ylim(float(shown.min()) - room, float(shown.max()) + room)
    axes.set_xticks(seeds[:: 1 + len(seeds) // 10])
