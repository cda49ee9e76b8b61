"""The data of each figure of a report: plain data, so that a figure with unchanged data is not drawn again."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from dlkd.ablations.report.tables import Table
from dlkd.ablations.report.words.entries import base
from dlkd.ablations.statistics.metric_trials import metric_trials
from dlkd.ablations.stored.store import part_of_result
from dlkd.training.trials.trial_folder import EXAMPLES


class Estimate(NamedTuple):
    """A comparison in points: what it is of, for which scope, its interval and its verdict."""

    name: str
    metric: str
    scope: str
    value: float
    low: float
    high: float
    verdict: str


@dataclass(frozen=True)
class Effects:
    """Effects of factors, or else differences of rows.

    Attributes:
        metrics: a panel each.
        primary_metric: the one that has intervals.
        margin: points that do not matter, either way.
        unit: what the figures are, in words.
        names: of what is compared, from top to bottom.
        estimates: of all metrics.
        paper: the paper's own differences: name, metric, points.
    """

    metrics: list[str]
    primary_metric: str
    margin: float
    unit: str
    names: list[str]
    estimates: list[Estimate]
    paper: list[tuple[str, str, float]]


def effects(table: Table) -> Effects | None:
    """None where there is nothing to compare."""
    lines = table.differences if table.effects is None else table.effects
    if lines.empty:
        return None
    estimates = [
        Estimate(
            name=line["row"],
            metric=line["metric"],
            scope=line["scope"],
            value=line["estimate"] * 100,
            low=line["low"] * 100,
            high=line["high"] * 100,
            verdict=line["verdict"],
        )
        for line in lines.to_dict("records")
    ]
    return Effects(
        metrics=table.metrics,
        primary_metric=table.grid.primary_metric,
        margin=table.grid.margin * 100,
        unit="points" if table.effects is not None else f"points against {base(table)}",
        names=list(lines["row"].unique()),
        estimates=estimates,
        paper=[] if table.effects is not None else list(_paper_differences(table)),
    )


def _paper_differences(table: Table) -> Iterator[tuple[str, str, float]]:
    rows = {row.label: row for row in table.rows}
    for row in table.rows:
        for metric in table.metrics if row.compared else ():
            difference = row.entries[metric].paper - rows[row.compared].entries[metric].paper
            if not math.isnan(difference):
                yield row.label, metric, difference


@dataclass(frozen=True)
class Categories:
    """Each metric of each row in each category, `(dataset, category)`: per cent over seeds, or its status."""

    metrics: list[str]
    rows: list[str]
    categories: list[tuple[str, str]]
    values: dict[str, list[list[float | str]]]


def categories(table: Table) -> Categories:
    """Of all cells; those without a figure have a status, empty where there is no such cell."""
    trials = table.trials
    places = list(dict.fromkeys(zip(trials["dataset"], trials["category"], strict=True)))
    rows = [row.label for row in table.rows]
    fine = trials[(trials["status"] == "ok") & np.isfinite(trials["value"])]
    by = ["metric", "row", "dataset", "category"]
    means = (fine.groupby(by)["value"].mean() * 100).to_dict()
    states = trials.groupby(by)["status"].first().to_dict()

    def value(*place: str) -> float | str:
        return float(means[place]) if place in means else states.get(place, "")

    values = {metric: [[value(metric, row, *place) for place in places] for row in rows] for metric in table.metrics}
    return Categories(table.metrics, rows, places, values)


class Spread(NamedTuple):
    """A row's mean over seeds in one category, its lowest seed and its highest, in per cent."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Profile:
    """One metric of each row over the categories.

    Attributes:
        metric: its name.
        rows: in the table's order.
        categories: (dataset, category), by data set, in each from the lowest mean over rows to the highest.
        values: by row and place of the category; none where no training of the row has a figure.
    """

    metric: str
    rows: list[str]
    categories: list[tuple[str, str]]
    values: dict[tuple[str, int], Spread]


