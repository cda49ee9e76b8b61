"""The pictures of a report, drawn from a grid's table and from what its trials kept."""

from __future__ import annotations

import math
import textwrap
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from dlkd.ablations.report.tables import Table, label
from dlkd.ablations.run.store import NOT_RUN, part_of_result
from dlkd.drawing import LiteralFigure
from dlkd.text import plain, shortened
from dlkd.training.examples import EXAMPLES
from dlkd.training.pictures import COLOURS, overlay

# Okabe and Ito's colours, told apart by the colour-blind; shapes and dashes say it again.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vP*X<>"
DASHES = ("-", "--", ":", "-.")
INK, FAINT = "#1f2328", "#8c959f"
TERMS = {"total": "total loss", "ckd": "CKD", "pkd": "PKD", "anomaly_similarity": "anomaly similarity"}
MOST_EXAMPLES = 8
"""Columns of the picture grid."""
WRAP = 22
MOST_LINES = 3
"""Of a row's name beside a panel."""


class Example(NamedTuple):
    """A test image of a category: its place in `examples.npz`."""

    dataset: str
    category: str
    place: int


def forest(table: Table) -> LiteralFigure | None:
    """Effects with intervals, a panel a metric: of factors where the grid has them, else of rows."""
    if table.effects is not None:
        lines, name, value = table.effects, "effect", "estimate"
    elif not table.differences.empty:
        lines, name, value = table.differences[table.differences["against"] == "full"], "row", "difference"
    else:
        return None
    names = list(lines[name].unique())
    paper = {} if table.effects is not None else _paper_differences(table)
    height = 1.25 + _row_height(names) * len(names)
    figure, panels = make_panels(len(table.metrics), width=3.4, height=height, share_y=True)
    for axes, metric in zip(panels, table.metrics, strict=True):
        axes.axvline(0, color=FAINT, linewidth=1)
        for line in lines[lines["metric"] == metric].to_dict("records"):
            y, x = names.index(line[name]), line[value] * 100
            if math.isnan(x):
                axes.text(0, y, " no figure", va="center", fontsize=8, color=FAINT)
                continue
            told = line["p_holm"] <= line["alpha"]
            axes.plot([line["low"] * 100, line["high"] * 100], [y, y], color=PALETTE[0], linewidth=2)
            axes.plot(x, y, "o", color=PALETTE[0], markersize=7, markerfacecolor=PALETTE[0] if told else "white")
            if (line[name], metric) in paper:
                axes.plot(paper[line[name], metric], y, "D", color=PALETTE[1], markersize=5, markerfacecolor="white")
        axes.set_title(label(metric), fontsize=10)
        axes.set_xlabel("points" if table.effects is not None else "points against the reference", fontsize=9)
        axes.grid(axis="x", color="#e5e7ea")
        axes.margins(x=0.12)
    panels[0].set_yticks(range(len(names)), [_wrap(n) for n in names])
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    handles = [
        panels[0].plot([], [], "o", color=PALETTE[0], label="told from noise")[0],
        panels[0].plot([], [], "o", color=PALETTE[0], markerfacecolor="white", label="not told from noise")[0],
    ]
    if paper:
        shape: dict[str, Any] = {"color": PALETTE[1], "markerfacecolor": "white", "markersize": 5}
        handles.append(panels[0].plot([], [], "D", label="paper (other data)", **shape)[0])
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8)
    return figure


