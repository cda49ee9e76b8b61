"""The comparisons that a table's verdicts are about, each signed as the effect of the added part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from dlkd.ablations.report.tables import Table
from dlkd.ablations.report.words.entries import base
from dlkd.ablations.report.words.numbers import p_value, signed, signed_points
from dlkd.ablations.statistics.repeats import SETTLED

OPPOSITE = {"helps": "harms", "harms": "helps"}


@dataclass(frozen=True)
class Finding:
    """One comparison by the primary metric.

    Attributes:
        kind: "row", "training" (against an untrained row), "main" (effect of a factor) or "interaction".
        name: what is added, in words.
        against: how the comparison was asked for, in words.
        these: its line of `claims` for these categories, signed as the effect of the added part.
        like: the same for categories like these.
    """

    kind: str
    name: str
    against: str
    these: dict[str, Any]
    like: dict[str, Any]

    @property
    def verdict(self) -> str:
        """For these categories."""
        return str(self.these["verdict"])

    @property
    def holds_widely(self) -> bool:
        """Whether the verdict on categories like these is the same, and a repeat would most likely give it again."""
        return bool(self.verdict == self.like["verdict"] and not self.like["repeat"] < SETTLED)  # NaN: not known


def row_findings(table: Table) -> list[Finding]:
    """Of each row's comparison by the primary metric, in the order of the rows."""
    untrained = {row.label for row in table.rows if row.untrained}
    found = []
    for these, like in _by_scope(table.differences):
        row, other = these["row"], these["other"]
        # A step adds a part to the row above, and a row with a host to that; the reference has what the row lacks.
        adds = table.grid.stepwise or table.grid.reference is None
        added, lacks, sign = (row, other, 1) if adds else (other, row, -1)
        kind = "training" if lacks in untrained else "row"
        name = f"training '{added}'" if kind == "training" else f"'{added}' over '{lacks}'"
        against = f"'{row}' against {base(table)}, '{other}'"
        found.append(Finding(kind, name, against, _signed(these, sign), _signed(like, sign)))
    return found


def effect_findings(table: Table) -> list[Finding]:
    """Of each factor's effect, then of each interaction, by the primary metric."""
    if table.effects is None:
        return []
    found = []
    for these, like in _by_scope(table.effects):
        # An effect over some settings is another quantity than one over all: it is named so wherever it is named.
        part = f", over {these['settings']} of {these['of_settings']} settings" if these["left_out"] else ""
        said = "interaction " if these["kind"] == "interaction" else ""
        left_out = f" of the other factors (left out: {these['left_out']})" if these["left_out"] else ""
        found.append(
            Finding(these["kind"], f"{these['row']}{part}", f"{said}'{these['row']}'{part}{left_out}", these, like)
        )
    return found


def _by_scope(lines: pd.DataFrame) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    these, like = (lines[lines["scope"] == scope].to_dict("records") for scope in ("these", "like"))
    return list(zip(these, like, strict=True))


def _signed(line: dict[str, Any], sign: int) -> dict[str, Any]:
    if sign > 0:
        return line
    return line | {
        **{"estimate": -line["estimate"], "low": -line["high"], "high": -line["low"], "worst": -line["worst"]},
        **{"wins": line["n_pairs"] - line["wins"], "verdict": OPPOSITE.get(line["verdict"], line["verdict"])},
    }


def figures(line: dict[str, Any]) -> str:
    """Estimate, interval and p of a line.

    >>> figures({"estimate": 0.015, "low": 0.003, "high": 0.026, "p": 0.022})
    '+1.50 points, 95% interval +0.30 to +2.60, p = 0.022'
    """
    return ", ".join(filter(None, [signed_points(line["estimate"]), interval(line), p_value(line["p"])]))


def interval(line: dict[str, Any]) -> str:
    """The interval in points with its level, or nothing."""
    return f"95% interval {ends(line)}" if ends(line) else ""


def ends(line: dict[str, Any]) -> str:
    """The ends of the interval in points, or nothing."""
    if not (abs(line["low"]) < 10 and abs(line["high"]) < 10):  # infinite or not known
        return ""
    return f"{signed(line['low'] * 100)} to {signed(line['high'] * 100)}"


def wins(line: dict[str, Any]) -> str:
    """In how many trainings the added part was better.

    >>> wins({"wins": 7.0, "n_pairs": 9}), wins({"wins": 2.5, "n_pairs": 3})
    ('better in 7 of 9 trainings', 'better in 2.5 of 3 trainings (a tie counts half)')
    """
    tie = " (a tie counts half)" if line["wins"] % 1 else ""
    return f"better in {line['wins']:g} of {line['n_pairs']} trainings{tie}"


def repeat(line: dict[str, Any]) -> str:
    """How likely another run gives the same verdict, and how many seeds would decide it; empty if unknown."""
    if pd.isna(line["repeat"]):
        return ""
    probability = "above 0.95" if line["repeat"] > 0.95 else f"about {line['repeat']:.1f}"
    said = f"a repeat with new seeds would give the same verdict with probability {probability}"
    if line["repeat"] >= SETTLED and line["verdict"] != "open":
        return said
    unknown = f"more than 50 seeds{' or more test images' if line['new_images'] else ''}"
    seeds = unknown if pd.isna(line["settle"]) else f"about {line['settle']:.0f} seeds"
    if line["verdict"] == "open":
        return f"{seeds} would decide it if the true effect is as estimated"
    return f"not settled: {said}; {seeds} would raise it to 0.8"
