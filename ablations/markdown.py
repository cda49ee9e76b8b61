"""A report as Markdown that GitHub renders."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from dlkd.ablations import summary, wording
from dlkd.ablations.tables import Entry, Row, Table, label

if TYPE_CHECKING:
    from dlkd.ablations.report import Report


def markdown(report: Report) -> str:
    """The report's text; pictures are files beside it."""
    parts = [f"# {report.title}", "## In short"]
    parts.append(
        "\n".join(
            f"- **{_escape(wording.sentence(s.table.grid.title))}** {_escape(s.headline)}" for s in report.sections
        )
    )
    if report.training:
        head = ["", "untrained", "trained", "difference", "p after Holm"]
        rows = [[t.metric, t.untrained, f"**{t.trained}**", t.difference, t.p] for t in report.training]
        parts += ["The network before and after training, per cent:", _table(head, rows)]
    parts += ["## How it was measured", "\n".join(f"- {name}: {_escape(text)}" for name, text in report.facts)]
    if report.comparable:
        parts.append(f"> {_escape(report.comparable)}")
    for section in report.sections:
        table = section.table
        parts += [f"## {_escape(table.grid.title)}", _results(table)]
        parts.append(_notes(table))
        for picture in section.pictures:
            parts += [f"### {picture.title}", f"![{_escape(picture.alt)}]({picture.file})", picture.caption]
        parts += ["### Cost beside benefit", _costs(table), summary.COST_NOTE]
        if table.sentences:
            said = "\n".join(f"- {_escape(sentence)}" for sentence in table.sentences)
            parts += ["### Every comparison", said]
    return "\n\n".join(part for part in parts if part) + "\n"


def _results(table: Table) -> str:
    head = ["Row"]
    for metric in table.metrics:
        head += [f"{label(metric)}, paper"] * table.grid.has_paper
        head += [f"{label(metric)}, measured", "difference"]
    return _table(head, [_row(table, row) for row in table.rows])


def _row(table: Table, row: Row) -> list[str]:
    name = _escape(row.label)
    if row.untrained:
        name = f"**{name} (untrained)**"
    cells = [name]
    for metric in table.metrics:
        entry = row.entries[metric]
        if table.grid.has_paper:
            cells.append(wording.number(entry.paper))
        cells += [_measured(entry), "reference" if row.reference else _difference(entry)]
    return cells


def _measured(entry: Entry) -> str:
    if reason := wording.absent(entry):
        return _escape(reason)
    parts = [f"**{wording.number(entry.mean)}**", wording.interval(entry), wording.partial(entry)]
    return "<br>".join(part for part in parts if part)


def _difference(entry: Entry) -> str:
    if math.isnan(entry.difference):
        return wording.DASH
    amount = wording.signed(entry.difference)
    parts = [
        f"**{amount}**" if entry.told_apart else amount,
        wording.difference_interval(entry),
        wording.p_value(entry.p),
    ]
    return "<br>".join(part for part in parts if part)


def _notes(table: Table) -> str:
    lines = summary.notes(table)
    if table.failures:
        lines += ["Failed cells:"] + [f"  - {failure}" for failure in table.failures]
    return "\n".join(line if line.startswith("  -") else f"- {line}" for line in map(_escape, lines))


def _costs(table: Table) -> str:
    head = ["Row", *wording.COST_HEADS, *map(label, table.metrics)]
    lines = [
        [
            _escape(row.label),
            *(text for _, text in wording.costs(row)),
            *(wording.number(row.entries[m].mean) for m in table.metrics),
        ]
        for row in table.rows
    ]
    return _table(head, lines)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _escape(text: str) -> str:
    for character in "\\|*_`<":
        text = text.replace(character, "\\" + character)
    return text
