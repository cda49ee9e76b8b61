"""A profile over categories: each row's metric in every category, from the hardest category to the easiest."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes

from dlkd.ablations.report.plot_data import Profile
from dlkd.ablations.report.plots.panels import INK, MARKERS, WRAP, add_legend, colour, dash, make_panels
from dlkd.ablations.report.words.entries import label
from dlkd.drawing import LiteralFigure
from dlkd.text import plain, shortened

SPREAD = 0.6
"""Part of a category's width that the rows' points take side by side."""
WIDEST = 8.5
"""Inches that are legible on a page of A4."""


def draw_profile(data: Profile) -> LiteralFigure:
    """One panel, as wide as its categories need."""
    figure, [axes] = make_panels(1, width=profile_width(data), height=4.4)
    add_legend(figure, draw_rows(axes, data))
    return figure


def profile_width(data: Profile) -> float:
    """Inches for a profile."""
    each = 0.3 + SPREAD * 0.11 * len(data.rows)
    return min(WIDEST, max(5.2, 1 + each * len(data.categories)))


def draw_rows(axes: Axes, data: Profile) -> dict[str, Any]:
    """A line per row through its means, with a bar from its lowest to its highest seed; what stands for each row."""
    places = _places(data)
    handles: dict[str, Any] = {}
    for i, row in enumerate(data.rows):
        shift = SPREAD * ((i + 0.5) / len(data.rows) - 0.5)
        style: dict[str, Any] = {"color": colour(i), "linestyle": dash(i), "marker": MARKERS[i % len(MARKERS)]}
        for part in _parts(data):
            found = [(places[k] + shift, data.values[row, k]) for k in part if (row, k) in data.values]
            xs = [x for x, _ in found]
            axes.vlines(xs, [v.low for _, v in found], [v.high for _, v in found], color=colour(i), linewidth=1.1)
            axes.plot(xs, [v.mean for _, v in found], linewidth=1.1, markersize=4.5, **style)
        handles[row] = axes.plot([], [], linewidth=1.1, markersize=4.5, **style)[0]
    _frame(axes, data, places)
    return handles


def _parts(data: Profile) -> list[list[int]]:
    """The categories' places in the data, by data set: no line joins two of these."""
    parts: dict[str, list[int]] = {}
    for k, (dataset, _) in enumerate(data.categories):
        parts.setdefault(dataset, []).append(k)
    return list(parts.values())


def _places(data: Profile) -> list[float]:
    """Where the categories stand, with half a place between two data sets."""
    return [k + 0.5 * i for i, part in enumerate(_parts(data)) for k in part]


def _frame(axes: Axes, data: Profile, places: list[float]) -> None:
    names = [shortened(plain(category), WRAP) for _, category in data.categories]
    crowded = sum(map(len, names)) > 9 * profile_width(data)
    turned: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
    axes.set_xticks(places, names, **turned)
    for place in places:
        axes.axvspan(place - 0.44, place + 0.44, color="#f4f5f6", zorder=0, linewidth=0)
    parts = _parts(data)
    for part in parts if len(parts) > 1 else ():
        name, width = data.categories[part[0]][0], places[part[-1]] - places[part[0]] + 0.9
        shown = shortened(plain(name), max(8, round(width * 9)))
        at = (places[part[0]] + places[part[-1]]) / 2
        axes.text(at, 1.01, shown, transform=axes.get_xaxis_transform(), ha="center", fontsize=8, color=INK)
    axes.set_title(label(data.metric), fontsize=10, pad=18 if len(parts) > 1 else 6)
    axes.set_ylabel("per cent", fontsize=9)
    axes.grid(axis="y", color="#e5e7ea")
    axes.tick_params(axis="x", length=0, labelsize=8)
    axes.set_xlim(places[0] - 0.6, places[-1] + 0.6)