def heat_map(table: Table) -> LiteralFigure | None:
    """Rows by categories, a panel a metric, per cent averaged over seeds; one colour scale a metric."""
    trials = table.trials
    categories = list(dict.fromkeys(zip(trials["dataset"], trials["category"], strict=True)))
    labels = [row.label for row in table.rows]
    one_set = trials["dataset"].nunique() == 1
    names = [
        shortened(category, WRAP) if one_set else f"{shortened(dataset, WRAP)}\n{shortened(category, WRAP)}"
        for dataset, category in categories
    ]
    width = max(2.4, 0.62 * len(names) + 0.4)
    stacked = len(names) > 6
    figure, panels = make_panels(
        len(table.metrics),
        width=width,
        height=1.1 + _row_height(labels) * len(labels),
        share_y=not stacked,
        stacked=stacked,
    )
    for axes, metric in zip(panels, table.metrics, strict=True):
        lines = trials[trials["metric"] == metric]
        fine = lines[(lines["status"] == "ok") & np.isfinite(lines["value"])]
        means = fine.groupby(["row", "dataset", "category"])["value"].mean() * 100
        states = lines.groupby(["row", "dataset", "category"])["status"].first()
        values = np.array([[means.get((row, *c), np.nan) for c in categories] for row in labels])
        colours = colormaps["cividis"].with_extremes(bad="#eceef0")
        shown = axes.imshow(np.ma.masked_invalid(values), cmap=colours, aspect="auto", norm=_limits(values))
        for (y, x), value in np.ndenumerate(values):
            if math.isnan(value):
                state = states.get((labels[y], *categories[x]), "")
                text, ink = {"undefined": "undef.", "": "none", NOT_RUN: NOT_RUN}.get(state, "failed"), INK
            else:
                light = np.dot(np.power(shown.cmap(shown.norm(value))[:3], 2.2), (0.21, 0.72, 0.07))
                text, ink = f"{value:.1f}", "black" if light > 0.18 else "white"
            axes.text(x, y, text, ha="center", va="center", fontsize=8, color=ink)
        axes.set_title(label(metric), fontsize=10)
        long = len(names) > 6 or max(map(len, names)) > 9
        axes.set_xticks(range(len(names)), names, rotation=40 if long else 0, ha="right" if long else "center")
        axes.tick_params(length=0, labelsize=8)
        axes.spines[:].set_visible(False)
        if stacked or axes is panels[0]:
            axes.set_yticks(range(len(labels)), [_wrap(name) for name in labels])
    return figure


def learning_curves(table: Table, store: Path) -> LiteralFigure | None:
    """Loss terms over steps, a panel a term: mean of a row's trials, band from the lowest to the highest."""
    curves = {row: _curves(lines, store) for row, lines in table.trials.groupby("row")}
    terms = list(dict.fromkeys(t for c in curves.values() for t in c.columns if t not in ("step", "epoch", "trial")))
    if not terms:
        return None
    terms.sort(key=lambda term: term != "total")
    figure, panels = make_panels(len(terms), width=3.5, height=2.9)
    handles: dict[str, Any] = {}
    for i, row in enumerate(table.rows):
        curve = curves.get(row.label, pd.DataFrame())
        for axes, term in zip(panels, terms, strict=True):
            if term not in curve:
                continue
            by_step = curve.groupby("step")[term]
            mean = by_step.mean()
            axes.fill_between(mean.index, by_step.min(), by_step.max(), color=_colour(i), alpha=0.15, linewidth=0)
            [line] = axes.plot(mean.index, mean, color=_colour(i), linestyle=_dash(i), linewidth=1.6)
            handles.setdefault(row.label, line)
    for axes, term in zip(panels, terms, strict=True):
        axes.set_title(TERMS.get(term, term), fontsize=10)
        axes.set_xlabel("step", fontsize=9)
        axes.grid(color="#e5e7ea")
        axes.tick_params(labelsize=8)
    _legend(figure, handles)
    return figure


def pareto(table: Table) -> LiteralFigure | None:
    """Each metric over the time of one image; the line joins rows that no other row beats in both."""
    timed = [row for row in table.rows if row.costs["images_per_second"] > 0]
    if not timed:
        return None
    figure, panels = make_panels(len(table.metrics), width=3.5, height=3.4)
    handles: dict[str, Any] = {}
    for axes, metric in zip(panels, table.metrics, strict=True):
        points = []
        for i, row in enumerate(table.rows):
            entry = row.entries[metric]
            if row not in timed or math.isnan(entry.mean):
                continue
            x = 1000 / row.costs["images_per_second"]
            points.append((x, entry.mean))
            shape: dict[str, Any] = {
                "color": _colour(i),
                "marker": MARKERS[i % len(MARKERS)],
                "markersize": 8,
                "linestyle": "none",
            }
            reach = [[entry.mean - entry.low], [entry.high - entry.mean]]
            bars = None if math.isnan(entry.low) else reach
            handles.setdefault(row.label, axes.errorbar(x, entry.mean, yerr=bars, elinewidth=1, **shape))
        front = _front(points)
        axes.plot([x for x, _ in front], [y for _, y in front], color=FAINT, linewidth=1, zorder=0)
        axes.set_title(label(metric), fontsize=10)
        axes.set_xlabel("milliseconds per image", fontsize=9)
        axes.grid(color="#e5e7ea")
        axes.tick_params(labelsize=8)
        axes.margins(0.15)
        if not points:
            axes.text(0.5, 0.5, "no figure", ha="center", va="center", transform=axes.transAxes, color=FAINT)
    panels[0].set_ylabel("per cent", fontsize=9)
    _legend(figure, handles)
    return figure


