"""A report as one HTML file that opens offline."""

from __future__ import annotations

import importlib.resources

import jinja2

from dlkd.ablations.report.content import Report
from dlkd.ablations.report.words import entries, numbers, parts, tuning
from dlkd.ablations.report.words.conditions import cost_note
from dlkd.text import plain


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
        report=report, numbers=numbers, entries=entries, parts=parts, tuning=tuning, label=entries.label,
        cost_note=cost_note,
    )  # fmt: skip
