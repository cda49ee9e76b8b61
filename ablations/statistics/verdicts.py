"""What each comparison of a table comes to: a gain, a harm, or nothing that can be told from noise."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd


def told_apart(line: Mapping[str, Any]) -> bool:
    """Whether the p of a difference or effect, after Holm's correction, is at most the family's alpha."""
    return bool(line["p_holm"] <= line["alpha"])


@dataclass(frozen=True)
class Verdict:
    """One comparison over all metrics.

    Attributes:
        kind: "row" over another row, "training" over an untrained row, "main" effect of a factor, or "interaction".
        added: the row, the factor, or the two factors.
        over: the row that lacks what `added` has; empty but for the kind "row".
        lines: of `paired_differences` or `factorial_effects`, one a metric; their `gain` is what the added part brings.
    """

    kind: str
    added: str
    over: str = ""
    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def gains(self) -> list[dict[str, Any]]:
        """The metrics that the added part improves."""
        return [line for line in self.lines if told_apart(line) and line["gain"] > 0]

    @property
    def harms(self) -> list[dict[str, Any]]:
        """The metrics that it worsens."""
        return [line for line in self.lines if told_apart(line) and line["gain"] < 0]

    @property
    def is_open(self) -> bool:
        """Whether there are figures, and none of them can be told from noise."""
        return not any(map(told_apart, self.lines)) and any(not math.isnan(line["gain"]) for line in self.lines)


def row_verdicts(differences: pd.DataFrame, untrained: Collection[str] = ()) -> list[Verdict]:
    """Each pair of rows once, in the order of `paired_differences`; `untrained` names the rows without training."""
    found: dict[tuple[str, str], Verdict] = {}
    seen: dict[frozenset[str], tuple[str, str]] = {}
    for line in differences.to_dict("records"):
        # A step adds a part to the row above; elsewhere the reference has what the row lacks.
        above = line["against"] == "above"
        new, old, sign = (line["row"], line["other"], 1) if above else (line["other"], line["row"], -1)
        key = (new, "" if old in untrained else old)
        if seen.setdefault(frozenset((new, old)), key) == key:
            verdict = found.setdefault(key, Verdict("row" if key[1] else "training", *key))
            if all(kept["metric"] != line["metric"] for kept in verdict.lines):
                verdict.lines.append({**line, "gain": sign * line["difference"]})
    return list(found.values())


def effect_verdicts(effects: pd.DataFrame, kind: str) -> list[Verdict]:
    """The main effects or the interactions, as `kind` says, of `factorial_effects`."""
    found: dict[str, Verdict] = {}
    for line in effects[effects["kind"] == kind].to_dict("records"):
        verdict = found.setdefault(line["effect"], Verdict(kind, line["effect"]))
        verdict.lines.append({**line, "gain": line["estimate"]})
    return list(found.values())


def verdict_frame(
    differences: pd.DataFrame, effects: pd.DataFrame | None, untrained: Collection[str] = ()
) -> pd.DataFrame:
    """All verdicts, a line a metric: kind, added, over, metric, gain, p_holm, and verdict.

    That is "gain", "harm", "open" (it cannot be told from noise) or "no figure".
    """
    found = [] if differences.empty else row_verdicts(differences, untrained)
    for kind in () if effects is None else ("main", "interaction"):
        found += effect_verdicts(effects, kind)
    lines = [
        {
            "kind": verdict.kind,
            "added": verdict.added,
            "over": verdict.over,
            **{key: line[key] for key in ("metric", "gain", "p_holm")},
            "verdict": _in_a_word(line),
        }
        for verdict in found
        for line in verdict.lines
    ]
    return pd.DataFrame(lines)


def _in_a_word(line: Mapping[str, Any]) -> str:
    if math.isnan(line["gain"]):
        return "no figure"
    if not told_apart(line):
        return "open"
    return "gain" if line["gain"] > 0 else "harm"