def profile(table: Table, metric: str) -> Profile | None:
    """None where fewer than two categories have figures."""
    trials = metric_trials(table.trials, metric).dropna(subset="value")
    seeds = trials.groupby(["dataset", "category", "row"])["value"].agg(["mean", "min", "max"]) * 100
    middle = seeds["mean"].groupby(level=["dataset", "category"]).mean()
    if len(middle) < 2:
        return None
    datasets = list(dict.fromkeys(trials["dataset"]))
    places = sorted(middle.index, key=lambda place: (datasets.index(place[0]), middle[place], place[1]))
    values = {(row, places.index((name, c))): Spread(*map(float, line)) for (name, c, row), *line in seeds.itertuples()}
    return Profile(metric, [row.label for row in table.rows], places, values)


class Cost(NamedTuple):
    """A row's milliseconds per image, NaN where unknown, and `(mean, low, high)` of each metric in per cent."""

    row: str
    milliseconds: float
    metrics: dict[str, tuple[float, float, float]]


@dataclass(frozen=True)
class Costs:
    """What each row brings, and the time of an image that is scored by itself."""

    metrics: list[str]
    rows: list[Cost]


def costs(table: Table) -> Costs | None:
    """None where no row has a time."""
    rows = []
    for row in table.rows:
        entries = {name: (float(e.mean), float(e.low), float(e.high)) for name, e in row.entries.items()}
        rows.append(Cost(row.label, 1000 * row.measured.latency_1, entries))
    return None if all(math.isnan(row.milliseconds) for row in rows) else Costs(table.metrics, rows)


class Curve(NamedTuple):
    """A loss term over steps: mean of a row's trials, the lowest and the highest."""

    steps: list[float]
    mean: list[float]
    low: list[float]
    high: list[float]


@dataclass(frozen=True)
class Curves:
    """Curves of each row, by its place, and term."""

    rows: list[str]
    terms: list[str]
    curves: dict[tuple[int, str], Curve]


def curves(table: Table, store: Path) -> Curves | None:
    """None where no trial kept a curve."""
    kept = {row: _epochs(lines, store) for row, lines in table.trials.groupby("row")}
    terms = list(dict.fromkeys(t for c in kept.values() for t in c.columns if t not in ("step", "epoch", "trial")))
    if not terms:
        return None
    found = {}
    for i, row in enumerate(table.rows):
        epochs = kept.get(row.label, pd.DataFrame())
        for term in epochs.columns.intersection(terms):
            steps = epochs.groupby("step")[term].agg(["mean", "min", "max"])
            found[i, term] = Curve(steps.index.tolist(), *(steps[name].tolist() for name in ("mean", "min", "max")))
    return Curves([row.label for row in table.rows], sorted(terms, key=lambda term: term != "total"), found)


def _epochs(lines: pd.DataFrame, store: Path) -> pd.DataFrame:
    found = []
    for key in lines["key"].unique():
        curve = [epoch for epoch in part_of_result(store / key, "curve", list) if isinstance(epoch, dict)]
        found.append(pd.DataFrame(curve).apply(pd.to_numeric, errors="coerce").assign(trial=key))
    found = [curve for curve in found if not curve.empty]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


@dataclass(frozen=True)
class Kept:
    """The test images that a row's trial of a category kept, with its maps: a file, and a hash of its contents."""

    row: str
    dataset: str
    category: str
    digest: str
    file: Path = field(repr=False)


@dataclass(frozen=True)
class Examples:
    """The same test images for all rows, from files of the first seed's trials; `segmented`: at the threshold too."""

    rows: list[str]
    kept: list[Kept]
    segmented: bool = False


def segmentations(table: Table, store: Path) -> Examples | None:
    """Of the rows that the grid wants to see so; None where it wants none, or no trial of them kept any image."""
    rows = table.grid.segmented
    found = examples(table, store) if rows else None
    own = [kept for kept in found.kept if kept.row in rows] if found is not None else []
    return Examples(list(rows), own, segmented=True) if own else None


def examples(table: Table, store: Path) -> Examples | None:
    """None where no trial kept any."""
    seed = table.trials["seed"].min()
    places = table.trials[table.trials["seed"] == seed].drop_duplicates(["row", "dataset", "category"])
    kept = []
    for line in places.itertuples():
        path = store / line.key / EXAMPLES
        with suppress(OSError), path.open("rb") as file:  # pictures can be done without
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            kept.append(Kept(line.row, line.dataset, line.category, digest, path))
    return Examples([row.label for row in table.rows], kept) if kept else None
