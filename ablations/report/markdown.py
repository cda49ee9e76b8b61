"""A report as Markdown that GitHub renders."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from dlkd.ablations.report import summary, words
from dlkd.ablations.report.tables import Entry, Row, Table, label
from dlkd.text import plain

if TYPE_CHECKING:
    from dlkd.ablations.report.content import Report


def markdown(report: Report) -> str:
    """The report's text; pictures are files beside it."""
    parts = [f"# {escape(report.title)}", "## In short"]
    parts.append(
        "\n".join(f"- **{escape(words.sentence(s.table.grid.title))}** {escape(s.headline)}" for s in report.sections)
    )
    if report.training:
        head = ["", "untrained", "trained", "difference", "p after Holm"]
        rows = [[t.metric, t.untrained, f"**{t.trained}**", t.difference, t.p] for t in report.training]
        parts += ["The network before and after training, per cent:", markdown_table(head, rows)]
    parts += ["## How it was measured", "\n".join(f"- {name}: {escape(text)}" for name, text in report.facts)]
    if report.comparable:
        parts.append(f"> {escape(report.comparable)}")
    for section in report.sections:
        table = section.table
        parts += [f"## {escape(table.grid.title)}", _results(table)]
        parts.append(_notes(table))
        for picture in section.pictures:
            parts += [
                f"### {picture.title}",
                f"![{escape(picture.alt, brackets=True)}]({picture.file})",
                escape(picture.caption),
            ]
        parts += ["### Cost beside benefit", _costs(table), summary.COST_NOTE]
        if table.sentences:
            said = "\n".join(f"- {escape(sentence)}" for sentence in table.sentences)
            parts += ["### Every comparison", said]
    return "\n\n".join(part for part in parts if part) + "\n"


def _results(table: Table) -> str:
    head = ["Row"]
    for metric in table.metrics:
        head += [f"{label(metric)}, paper"] * table.grid.has_paper
        head += [f"{label(metric)}, measured", "difference"]
    return markdown_table(head, [_row(table, row) for row in table.rows])


def _row(table: Table, row: Row) -> list[str]:
    name = escape(row.label)
    if row.untrained:
        name = f"**{name} (untrained)**"
    cells = [name]
    for metric in table.metrics:
        entry = row.entries[metric]
        if table.grid.has_paper:
            cells.append(words.number(entry.paper))
        cells += [_measured(entry), "reference" if row.reference else _difference(entry)]
    return cells


def _measured(entry: Entry) -> str:
    if reason := words.absent(entry):
        return escape(reason)
    parts = [f"**{words.number(entry.mean)}**", words.interval(entry), words.partial(entry)]
    return "<br>".join(part for part in parts if part)


def _difference(entry: Entry) -> str:
    if math.isnan(entry.difference):
        return words.DASH
    amount = words.signed(entry.difference)
    parts = [
        f"**{amount}**" if entry.told_apart else amount,
        words.difference_interval(entry),
        words.p_value(entry.p),
    ]
    return "<br>".join(part for part in parts if part)


def _notes(table: Table) -> str:
    lines = summary.notes(table)
    if table.failures:
        lines += [f"{table.failures_heading}:"] + [f"  - {failure}" for failure in table.failures]
    return "\n".join(line if line.startswith("  -") else f"- {line}" for line in map(escape, lines))


def _costs(table: Table) -> str:
    head = ["Row", *words.COST_HEADS, *map(label, table.metrics)]
    lines = [
        [
            escape(row.label),
            *(text for _, text in words.costs(row)),
            *(words.number(row.entries[m].mean) for m in table.metrics),
        ]
        for row in table.rows
    ]
    return markdown_table(head, lines)


def markdown_table(head: list[str], rows: list[list[str]], left: int = 1) -> str:
    """A table of cells that are Markdown already; the first `left` columns are words, the others figures."""
    lines = [head, ["---"] * left + ["---:"] * (len(head) - left), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def escape(text: str, *, brackets: bool = False) -> str:
    """`text` on one line that Markdown, its tables and GitHub's formulas show as it is; `brackets` within brackets."""
    # Elsewhere a bracket is harmless unless it ends the text of a link or begins an item as a box to tick.
    bracket = r"[\[\]]" if brackets else r"\](?=[(\[:])|^\[(?=[ xX]\]\s)"
    text = re.sub(rf"([\\|*_`<#~$&]|{bracket})", r"\\\1", plain(text))
    # Where these begin a line they make a list, a rule, a quotation or a heading.
    return re.sub(r"^([-+=>](?!\d)|\d+(?=[.)](\s|$)))", lambda found: _begun(found[0]), text)


def _begun(mark: str) -> str:
    return f"{mark}\\" if mark.isdigit() else f"\\{mark}"
