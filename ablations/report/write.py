"""Writes a report in all formats, from the parquet of trials alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.report.content import make_report
from dlkd.ablations.report.html import html
from dlkd.ablations.report.latex import latex
from dlkd.ablations.report.markdown import markdown
from dlkd.ablations.report.pictures import drawn_before, write_pictures
from dlkd.ablations.run.costs import RowCosts
from dlkd.files import write_text


def write_report(
    trials: pd.DataFrame, grids: Sequence[Grid], store: Path, out: Path, measured: RowCosts | None = None
) -> list[Path]:
    """Write report.html, report.md and report.tex below `out`, and pictures/*.png for the Markdown.

    Args:
        trials: in long form, as `trials.collect` gives them.
        grids: the tables, in the report's order.
        store: folder of the trials' folders; pictures and loss curves of those not there are left out.
        out: folder of the report.
        measured: time and memory of the rows, as `read_costs` gives them.

    Raises:
        ValueError: `trials` has nothing of a grid.
    """
    report = make_report(trials, grids, store, drawn_before(out), measured)
    write_pictures([picture for section in report.sections for picture in section.pictures], out)
    written = {"report.html": html(report), "report.md": markdown(report), "report.tex": latex(report)}
    for name, text in written.items():
        write_text(out / name, text)
    return [out / name for name in written]