def picture_grid(table: Table, store: Path) -> LiteralFigure | None:
    """The same test images for all rows: image, ground truth, then each row's map and score, on one scale.

    A map's unit is its own trial's threshold, so that 1 is where that variant raises an alarm.
    """
    seed = table.trials["seed"].min()
    keys = table.trials[table.trials["seed"] == seed].drop_duplicates(["row", "dataset", "category"])
    kept: dict[tuple[str, str, str], dict[str, NDArray[Any]]] = {}
    for line in keys.itertuples():
        if (loaded := _examples(store / line.key)) is not None:
            kept[line.row, line.dataset, line.category] = loaded
    chosen, sources = _choose(kept)
    if not chosen:
        return None
    labels = [row.label for row in table.rows]
    scaled = {at: example["maps"].astype(float) / _unit(example) for at, example in kept.items()}
    shown = [
        scaled[row, c.dataset, c.category][c.place]
        for row in labels
        for c in chosen
        if (row, c.dataset, c.category) in scaled
    ]
    low, high = (float(q) for q in np.quantile(np.concatenate([m.ravel()[::7] for m in shown]), [0.02, 0.998]))
    high = max(high, low + 1e-6)

    columns, lines = len(chosen), len(labels) + 2
    tight = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0.0, hspace=0.0)
    figure = LiteralFigure((1.7 + 1.12 * columns, 0.75 + 1.26 * lines), tight)
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    for x, c in enumerate(chosen):
        example = sources[c.dataset, c.category]
        mask = _mask(example, c.place)
        grid[0, x].imshow(example["images"][c.place])
        grid[0, x].set_title(
            f"{shortened(c.category, 16)}\n{'anomalous' if example['labels'][c.place] else 'normal'}", fontsize=8
        )
        if mask is None:
            grid[1, x].text(0.5, 0.5, "no mask", ha="center", va="center", fontsize=8, color=FAINT)
        else:
            grid[1, x].imshow(mask, cmap="gray", vmin=0, vmax=1)
        for y, row in enumerate(labels, 2):
            at = (row, c.dataset, c.category)
            if at not in scaled:
                grid[y, x].text(0.5, 0.5, "no\nresult", ha="center", va="center", fontsize=8, color=FAINT)
                continue
            own = kept[at]  # a row may have an image size of its own
            drawn = overlay(own["images"][c.place], scaled[at][c.place], low, high, mask=_mask(own, c.place))
            grid[y, x].imshow(drawn)
            score = float(kept[at]["scores"][c.place]) / _unit(kept[at])
            alarm = {"fontweight": "bold"} if score > 1 else {"color": "#57606a"}
            grid[y, x].set_xlabel(f"{score:.2f}", fontsize=8, labelpad=1, **alarm)
    for y, name in enumerate(["image", "ground truth", *labels]):
        grid[y, 0].set_ylabel(_wrap(name, 16), rotation=0, ha="right", va="center", fontsize=8.5, labelpad=6)
    bar = figure.colorbar(
        ScalarMappable(Normalize(low, high), COLOURS), ax=grid, location="bottom", aspect=60, fraction=0.02, pad=0.01
    )
    bar.set_label("anomaly map; 1 = each row's own threshold, from normal training images", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return figure


def _choose(
    kept: dict[tuple[str, str, str], dict[str, NDArray[Any]]],
) -> tuple[list[Example], dict[tuple[str, str], dict[str, NDArray[Any]]]]:
    """Which images to show, categories in turn, and where to read each category's."""
    sources: dict[tuple[str, str], dict[str, NDArray[Any]]] = {}
    for (_, dataset, category), example in kept.items():
        sources.setdefault((dataset, category), example)
    turns = []
    for i, ((dataset, category), example) in enumerate(sources.items()):
        anomalous, normal = (np.flatnonzero(example["labels"] == wanted).tolist() for wanted in (1, 0))
        # Two defects before the normal image: a glance over the first columns shows what is found.
        for turn, index in enumerate([*anomalous[:2], *normal, *anomalous[2:]]):
            # However many categories there are, one normal image shows what false alarms look like.
            wanted = turn if i or index not in normal else -1
            turns.append((wanted, i, turn, Example(dataset, category, index)))
    first = sorted(sorted(turns)[:MOST_EXAMPLES], key=lambda entry: entry[1:])
    return [example for *_, example in first], sources


def _examples(folder: Path) -> dict[str, NDArray[Any]] | None:
    """What a trial kept; None where it is not there or cannot be read, as pictures can be done without."""
    path = folder / EXAMPLES
    if not path.is_file():
        return None
    try:
        with np.load(path) as file:
            found = dict(file)
        count = len(found["labels"])
        fits = all(len(found[name]) == count for name in ("images", "maps", "scores")) and found["threshold"].size == 1
        return found if count and fits else None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def _mask(example: dict[str, NDArray[Any]], place: int) -> NDArray[np.bool_] | None:
    masks = example["masks"]
    return masks[place] if masks.ndim == 3 else None


def _unit(example: dict[str, NDArray[Any]]) -> float:
    """The trial's threshold; 1 where its maps are all zero."""
    unit = float(example["threshold"])
    return unit if unit > 0 else 1.0


def _curves(lines: pd.DataFrame, store: Path) -> pd.DataFrame:
    found = []
    for key in lines["key"].unique():
        curve = [epoch for epoch in part_of_result(store / key, "curve", list) if isinstance(epoch, dict)]
        found.append(pd.DataFrame(curve).apply(pd.to_numeric, errors="coerce").assign(trial=key))
    found = [curve for curve in found if not curve.empty]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def _paper_differences(table: Table) -> dict[tuple[str, str], float]:
    reference = next(row for row in table.rows if row.reference)
    found = {}
    for row in table.rows:
        for metric in table.metrics:
            difference = row.entries[metric].paper - reference.entries[metric].paper
            if not math.isnan(difference):
                found[row.label, metric] = difference
    return found


def _front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    best, front = -math.inf, []
    for x, y in sorted(points, key=lambda point: (point[0], -point[1])):
        if y > best:
            best = y
            front.append((x, y))
    return front


def make_panels(
    count: int,
    *,
    width: float,
    height: float,
    share_y: bool = False,
    stacked: bool = False,
) -> tuple[LiteralFigure, list[Axes]]:
    """So many axes, three side by side, without pyplot's global state."""
    columns = 1 if stacked else min(count, 3)
    rows = math.ceil(count / columns)
    # Row names stand left of the first column, in inches on top of the panels.
    figure = LiteralFigure((width * columns + (1.3 if share_y or stacked else 0), height * rows))
    axes = list(figure.subplots(rows, columns, squeeze=False, sharey=share_y).flat)
    for spare in axes[count:]:
        spare.set_axis_off()
    for each in axes[:count]:
        each.spines[["top", "right"]].set_visible(False)
        each.tick_params(labelsize=8)
    return figure, axes[:count]


def _legend(figure: LiteralFigure, handles: dict[str, Any]) -> None:
    """A legend of row labels; given by hand, since matplotlib's own leaves out labels that begin with "_"."""
    if handles:
        columns = min(len(handles), 3)
        labels = [_wrap(label, 2 * WRAP) for label in handles]
        figure.legend(handles.values(), labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)


def _limits(values: NDArray[np.float64]) -> Normalize:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Normalize(0, 1)
    return Normalize(finite.min() - 0.5, finite.max() + 0.5)


def _colour(i: int) -> str:
    return PALETTE[i % len(PALETTE)]


def _dash(i: int) -> str:
    return DASHES[i % len(DASHES)]


def _row_height(names: Sequence[str]) -> float:
    """Inches for each row, so that no name runs into the next one."""
    return max(0.36, *(0.04 + 0.14 * (_wrap(name).count("\n") + 1) for name in names))


def _wrap(name: str, width: int = WRAP) -> str:
    """The name in at most `MOST_LINES` lines, its middle left out where it takes more."""
    lines = textwrap.wrap(plain(name), width)
    most = MOST_LINES * width
    while len(lines) > MOST_LINES:  # breaks at spaces waste some of each line
        lines = textwrap.wrap(shortened(plain(name), most), width)
        most -= 1
    return "\n".join(lines)
