"""Compares two runs, row by row, over the cells that both have."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

from dlkd.ablations.report.markdown import escape, markdown_table
from dlkd.ablations.report.words.entries import label
from dlkd.ablations.report.words.numbers import DASH, in_order, listed, number, p_value, signed
from dlkd.ablations.run.trials import NOT_RUN
from dlkd.ablations.statistics.metric_trials import CELL, metric_trials
from dlkd.ablations.statistics.verdict import verdicts
from dlkd.text import plain

SETTINGS = {
    "dataset": "datasets",
    "category": "categories",
    "seed": "seeds",
    "image_size": "image size",
    "epochs": "epochs",
    "max_steps": "most steps",
    "pro_limit": "PRO's limit",
    "score_at": "size of pixel metrics",
    "settings": "settings of the models",
}
HEADS = ("row", "metric", "A", "B", "B - A", "95% interval", "p after Holm", "cells")
A, B = "A\0", "B\0"
"""What marks the rows of each run; no label holds a null."""
NOTHING: dict[str, Any] = dict.fromkeys(("estimate", "low", "high", "p"), float("nan")) | {"verdict": ""}


@dataclass(frozen=True)
class Difference:
    """One metric of one row in both runs, as fractions; NaN where a run lacks it."""

    row: str
    metric: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    told_apart: bool
    shared: int
    cells: int

    @property
    def texts(self) -> tuple[str, ...]:
        """What stands under `HEADS`."""
        finite = math.isfinite(self.low) and math.isfinite(self.high)
        interval = f"{signed(self.low * 100)} to {signed(self.high * 100)}" if finite else ""
        counted = str(self.shared) if self.shared == self.cells else f"{self.shared} of {self.cells}"
        figures = (number(self.a * 100), number(self.b * 100), signed(self.difference * 100))
        return self.row, label(self.metric), *figures, interval, p_value(self.p).removeprefix("p = "), counted


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side; prints itself to a rich console.

    Attributes:
        names: of the runs A and B.
        notes: what differs between them besides figures, and what they share.
        tables: the lines of each grid that either run has.
    """

    names: tuple[str, str]
    notes: list[str]
    tables: dict[str, list[Difference]]

    def to_frame(self) -> pd.DataFrame:
        """A line for each row and metric, figures as fractions.

        Columns: table, label, metric, a and b (averages over the shared cells), difference (b - a), low, high, p (after
        Holm), told_apart, shared, cells.
        """
        lines = [{"table": name} | asdict(line) for name, lines in self.tables.items() for line in lines]
        return pd.DataFrame(lines).rename(columns={"row": "label"})

    def markdown(self) -> str:
        """The same as Markdown."""
        a, b = map(escape, self.names)
        parts = [f"# {a} (A) beside {b} (B)", "\n".join(f"- {escape(note)}" for note in self.notes)]
        for name, lines in self.tables.items():
            rows = [[escape(text) for text in line.texts] for line in lines]
            parts += [f"## {escape(name)}", markdown_table(list(HEADS), rows, left=2)]
        return "\n\n".join(parts) + "\n"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Notes, then a table for each grid; differences that can be told from noise are bold."""
        del console, options
        for side, name in zip("AB", self.names, strict=True):
            yield Text(f"{side}: {plain(name)}", overflow="fold")
        for note in self.notes:
            yield Text(f"  {plain(note)}", style="dim")
        for name, lines in self.tables.items():
            shown = RichTable(title=Text(plain(name)), show_edge=False, title_justify="left")
            for i, head in enumerate(HEADS):
                shown.add_column(head, justify="left" if i < 2 else "right", no_wrap=i > 0, overflow="fold")
            for previous, line in zip([None, *lines], lines, strict=False):
                texts = [Text(plain(text)) for text in line.texts]
                if previous is not None and previous.row == line.row:
                    texts[0] = Text("")
                if line.told_apart:
                    texts[4].stylize("bold")
                shown.add_row(*texts)
            yield Text("")
            yield shown


def compare(one: pd.DataFrame, two: pd.DataFrame, names: tuple[str, str], primary: Mapping[str, str]) -> Comparison:
    """Set the trials of two runs, in long form, side by side.

    Means and differences are over the cells (dataset, category, seed) that both runs have. Intervals and p are those of
    `verdicts` for these categories, one family per table, of its primary metric alone.

    Args:
        one: of the run A.
        two: of the run B.
        names: of both.
        primary: the primary metric of a table, by its name; the first metric of its trials where it is not there.
    """
    tables = {}
    for name in dict.fromkeys([*one["table"], *two["table"]]):
        first, second = (trials[trials["table"] == name] for trials in (one, two))
        decides = primary.get(name, pd.concat([first, second])["metric"].iloc[0])
        tables[name] = list(_lines(first, second, decides))
    return Comparison(names, list(_notes(one, two)), tables)


def _lines(one: pd.DataFrame, two: pd.DataFrame, primary: str) -> Iterator[Difference]:
    rows = list(dict.fromkeys([*one["row"], *two["row"]]))
    metrics = list(dict.fromkeys([*one["metric"], *two["metric"]]))
    both = pd.concat([run.assign(row=side + run["row"]) for side, run in ((A, one), (B, two))])
    sides = _sides(both, rows)
    judged = {metric: verdicts(metric_trials(both, metric), sides).set_index("row") for metric in metrics}
    for row in rows:
        for metric in metrics:
            pair = _pair(one, two, row, metric)
            shared = pair.dropna()
            used = shared if len(shared) else pair
            line = dict(judged[metric].loc[B + row]) if B + row in sides else NOTHING
            decides = line if metric == primary else NOTHING
            yield Difference(
                row=row,
                metric=metric,
                a=_mean(used["a"]),
                b=_mean(used["b"]),
                difference=line["estimate"],
                low=decides["low"],
                high=decides["high"],
                p=decides["p"],
                told_apart=decides["verdict"] in ("helps", "harms"),
                shared=len(shared),
                cells=len(pair),
            )


def _sides(both: pd.DataFrame, rows: list[str]) -> dict[str, str]:
    """The row of B and that of A, for the rows that both runs have."""
    there = set(both.loc[both["status"] != NOT_RUN, "row"])
    return {B + row: A + row for row in rows if {A + row, B + row} <= there}


def _mean(values: pd.Series) -> float:
    """Over seeds, then over categories."""
    return float(values.dropna().groupby(level=["dataset", "category"]).mean().mean())


def _pair(one: pd.DataFrame, two: pd.DataFrame, row: str, metric: str) -> pd.DataFrame:
    """Values of both runs by cell, columns a and b; NaN where one lacks it."""
    sides = {}
    for name, trials in (("a", one), ("b", two)):
        own = trials[(trials["row"] == row) & (trials["metric"] == metric)]
        present = own["value"].astype(float).where((own["status"] == "ok") & np.isfinite(own["value"]))
        sides[name] = present.set_axis(pd.MultiIndex.from_frame(own[CELL]))
    return pd.concat(sides, axis=1).sort_index()


def _notes(one: pd.DataFrame, two: pd.DataFrame) -> Iterator[str]:
    keys_a, keys_b = set(one["key"]), set(two["key"])
    yield f"{len(keys_a)} cells in A, {len(keys_b)} in B; {len(keys_a & keys_b)} of them are the same trials"
    for column, name in SETTINGS.items():
        values_a, values_b = in_order(one[column]) or [DASH], in_order(two[column]) or [DASH]
        if values_a != values_b:
            yield f"{name}: {listed(values_a)} in A, {listed(values_b)} in B"
    for name, trials in (("A", one), ("B", two)):
        failed = trials.loc[trials["status"] == "failed", "key"].nunique()
        if failed:
            yield f"{failed} cells of {name} failed"
        not_run = trials.loc[trials["status"] == NOT_RUN, "key"].nunique()
        if not_run:
            yield f"{not_run} cells of {name} were not run"
