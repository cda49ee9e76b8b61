"""A report as Markdown that GitHub renders."""

from __future__ import annotations

import math
import re

from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.report.content import Report, Section
from dlkd.ablations.report.parts import Part
from dlkd.ablations.report.tables import Entry, Table, TableRow
from dlkd.ablations.report.words import entries, numbers
from dlkd.ablations.report.words.conditions import cost_note
from dlkd.ablations.report.words.entries import label
from dlkd.ablations.report.words.parts import part_heading, part_note, trained_in
from dlkd.ablations.report.words.tuning import HEADING, tuning_heads, tuning_lines
from dlkd.text import plain


def markdown(report: Report) -> str:
    """The report's text; pictures are files beside it."""
    parts = [f"# {escape(report.title)}", "## In short"]
    parts += [_headline(section) for section in report.sections]
    if report.training:
        head = ["", "untrained", "trained", "difference", "p"]
        rows = [[t.metric, t.untrained, f"**{t.trained}**", t.difference, t.p] for t in report.training]
        parts += ["The network before and after training, per cent:", markdown_table(head, rows)]
    parts += ["## How it was measured", "\n".join(f"- {name}: {escape(text)}" for name, text in report.facts)]
    if report.comparable:
        parts.append(f"> {escape(report.comparable)}")
    for section in report.sections:
        table = section.table
        parts += [f"## {escape(table.grid.title)}", _results(table)]
        parts.append(_notes(section))
        parts += _by_part(section)
        parts += _tuning(table.grid)
        for picture in section.pictures:
            parts += [
                f"### {picture.title}",
                f"![{escape(picture.alt, brackets=True)}]({picture.file})",
                escape(picture.caption),
            ]
        parts += ["### Cost beside benefit", _costs(table), escape(cost_note(table))]
        if section.sentences:
            said = "\n".join(f"- {escape(sentence)}" for sentence in section.sentences)
            parts += ["### Every comparison", said]
    return "\n\n".join(part for part in parts if part) + "\n"


def _headline(section: Section) -> str:
    said = section.headline
    title = f"**{escape(entries.sentence(section.table.grid.title))}** {escape(said.about)}".rstrip()
    decided = "\n".join(f"- {escape(line)}" for line in said.decided)
    waiting = "\n".join([f"- {escape(said.undecided)}", *(f"  - {escape(line)}" for line in said.open)])
    lists = "\n".join(filter(None, [decided, waiting if said.undecided else ""]))
    return "\n\n".join(filter(None, [title, lists, escape(" ".join(said.rest))]))


def _results(table: Table) -> str:
    head = ["Row"]
    for metric in table.metrics:
        head += [f"{label(metric)}, paper"] * table.grid.has_paper
        head += [f"{label(metric)}, measured", f"difference to {entries.base(table)}"]
    return markdown_table(head, [_row(table, row) for row in table.rows])


def _row(table: Table, row: TableRow) -> list[str]:
    name = escape(row.label)
    if row.untrained:
        name = f"**{name} (untrained)**"
    cells = [name]
    for metric in table.metrics:
        entry = row.entries[metric]
        if table.grid.has_paper:
            cells.append(numbers.number(entry.paper))
        cells += [_measured(entry), entries.not_compared(row) or _difference(entry)]
    return cells


def _measured(entry: Entry) -> str:
    if reason := entries.absent(entry):
        return escape(reason)
    parts = [f"**{numbers.number(entry.mean)}**", entries.interval(entry), entries.partial(entry)]
    return "<br>".join(part for part in parts if part)


def _difference(entry: Entry) -> str:
    if math.isnan(entry.difference):
        return numbers.DASH
    amount = numbers.signed(entry.difference)
    parts = [
        f"**{amount}**" if entry.told_apart else amount,
        entries.difference_interval(entry),
        entries.verdict(entry),
    ]
    return "<br>".join(part for part in parts if part)


def _notes(section: Section) -> str:
    lines = [f"- {escape(note)}" for note in section.notes]
    if section.failures:
        lines.append(f"- {section.failures_heading}:")
        lines += [f"  - {escape(failure)}" for failure in section.failures]
    return "\n".join(lines)


def _by_part(section: Section) -> list[str]:
    """A table per metric: groups and categories by rows of the grid."""
    found = section.parts
    if found is None:
        return []
    said = [f"### {part_heading(section.table)}"]
    for metric, published in found.metrics.items():
        head, lines = [label(metric)], [[_part_name(part)] for part in found.parts]
        for row in section.table.rows:
            name = escape(row.label)
            head += [f"{name}, paper"] * (row.label in published) + [f"{name}, measured"]
            for i, line in enumerate(lines):
                entry = found.entries[i, metric, row.label]
                line += [numbers.number(entry.paper)] * (row.label in published)
                line.append("<br>".join([_measured(entry), *trained_in(found.seconds[i, row.label])]))
        said.append(markdown_table(head, lines))
    return [*said, escape(part_note(found))]


def _part_name(part: Part) -> str:
    return f"**{escape(part.label)}**" if part.average else escape(part.label)


def _tuning(grid: Grid) -> list[str]:
    heads, lines = tuning_heads(grid), tuning_lines(grid)
    if not heads:
        return []
    return [f"### {HEADING}", markdown_table([*map(escape, heads)], [[*map(escape, line)] for line in lines])]


def _costs(table: Table) -> str:
    head = ["Row", *entries.COST_HEADS, *map(label, table.metrics)]
    lines = [
        [
            escape(row.label),
            *(text for _, text in entries.costs(row)),
            *(numbers.number(row.entries[m].mean) for m in table.metrics),
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
