"""Reports: one HTML file that opens offline, Markdown and LaTeX, made from the parquet of trials alone."""

from __future__ import annotations

import base64
import importlib.resources
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd
from PIL import Image

from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.report import plots, summary, words
from dlkd.ablations.report.latex import latex
from dlkd.ablations.report.markdown import markdown
from dlkd.ablations.report.tables import Table, label, tabulate
from dlkd.drawing import LiteralFigure
from dlkd.files import atomic_path, file_name, write_text
from dlkd.text import plain

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
    """One grid's part of a report."""

    anchor: str
    table: Table
    headline: str
    pictures: list[Picture]


@dataclass(frozen=True)
class Report:
    """Everything that a report says, in any format."""

    title: str
    training: list[summary.Training]
    facts: list[tuple[str, str]]
    comparable: str
    sections: list[Section]


def write_report(trials: pd.DataFrame, grids: Sequence[Grid], store: Path, out: Path) -> list[Path]:
    """Write report.html, report.md and report.tex below `out`, and pictures/*.png for the Markdown.

    Args:
        trials: in long form, as `store.collect` gives them.
        grids: the tables, in the report's order.
        store: folder of the trials' folders; pictures and loss curves of those not there are left out.
        out: folder of the report.

    Raises:
        ValueError: `trials` has nothing of a grid.
    """
    report = make_report(trials, grids, store)
    for section in report.sections:
        for picture in section.pictures:
            with atomic_path(out / picture.file) as temporary:
                temporary.write_bytes(picture.png)
    written = {"report.html": html(report), "report.md": markdown(report), "report.tex": latex(report)}
    for name, text in written.items():
        write_text(out / name, text)
    return [out / name for name in written]


def make_report(trials: pd.DataFrame, grids: Sequence[Grid], store: Path) -> Report:
    """Everything that the report says, drawn and worded."""
    tables = [tabulate(trials, grid) for grid in grids]
    used = pd.concat([table.trials for table in tables])
    return Report(
        title=f"Ablation of DLKD on {words.listed(list(dict.fromkeys(used['dataset'])))}",
        training=summary.training_matters(tables),
        facts=summary.how_measured(used, store),
        comparable=summary.comparable(used) if any(grid.has_paper for grid in grids) else "",
        sections=[_section(table, store) for table in tables],
    )


def html(report: Report) -> str:
    """The whole report as one page without a single outside reference."""
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: plain(value) if type(value) is str else value,  # markup of macros stays as it is
    )
    source = importlib.resources.files("dlkd.ablations.report").joinpath("report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        report=report, w=words, label=label, notes=summary.notes, cost_note=summary.COST_NOTE
    )


def _section(table: Table, store: Path) -> Section:
    name = file_name(table.grid.name)
    rows = words.listed([row.label for row in table.rows])
    without = table.failed_cells + table.not_run
    cells = f"{without} {'' if table.not_run else 'failed '}cell{'s' * (without > 1)}"
    missing = f" {cells} left out; the list above names them." if table.failures else ""
    drawn = [
        (
            "examples",
            "What each row sees",
            plots.picture_grid(table, store),
            f"Test images, their ground truth and the anomaly maps of {rows}, a line a row.",
            "The same test images for every row, one colour scale. Maps are in units of each row's own threshold, "
            "mean + 3 standard deviations of its normal training images' scores; the figure under a map is the "
            "image's score, bold where it is above 1. Ground truth is outlined.",
        ),
        (
            "effects",
            "Effects",
            plots.forest(table),
            f"Forest plot of the {'factors' if table.effects is not None else 'rows'}' effects with 95% intervals.",
            f"95% intervals. Filled: can be told from noise (p at most 0.05 after Holm's correction).{missing}",
        ),
        (
            "categories",
            "By category",
            plots.heat_map(table),
            f"Heat map of every metric in per cent for {rows} in every category.",
            f"Per cent, averaged over seeds; each metric has its own colour scale.{missing}",
        ),
        (
            "costs",
            "Benefit over cost",
            plots.pareto(table),
            f"Every metric over the milliseconds of one image for {rows}.",
            "Bars: 95% intervals. The grey line joins the rows that no other beats in both. Speed was measured while "
            f"other trials ran beside it.{missing}",
        ),
        (
            "curves",
            "Learning curves",
            plots.learning_curves(table, store),
            f"Loss terms over training steps for {rows}.",
            "Mean over trials, band from the lowest to the highest. Rows that lack a term have no line in its panel, "
            f"and totals of different terms are not comparable.{missing}",
        ),
    ]
    pictures = [
        Picture(f"{PICTURES}/{name}-{kind}.png", *_png(figure), title, alt, f"{caption} {figure.numbers}".rstrip())
        for kind, title, figure, alt, caption in drawn
        if figure is not None
    ]
    return Section(name, table, summary.headline(table), pictures)


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
