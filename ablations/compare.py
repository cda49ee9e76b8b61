"""Compares two runs, row by row, over the cells that both have; rows are paired by what they are."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table as RichTable
from rich.text import Text

from dlkd.ablations.pairing import RowPair, named, pair_rows, pairing_notes
from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.report.markdown import escape, markdown_table
from dlkd.ablations.report.words.entries import claimed, label
from dlkd.ablations.report.words.numbers import in_order, listed, number, p_value, signed
from dlkd.ablations.statistics.metric_trials import CELL, metric_trials
from dlkd.ablations.statistics.verdict import verdicts
from dlkd.ablations.stored.run_identity import Row, RunIdentity
from dlkd.ablations.stored.trials import NOT_RUN
from dlkd.text import plain

DATA = {"dataset": "datasets", "category": "categories", "seed": "seeds"}
HEADS = ("row", "metric", "A", "B", "B - A", "95% interval", "p after Holm", "verdict", "cells")
WHOLE = range(4)
"""Columns of a printed table that are never broken: the metric, A, B and B - A."""
NARROWEST, REST = 14, 76
"""Characters of a name in a line of a printed table, at least, and those of all other columns."""
VERDICTS = {"helps": "B better", "harms": "B worse"}
A, B = "A\0", "B\0"
"""What marks the rows of each run; no label holds a null."""
NOTHING: dict[str, Any] = dict.fromkeys(("estimate", "low", "high", "p"), float("nan")) | {
    "verdict": "",
    "new_images": False,
}


@dataclass(frozen=True)
class Difference:
    """One metric of a row in both runs, as fractions; NaN where a run lacks it.

    The verdict is "helps" where B is better; "" for a metric that is not the primary one.
    """

    pair: RowPair
    metric: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    verdict: str
    new_images: bool
    shared: int
    cells: int

    @property
    def told_apart(self) -> bool:
        """Whether the difference has a direction."""
        return self.verdict in VERDICTS

    @property
    def texts(self) -> tuple[str, ...]:
        """What stands under `HEADS`."""
        finite = math.isfinite(self.low) and math.isfinite(self.high)
        interval = f"{signed(self.low * 100)} to {signed(self.high * 100)}" if finite else ""
        counted = str(self.shared) if self.shared == self.cells else f"{self.shared} of {self.cells}"
        figures = (number(self.a * 100), number(self.b * 100), signed(self.difference * 100))
        said = (p_value(self.p).removeprefix("p = "), VERDICTS.get(self.verdict, self.verdict))
        return self.pair.label, label(self.metric), *figures, interval, *said, counted


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

        Columns: table and label of A, table_b and label_b of B, settings (that differ between the two rows), metric, a
        and b (averages over the shared cells), difference (b - a), low, high, p (after Holm), verdict ("helps" where B
        is better, "harms", "equivalent" or "open"; "" for a metric that is not the primary one), new_images
        (whether the verdict is about new test images too), shared, cells.
        """
        frame = []
        for line in itertools.chain.from_iterable(self.tables.values()):
            (table, label_a), (table_b, label_b) = line.pair.a, line.pair.b
            names = {"table": table, "label": label_a, "table_b": table_b, "label_b": label_b}
            figures = {name: value for name, value in vars(line).items() if name != "pair"}
            frame.append({**names, "settings": "; ".join(line.pair.settings), **figures})
        return pd.DataFrame(frame)

    def markdown(self) -> str:
        """The same as Markdown."""
        a, b = map(escape, self.names)
        parts = [f"# {a} (A) beside {b} (B)", "\n".join(f"- {escape(note)}" for note in self.notes)]
        for name, lines in self.tables.items():
            rows = [[escape(text) for text in line.texts] for line in lines]
            parts += [f"## {escape(name)}", markdown_table(list(HEADS), rows, left=2)]
        return "\n\n".join(parts) + "\n"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Notes, then a table for each grid, a row's name above its metrics; differences told from noise are bold."""
        wide = max(NARROWEST, options.max_width - REST)
        for side, name in zip("AB", self.names, strict=True):
            yield Text(f"{side}: {plain(name)}", overflow="fold")
        for note in self.notes:
            yield Text(f"  {plain(note)}", style="dim")
        for name, lines in self.tables.items():
            shown = RichTable(
                title=Text(plain(name)), title_justify="left", box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0)
            )
            for i, head in enumerate(HEADS[1:]):
                shown.add_column(head, justify="right" if i else "left", no_wrap=i in WHOLE, overflow="fold")
            for previous, line in zip([None, *lines], lines, strict=False):
                if previous is None or previous.pair != line.pair:
                    for part in Text(plain(line.pair.label)).wrap(console, wide, overflow="fold"):
                        shown.add_row(part)
                texts = [Text(plain(text)) for text in line.texts[1:]]
                texts[0].pad_left(2)
                if line.told_apart:
                    texts[3].stylize("bold")
                shown.add_row(*texts)
            yield Text("")
            yield shown


