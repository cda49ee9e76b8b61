"""The content of a report for all formats: a grid's table with its sentences and figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.report import pair_data, plot_data
from dlkd.ablations.report.parts import Parts, by_part
from dlkd.ablations.report.pictures import Drawn, Picture, make_picture
from dlkd.ablations.report.tables import Table, tabulate
from dlkd.ablations.report.words.captions import captions
from dlkd.ablations.report.words.comparisons import comparisons
from dlkd.ablations.report.words.conditions import (
    Training,
    comparable,
    failures,
    failures_heading,
    how_measured,
    notes,
    training_matters,
)
from dlkd.ablations.report.words.headline import Headline, headline
from dlkd.ablations.report.words.numbers import listed
from dlkd.ablations.run.costs import RowCosts
from dlkd.files import file_name


@dataclass(frozen=True)
class Section:
    """One grid's part of a report.

    Attributes:
        anchor: names the section and its pictures' files.
        table: the figures.
        parts: the same by group and category, where the grid is about these.
        headline: the verdicts in short.
        notes: notes under the table.
        failures_heading: heading of `failures`.
        failures: cells without figures, with the reasons.
        sentences: every comparison in words.
        pictures: drawn from the table and from what its trials kept.
    """

    anchor: str
    table: Table
    parts: Parts | None
    headline: Headline
    notes: list[str]
    failures_heading: str
    failures: list[str]
    sentences: list[str]
    pictures: list[Picture]


@dataclass(frozen=True)
class Report:
    """Everything that a report says, in any format."""

    title: str
    training: list[Training]
    facts: list[tuple[str, str]]
    comparable: str
    sections: list[Section]


def make_report(
    trials: pd.DataFrame,
    grids: Sequence[Grid],
    store: Path,
    before: Drawn | None = None,
    measured: RowCosts | None = None,
) -> Report:
    """Everything that the report says, drawn and worded; pictures of `before` are not drawn again."""
    tables = [tabulate(trials, grid, measured) for grid in grids]
    used = pd.concat([table.trials for table in tables])
    return Report(
        title=f"Ablation on {listed(list(dict.fromkeys(used['dataset'])))}",
        training=training_matters(tables),
        facts=how_measured(used, store),
        comparable=comparable(tables),
        sections=[_section(table, store, before or {}) for table in tables],
    )


def _section(table: Table, store: Path, before: Drawn) -> Section:
    anchor = file_name(table.grid.name)
    drawn_from = {
        "examples": plot_data.examples(table, store),
        "segmentations": plot_data.segmentations(table, store),
        "effects": plot_data.effects(table),
        "pairs": pair_data.pair_points(table),
        "seeds": pair_data.courses(table),
        "profile": plot_data.profile(table, table.primary_shown),
        "categories": plot_data.categories(table),
        "costs": plot_data.costs(table),
        "curves": plot_data.curves(table, store),
    }
    pictures = [
        picture
        for kind, caption in captions(table).items()
        if (data := drawn_from[kind]) is not None
        if (picture := make_picture(f"{anchor}-{kind}.png", data, caption, before)) is not None
    ]
    return Section(
        anchor=anchor,
        table=table,
        parts=by_part(table),
        headline=headline(table),
        notes=notes(table),
        failures_heading=failures_heading(table),
        failures=failures(table),
        sentences=comparisons(table) if len(table.rows) > 1 else [],
        pictures=pictures,
    )
