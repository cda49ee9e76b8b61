"""A table's figures by group and category: the average of each group, and each category by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from dlkd.ablations.plan.grid import TOTAL, Grid
from dlkd.ablations.report.tables import Entry, Table, make_entry
from dlkd.ablations.statistics.row_means import row_means

Place = tuple[str, str]
"""Dataset and category."""


@dataclass(frozen=True)
class Part:
    """Some categories of a table's data.

    Attributes:
        name: of the group or category; `TOTAL` of all.
        label: the name, with the dataset where categories of several are there, and with how much of a group is there.
        places: its categories.
        average: whether it is an average of categories.
    """

    name: str
    label: str
    places: tuple[Place, ...]
    average: bool


@dataclass(frozen=True)
class Parts:
    """The figures of a table by part: each group's categories with the group, then other categories, then all.

    Attributes:
        parts: from top to bottom.
        entries: by part's place, metric and row. They have no difference to another row.
        seconds: of training per cell, by part's place and row; NaN where nothing is known.
        metrics: those of the table that have a figure, with the rows that the paper has figures of.
    """

    parts: list[Part]
    entries: dict[tuple[int, str, str], Entry]
    seconds: dict[tuple[int, str], float]
    metrics: dict[str, list[str]]


def parts_of(trials: pd.DataFrame, grid: Grid) -> list[Part]:
    """The parts of a grid's own trials. A group that has no category there is left out."""
    places = list(dict.fromkeys(zip(trials["dataset"], trials["category"], strict=True)))
    several = len({dataset for dataset, _ in places}) > 1
    found: list[Part] = []
    single = [Part(c, f"{dataset}/{c}" if several else c, ((dataset, c),), False) for dataset, c in places]
    for name, categories in grid.groups.items():
        inside = sorted((p for p in single if p.name in categories), key=lambda p: categories.index(p.name))
        if inside:
            here = len({part.name for part in inside})
            some = f" ({here} of {len(categories)} categories)" if here < len(categories) else ""
            group = Part(name, name + some, tuple(place for part in inside for place in part.places), True)
            found += [*(part for part in inside if part not in found), group]
    return [*found, *(part for part in single if part not in found), Part(TOTAL, TOTAL, tuple(places), True)]


def by_part(table: Table) -> Parts | None:
    """None where the grid is about the average of all categories alone."""
    if not table.grid.by_part:
        return None
    parts = parts_of(table.trials, table.grid)
    entries: dict[tuple[int, str, str], Entry] = {}
    seconds: dict[tuple[int, str], float] = {}
    for i, part in enumerate(parts):
        own = within(table.trials, part.places)
        spent = own.drop_duplicates(["row", "key"]).reindex(columns=["row", "train_seconds"])
        medians = spent.astype({"train_seconds": float}).groupby("row")["train_seconds"].median()
        for row in table.rows:
            seconds[i, row.label] = float(medians.get(row.label, float("nan")))
        for metric in table.metrics:
            means = row_means(own, metric).set_index("row")
            of_metric = own[own["metric"] == metric]
            for each in table.grid.rows:
                cells = of_metric[of_metric["row"] == each.label]
                paper = each.published(metric, part.name)
                entries[i, metric, each.label] = make_entry(cells, each.label, paper, means)
    measured = {metric for (_, metric, _), entry in entries.items() if not math.isnan(entry.mean)}
    metrics = {m: _published(table, parts, entries, m) for m in table.metrics if m in measured}
    return Parts(parts, entries, seconds, metrics)


def _published(table: Table, parts: list[Part], entries: dict[tuple[int, str, str], Entry], metric: str) -> list[str]:
    """The rows that the paper has a figure of, in any part."""
    rows = [row.label for row in table.rows]
    return [row for row in rows if any(not math.isnan(entries[i, metric, row].paper) for i in range(len(parts)))]


def within(trials: pd.DataFrame, places: Sequence[Place]) -> pd.DataFrame:
    """The trials on some categories."""
    return trials[pd.MultiIndex.from_frame(trials[["dataset", "category"]]).isin(list(places))]
