"""Everything that a report says, for any format: a grid's table with its sentences and its pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.report.plots.effects import forest
from dlkd.ablations.report.plots.heat_map import heat_map
from dlkd.ablations.report.plots.learning_curves import learning_curves
from dlkd.ablations.report.plots.pareto import pareto
from dlkd.ablations.report.plots.picture_grid import picture_grid
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
from dlkd.ablations.report.words.headline import headline
from dlkd.ablations.report.words.numbers import listed
from dlkd.drawing import LiteralFigure
from dlkd.files import file_name

PICTURES = "pictures"
DPI = 160
LARGE = 300_000  # bytes; no plot comes near


@dataclass(frozen=True)
class Picture:
    """A figure of the report: its file below the report's folder, its bytes, its size in CSS pixels, its words."""

    file: str
    png: bytes
    width: int
    height: int
    title: str
    alt: str
    caption: str

    @property
    def uri(self) -> str:
        """The picture itself as an address."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True)
class Section:
    """One grid's part of a report.

    Attributes:
        anchor: names the section and its pictures' files.
        table: the figures.
        headline: the verdicts in a few sentences.
        notes: what has to be read with the table.
        failures_heading: what `failures` are.
        failures: what gave no figures and why.
        sentences: every comparison in words.
        pictures: drawn from the table and from what its trials kept.
    """

    anchor: str
    table: Table
    headline: str
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


def make_report(trials: pd.DataFrame, grids: Sequence[Grid], store: Path) -> Report:
    """Everything that the report says, drawn and worded."""
    tables = [tabulate(trials, grid) for grid in grids]
    used = pd.concat([table.trials for table in tables])
    return Report(
        title=f"Ablation of DLKD on {listed(list(dict.fromkeys(used['dataset'])))}",
        training=training_matters(tables),
        facts=how_measured(used, store),
        comparable=comparable(used) if any(grid.has_paper for grid in grids) else "",
        sections=[_section(table, store) for table in tables],
    )


def _section(table: Table, store: Path) -> Section:
    anchor = file_name(table.grid.name)
    drawn = {
        "examples": picture_grid(table, store),
        "effects": forest(table),
        "categories": heat_map(table),
        "costs": pareto(table),
        "curves": learning_curves(table, store),
    }
    pictures = [
        Picture(
            f"{PICTURES}/{anchor}-{kind}.png",
            *_png(figure),
            caption.title,
            caption.alt,
            f"{caption.text} {figure.numbers}".rstrip(),
        )
        for kind, caption in captions(table).items()
        if (figure := drawn[kind]) is not None
    ]
    return Section(
        anchor=anchor,
        table=table,
        headline=headline(table),
        notes=notes(table),
        failures_heading=failures_heading(table),
        failures=failures(table),
        sentences=comparisons(table) if len(table.rows) > 1 else [],
        pictures=pictures,
    )


def _png(figure: LiteralFigure) -> tuple[bytes, int, int]:
    """The figure as PNG, and its width and height in CSS pixels. The same trials give the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight", facecolor="white")
    with Image.open(buffer) as image:
        width, height = (round(side * 96 / DPI) for side in image.size)
        if buffer.getbuffer().nbytes > LARGE:
            # Photographs shrink to a third with 256 colours, and dithering hides it.
            plain = image.convert("RGB")
            palette = plain.quantize(256, method=Image.Quantize.MAXCOVERAGE)
            buffer = io.BytesIO()
            plain.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG).save(buffer, "png", optimize=True)
    return buffer.getvalue(), width, height
