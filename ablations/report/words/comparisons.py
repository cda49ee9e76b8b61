"""Every comparison of a table in a sentence, with its interval, p, repeats and counts."""

from __future__ import annotations

from typing import Any

from dlkd.ablations.report.tables import Table
from dlkd.ablations.report.words.entries import base, label
from dlkd.ablations.report.words.findings import Finding, effect_findings, figures, repeat, row_findings, wins
from dlkd.ablations.report.words.numbers import count, points, signed_points

VERDICTS = {
    "helps": "helps",
    "harms": "harms",
    "equivalent": "changes nothing that matters",
    "open": "is open",
}
INTERACTIONS = {
    "helps": "each adds more with the other on than with it off",
    "harms": "each adds less with the other on than with it off",
    "equivalent": "neither changes the other's effect by an amount that matters",
    "open": "open",
}


def comparisons(table: Table) -> list[str]:
    """A sentence for each comparison by the primary metric, then one for each other metric.

    Figures are in points, hundredths of a metric that runs from 0 to 1.
    """
    found = row_findings(table) + effect_findings(table)
    sentences = [_sentence(finding) for finding in found]
    return sentences + [_exploratory(table, metric) for metric in table.metrics if metric != table.grid.primary_metric]


def _sentence(finding: Finding) -> str:
    line = finding.these
    if not line["n_pairs"]:
        return f"{finding.against}: no cell has both."
    if finding.kind == "interaction":
        says = INTERACTIONS[finding.verdict]
    elif finding.kind in ("row", "training"):
        says = f"{finding.name} {VERDICTS[finding.verdict]}"
    else:
        says = VERDICTS[finding.verdict]
    details = [f"these categories: {figures(line)}", f"categories like these: {figures(finding.like)}"]
    if finding.kind in ("row", "training"):
        details.append(wins(line))
    if line["se_seeds"] > 0:
        details.append(f"another seed moves this difference by {points(line['se_seeds'])}")
    details += filter(None, [repeat(line), *_failed(line), line["note"]])
    details += [count(line["n_categories"], "category", "categories"), count(line["n_seeds"], "seed", "seeds")]
    return f"{finding.against}: {says} ({'; '.join(details)})."


def _failed(line: dict[str, Any]) -> list[str]:
    """How many trainings of either side failed, and the estimate with the lowest values in their place."""
    without = f"without '{line['row']}'" if not line["other"] else f"of '{line['other']}'"
    sides = ((line["n_failed"], f"of '{line['row']}'"), (line["n_failed_other"], without))
    failed = [f"{count} of {line['n_asked']} trainings {whose} failed" for count, whose in sides if count]
    worst = f"with the category's lowest value in their place: {signed_points(line['worst'])}"
    return [*failed, worst] if failed else []


def _exploratory(table: Table, metric: str) -> str:
    lines = table.differences if table.effects is None else table.effects
    own = lines[lines["metric"] == metric].to_dict("records")
    listed = "; ".join(f"'{line['row']}' {signed_points(line['estimate'])}" for line in own)
    against = f" against {base(table)}" if table.effects is None else ""
    return f"{label(metric)}, exploratory{against}: {listed}."
