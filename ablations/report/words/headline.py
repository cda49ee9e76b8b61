"""What a table says in short: what helps, what harms, what is open, and for which data this holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from dlkd.ablations.report.tables import Table
from dlkd.ablations.report.words.entries import claimed, label
from dlkd.ablations.report.words.findings import Finding, effect_findings, ends, repeat, row_findings
from dlkd.ablations.report.words.numbers import count, number, signed_points
from dlkd.ablations.statistics.repeats import SETTLED


@dataclass(frozen=True)
class Headline:
    """A table in short, a sentence or a comparison per line.

    Attributes:
        about: what the verdicts are about: data, metric and kind of interval.
        decided: the comparisons that have a verdict, one per line.
        undecided: how many are open.
        open: these, one per line.
        rest: whether the verdicts hold on other categories, and which cells are missing.
    """

    about: str = ""
    decided: list[str] = field(default_factory=list)
    undecided: str = ""
    open: list[str] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        """All of it."""
        return [*filter(None, [self.about, *self.decided, self.undecided, *self.open]), *self.rest]


def headline(table: Table) -> Headline:
    """The table's verdicts by its primary metric, for these categories and for categories like these; what is missing.

    The effect of a factor is an average over the others. This says little if the factors overlap, so that the
    headline names the interactions too.
    """
    found = row_findings(table) if table.effects is None else effect_findings(table)
    categories = max((finding.these["n_categories"] for finding in found), default=0)
    if not categories:
        nothing = "No two rows have a cell in common: nothing to compare." if found else "One row: nothing to compare."
        return Headline(rest=[nothing, *_missing(table)])
    these = "this category" if categories == 1 else f"these {categories} categories"
    intervals = "95% intervals after Holm's correction"
    parts = [finding for finding in found if finding.kind != "interaction"]
    waiting = [finding for finding in parts if finding.verdict == "open"]
    told = [finding for finding in found if (finding.kind == "interaction", finding.verdict) in _words(table)]
    return Headline(
        about=f"For {claimed(table.new_images, these)}, by {label(table.grid.primary_metric)}, {intervals}:",
        decided=list(_decided(table, told)),
        undecided=_undecided(table, len(waiting), len(parts)),
        open=[f"{finding.name} ({_figures(finding, table)})" for finding in waiting],
        rest=[*_widely(told, categories), *_missing(table)],
    )


def _words(table: Table) -> dict[tuple[bool, str], str]:
    """What is said of a verdict, by whether it is on an interaction; one that changes nothing is left out."""
    return {
        (False, "helps"): "Helps",
        (False, "harms"): "Harms",
        (False, "equivalent"): f"Changes nothing beyond {number(table.grid.margin * 100, 1)} points",
        (True, "harms"): "Overlap, each adding less with the other than without it",
        (True, "helps"): "Reinforce each other, each adding more with the other than without it",
    }


def _decided(table: Table, told: list[Finding]) -> Iterator[str]:
    """A line per verdict; where some, not all, hold on categories like these, these are marked."""
    some = 0 < sum(finding.holds_widely for finding in told) < len(told)
    for kind, said in _words(table).items():
        for finding in told:
            if (finding.kind == "interaction", finding.verdict) == kind:
                widely = "; also on categories like these" if some and finding.holds_widely else ""
                yield f"{said}: {finding.name} ({_figures(finding, table)}{widely})"


def _undecided(table: Table, waiting: int, of: int) -> str:
    if not waiting:
        return ""
    one, many = ("comparison", "comparisons") if table.effects is None else ("effect", "effects of factors")
    if of == 1:
        return f"The only {one} is open: these data do not decide it."
    is_, them = ("is", "it") if waiting == 1 else ("are", "them")
    return f"{waiting} of {of} {many} {is_} open: these data do not decide {them}."


def _figures(finding: Finding, table: Table) -> str:
    """Figures of a finding, with the seeds that it took where these were not fixed beforehand."""
    line = finding.these
    if not line["n_pairs"]:
        return "no pair of cells"
    said = [", ".join(filter(None, [signed_points(line["estimate"]), ends(line)])), line["note"]]
    if table.grid.until_decided is not None:
        said.append(f"{'after' if finding.verdict == 'open' else 'with'} {count(line['n_seeds'], 'seed', 'seeds')}")
    if finding.verdict == "open":
        said.append(repeat(line))
    elif line["repeat"] < SETTLED:
        said.append("not settled")
    return "; ".join(filter(None, said))


def _widely(told: list[Finding], categories: int) -> Iterable[str]:
    """Which verdicts hold on categories like these too, and what is needed for this wider claim."""
    widely = sum(finding.holds_widely for finding in told)
    if categories == 1:
        yield "One category shows nothing about other categories: add more."
    elif told and widely == len(told):
        yield "The same holds on categories like these."
    elif told and not widely:
        yield "On categories like these no verdict is settled: more categories are needed for that claim."
    elif told:
        yield (
            f"On categories like these {widely} of the {len(told)} verdicts {'holds' if widely == 1 else 'hold'} too; "
            "the others are not settled until there are more categories."
        )


def _missing(table: Table) -> Iterator[str]:
    if table.failed_cells:
        failed = count(table.failed_cells, "cell", "cells")
        yield f"{failed} failed: a row with a failed cell is never said to help, and its average is partial."
    if table.not_run:
        waiting, them = count(table.not_run, "cell was", "cells were"), "it" if table.not_run == 1 else "them"
        yield f"{waiting} not run yet: the same 'dlkd ablate' command continues with {them}."
