"""What is said of runs in which open comparisons get more seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.report.families import Family
from dlkd.ablations.report.words.numbers import count, listed


def look(grid: Grid, found: Family) -> str:
    """A look at a table, for the terminal: what is decided, and what is open and gets one more seed."""
    if not found.looks:
        return f"{grid.name}: no two rows have the metric {grid.primary_metric}, so that nothing can be decided"
    last = {line["row"]: line for line in found.looks}
    more = {comparison.name for comparison in found.more}
    decided = [f"{_name(line)} {taken(line)}{_why(line, grid)}" for name, line in last.items() if name not in more]
    waiting = [_name(line) for name, line in last.items() if name in more]
    seeds = max(line["seeds"] for line in last.values())
    says = [f"{grid.name} with {count(seeds, 'seed', 'seeds')}", *decided]
    if waiting:
        says.append(f"open: {listed(waiting)} (at most {grid.until_decided} seeds)")
    return "; ".join(says)


def taken(line: Mapping[str, Any]) -> str:
    """How many seeds a comparison took: "helps with 5 seeds", "open after 10 seeds"."""
    seeds = count(line["n_seeds"], "seed", "seeds")
    return f"open after {seeds}" if line["verdict"] == "open" else f"{line['verdict']} with {seeds}"


def mode(grid: Grid) -> str:
    """How many seeds comparisons get and what their p and intervals then mean; empty where the number was fixed."""
    if grid.until_decided is None:
        return ""
    if grid.added_to is None:
        return (
            f"Comparisons that were open got one more seed each, to {grid.until_decided} at most: p and intervals hold "
            "at every look. A row's mean is over all its seeds, a difference over those that its comparison took."
        )
    return added(grid)


def added(grid: Grid) -> str:
    """That seeds were added to a finished run, and what this means."""
    return (
        f"Seeds were added to a finished run of {grid.added_to}: all verdicts, the earlier ones too, are those of a "
        f"run that is looked at after every seed, to {grid.until_decided} at most. Together with the earlier report, "
        "which was read at the full level, they are ever wrong in about 7 of 100 tables without effects."
    )


def _why(line: Mapping[str, Any], grid: Grid) -> str:
    """Why a comparison that is open gets no more seeds; empty for others."""
    if line["verdict"] != "open" or line["seeds"] >= (grid.until_decided or 0):
        return ""
    return (
        " (a failed training keeps it so)" if line["n_failed"] + line["n_failed_other"] else " (seeds cannot decide it)"
    )


def _name(line: Mapping[str, Any]) -> str:
    return f"'{line['row']}' against '{line['other']}'" if line["other"] else f"'{line['row']}'"