@dataclass(frozen=True)
class Run:
    """One side of a comparison: its name, its trials in long form, its grids by name, and what its rows are."""

    name: str
    trials: pd.DataFrame
    grids: Mapping[str, Grid]
    identity: RunIdentity

    @property
    def rows(self) -> list[Row]:
        """Table and label of each row, in order."""
        return list(dict.fromkeys(zip(self.trials["table"], self.trials["row"], strict=True)))

    def trials_of(self, rows: Iterable[Row]) -> pd.DataFrame:
        """The trials of these rows."""
        return self.trials[pd.MultiIndex.from_frame(self.trials[["table", "row"]]).isin(list(rows))]


def compare(one: Run, two: Run) -> Comparison:
    """Set two runs side by side, rows paired by what they are; see `pair_rows`.

    Means and differences are over the cells (dataset, category, seed) that both runs have. Intervals, p and verdicts
    are those of `verdicts` for these categories, one family per table, of A's primary metric alone; where either run
    added seeds to open comparisons, as at one of its looks.

    Raises:
        ValueError: the runs have no row, or no cell, in common; says what each has.
    """
    pairs = pair_rows((one.rows, two.rows), (one.identity, two.identity))
    apart = [pair for pair in pairs if not _cells(one, pair.a) & _cells(two, pair.b)]
    together = [pair for pair in pairs if pair not in apart]
    if not together:
        raise ValueError(_nothing_in_common(one, two, pairs))
    tables = {}
    for table in dict.fromkeys((pair.a[0], pair.b[0]) for pair in together):
        of_table = [pair for pair in together if (pair.a[0], pair.b[0]) == table]
        tables[of_table[0].table] = list(_lines(one, two, of_table))
    return Comparison((one.name, two.name), list(_notes(one, two, together, apart, tables)), tables)


def _cells(run: Run, row: Row) -> set[tuple[object, ...]]:
    own = run.trials_of([row])
    return set(own.loc[own["status"] != NOT_RUN, CELL].itertuples(index=False, name=None))


def _nothing_in_common(one: Run, two: Run, pairs: Sequence[RowPair]) -> str:
    has = []
    for side, run in (("A", one), ("B", two)):
        data = "; ".join(f"{name}: {listed(in_order(run.trials[column]))}" for column, name in DATA.items())
        has.append(f"{side}, {run.name}, has {data if pairs else named(run.rows)}")
    what = "no trial of the same data and seed" if pairs else "no row, by model or by label,"
    return f"the runs have {what} in common, so there is nothing to compare. {'. '.join(has)}"


