"""What a table says in a few sentences: what helps, what harms, what is open, and for which data this holds."""

from __future__ import annotations

from collections.abc import Iterable

from dlkd.ablations.report.tables import Table
from dlkd.ablations.report.words.entries import claimed, label
from dlkd.ablations.report.words.findings import (
    Finding,
    effect_findings,
    interval,
    repeat,
    row_findings,
    wins,
)
from dlkd.ablations.report.words.looks import taken
from dlkd.ablations.report.words.numbers import count, number, signed_points
from dlkd.ablations.statistics.repeats import SETTLED


def headline(table: Table) -> str:
    """The table's verdicts by its primary metric, for these categories and for categories like these; what is missing.

    The effect of a factor is an average over the others. This says little if the factors overlap, so that the
    headline names the interactions too.
    """
    found = row_findings(table) if table.effects is None else effect_findings(table)
    says = [*_verdicts(table, found)] if found else ["One row: nothing to compare."]
    if table.failed_cells:
        failed = count(table.failed_cells, "cell", "cells")
        says.append(f"{failed} failed: a row with a failed cell is never said to help, and its average is partial.")
    if table.not_run:
        waiting, them = count(table.not_run, "cell was", "cells were"), "it" if table.not_run == 1 else "them"
        says.append(f"{waiting} not run yet: the same 'dlkd ablate' command continues with {them}.")
    return " ".join(filter(None, says))


def _verdicts(table: Table, found: list[Finding]) -> Iterable[str]:
    parts = [finding for finding in found if finding.kind != "interaction"]
    pairs = [finding for finding in found if finding.kind == "interaction"]
    categories = max(finding.these["n_categories"] for finding in found)
    if not categories:
        yield "No two rows have a cell in common: nothing to compare."
        return
    these = "this category" if categories == 1 else f"these {categories} categories"
    yield f"For {claimed(table.new_images, these)}, by {label(table.grid.primary_metric)}:"
    looks = table.grid.until_decided is not None
    yield _those("helps", parts, "helps", looks)
    yield _those("harms", parts, "harms", looks)
    yield _those(f"changes nothing beyond {number(table.grid.margin * 100, 1)} points", parts, "equivalent", looks)
    yield _those("open", parts, "open", looks)
    yield _those("overlap, each adding less with the other than without it", pairs, "harms", looks)
    yield _those("reinforce each other, each adding more with the other than without it", pairs, "helps", looks)
    yield _widely(found, categories)


def _those(said: str, findings: Iterable[Finding], verdict: str, looks: bool) -> str:
    named = [f"{finding.name} ({_figures(finding, looks)})" for finding in findings if finding.verdict == verdict]
    return f"{said[0].upper()}{said[1:]}: {'; '.join(named)}." if named else ""


def _figures(finding: Finding, looks: bool) -> str:
    """Figures of a finding, with the seeds that it took where there were `looks`."""
    line = finding.these
    if not line["n_pairs"]:
        return "no pair of cells"
    said = [f"{signed_points(line['estimate'])}{', ' * bool(interval(line))}{interval(line)}", line["note"]]
    if looks:
        said.append(taken(line))
    if finding.verdict == "open" or line["repeat"] < SETTLED:
        said.append(repeat(line))
    elif finding.kind in ("row", "training"):
        said.append(wins(line))
    return "; ".join(filter(None, said))


def _widely(found: list[Finding], categories: int) -> str:
    """Which verdicts hold on categories like these too, and what is needed for this wider claim."""
    if categories == 1:
        return "One category shows nothing about other categories: add more."
    told = [finding for finding in found if finding.verdict != "open"]
    if not told:
        return ""
    widely = [finding for finding in told if finding.holds_widely]
    if len(widely) == len(told):
        return "The same holds on categories like these."
    if not widely:
        return "On categories like these no verdict is settled: more categories are needed for that claim."
    names = "; ".join(finding.name for finding in widely)
    return f"On categories like these: {names} too; the other verdicts are not settled until there are more categories."
