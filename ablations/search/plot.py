"""A plot of a search: the score of each setting against each parameter."""

from __future__ import annotations

import textwrap
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from dlkd.ablations.plan.tuning import Parameter, shown
from dlkd.ablations.report.plots.panels import FAINT, PALETTE, PANEL, make_panels
from dlkd.ablations.report.words.entries import label
from dlkd.ablations.search.definition import Search
from dlkd.ablations.search.records import DIVERGED, DONE, ENDS, STOPPED
from dlkd.drawing import LiteralFigure

MARKERS = {DONE: ("o", PALETTE[0]), STOPPED: ("s", FAINT), DIVERGED: ("x", PALETTE[1])}


def plot(search: Search, trials: pd.DataFrame, best: pd.Series | None) -> LiteralFigure:
    """Score of each trial's last rung, one panel per parameter; `best` is the trial that is circled."""
    figure, axes = make_panels(len(search.space), width=PANEL, height=2.5)
    for each, (name, parameter) in zip(axes, search.space.items(), strict=True):
        for status, (marker, colour) in MARKERS.items():
            own = trials[trials["status"] == status]
            if not own.empty:
                x = [_place(parameter, value) for value in own[name]]
                size = 26 if status == DONE else 16
                each.scatter(x, own["score"] * 100, marker=marker, color=colour, s=size, label=ENDS[status])
        if best is not None:
            at = (_place(parameter, best[name]), best["score"] * 100)
            each.scatter(*at, s=120, facecolors="none", edgecolors=PALETTE[2], label="best")
        _scale(each, parameter)
        each.set_title(name, fontsize=10)
        each.set_axisbelow(True)
        each.grid(color="#e5e7ea")
    axes[0].set_ylabel(f"{label(search.metric)}, validation", fontsize=9)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=8)
    return figure


def _place(parameter: Parameter, value: Any) -> float:
    """Where a value as Optuna has it stands on the axis: choices side by side, numbers as they are."""
    if parameter.choice is None:
        return float(value)
    return [parameter.to_optuna(choice) for choice in parameter.choice].index(value)


def _scale(axes: Axes, parameter: Parameter) -> None:
    if parameter.choice is not None:
        names = [textwrap.fill(shown(value), 28 // len(parameter.choice)) for value in parameter.choice]
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.5, len(names) - 0.5)
        return
    low, high = parameter.values
    if parameter.log is None:
        margin = 0.05 * (high - low)
        axes.set_xlim(low - margin, high + margin)
        return
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    margin = (high / low) ** 0.05
    axes.set_xlim(low / margin, high * margin)