def _lines(one: Run, two: Run, pairs: Sequence[RowPair]) -> Iterator[Difference]:
    grid = one.grids[pairs[0].a[0]]
    first, second = one.trials_of(pair.a for pair in pairs), two.trials_of(pair.b for pair in pairs)
    metrics = list(dict.fromkeys([*first["metric"], *second["metric"]]))
    both = pd.concat([run.assign(row=side + run["row"]) for side, run in ((A, first), (B, second))])
    most = max(grid.until_decided or 0, two.grids[pairs[0].b[0]].until_decided or 0) or None
    judged = {}
    for metric in metrics:
        values = metric_trials(both, metric)
        there = set(values["row"])  # none where the metric is undefined in every cell
        sides = {B + pair.b[1]: A + pair.a[1] for pair in pairs if {A + pair.a[1], B + pair.b[1]} <= there}
        judged[metric] = verdicts(values, sides, margin=grid.margin, max_seeds=most).set_index("row")
    for pair in pairs:
        for metric in metrics:
            cells = _pair(first, second, pair, metric)
            shared = cells.dropna()
            line = dict(judged[metric].loc[B + pair.b[1]]) if B + pair.b[1] in judged[metric].index else NOTHING
            decides = line if metric == grid.primary_metric else NOTHING
            yield Difference(
                pair=pair,
                metric=metric,
                a=_mean((shared if len(shared) else cells)["a"]),
                b=_mean((shared if len(shared) else cells)["b"]),
                difference=line["estimate"],
                **{name: decides[name] for name in ("low", "high", "p", "verdict", "new_images")},
                shared=len(shared),
                cells=len(cells),
            )


def _mean(values: pd.Series) -> float:
    """Over seeds, then over categories."""
    return float(values.dropna().groupby(level=["dataset", "category"]).mean().mean())


def _pair(one: pd.DataFrame, two: pd.DataFrame, pair: RowPair, metric: str) -> pd.DataFrame:
    """Values of both runs by cell, columns a and b; NaN where one lacks it."""
    sides = {}
    for name, trials, row in (("a", one, pair.a), ("b", two, pair.b)):
        own = trials[(trials["row"] == row[1]) & (trials["metric"] == metric)]
        present = own["value"].astype(float).where((own["status"] == "ok") & np.isfinite(own["value"]))
        sides[name] = present.set_axis(pd.MultiIndex.from_frame(own[CELL]))
    return pd.concat(sides, axis=1).sort_index()


def _notes(
    one: Run,
    two: Run,
    together: Sequence[RowPair],
    apart: Sequence[RowPair],
    tables: Mapping[str, Sequence[Difference]],
) -> Iterator[str]:
    keys_a, keys_b = set(one.trials["key"]), set(two.trials["key"])
    yield f"{len(keys_a)} cells in A, {len(keys_b)} in B; {len(keys_a & keys_b)} of them are the same trials"
    for column, name in DATA.items():
        values_a, values_b = in_order(one.trials[column]), in_order(two.trials[column])
        if values_a != values_b:
            yield f"{name}: {listed(values_a)} in A, {listed(values_b)} in B"
    for place, made in one.identity.data.items():
        if two.identity.data.get(place, made) != made:
            yield f"the data of {'/'.join(place)} differ"
    yield from pairing_notes(together)
    paired = {"A": {pair.a for pair in (*together, *apart)}, "B": {pair.b for pair in (*together, *apart)}}
    for side, run in (("A", one), ("B", two)):
        if alone := [row for row in run.rows if row not in paired[side]]:
            yield f"only in {side}: {named(alone)}"
    if apart:
        yield f"no trial of the same data and seed in common: {named(pair.a for pair in apart)}"
    yield from _unfinished(one, two)
    yield _claim(one, together, [line for lines in tables.values() for line in lines if line.verdict])


def _unfinished(one: Run, two: Run) -> Iterator[str]:
    for side, run in (("A", one), ("B", two)):
        for status, said in (("failed", "failed"), (NOT_RUN, "were not run")):
            if cells := run.trials.loc[run.trials["status"] == status, "key"].nunique():
                yield f"{cells} cells of {side} {said}"


def _claim(one: Run, pairs: Sequence[RowPair], judged: Sequence[Difference]) -> str:
    primary = listed(list(dict.fromkeys(label(one.grids[pair.a[0]].primary_metric) for pair in pairs)))
    about = claimed(bool(judged) and all(line.new_images for line in judged), "the categories that both have")
    return (
        f"intervals, p and verdicts are for {about}, by {primary}, with Holm's correction over the rows of a table; "
        "other metrics are exploratory"
    )
