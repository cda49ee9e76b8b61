"""Every comparison of a table in a sentence: which parts earn their keep and which drown in noise."""

from __future__ import annotations

from typing import Any

import pandas as pd

from dlkd.ablations.report.words.entries import label
from dlkd.ablations.report.words.numbers import count, points, signed, signed_points
from dlkd.ablations.statistics.verdicts import told_apart


def comparisons(differences: pd.DataFrame, effects: pd.DataFrame | None = None) -> list[str]:
    """Sentences from `paired_differences` and, for a factorial grid, `factorial_effects`; any metrics.

    Figures are in points, hundredths of a metric that runs from 0 to 1. Each metric of a table is a family of
    its own for Holm's correction: reading only the best of several metrics is not corrected for.
    """
    sentences = []
    for metric, table in differences.groupby("metric", sort=False):
        unordered = pd.Series([frozenset(pair) for pair in zip(table["row"], table["other"], strict=True)])
        stepwise = table["against"] == "above"
        repeated = ~stepwise & unordered.isin(unordered[stepwise.to_numpy()]).to_numpy()
        lines = table[~repeated].to_dict("records")
        sentences.append(_overview(f"{label(metric)}, row by row", lines))
        sentences += [_of_difference(line) for line in lines]
    if effects is not None:
        for metric, table in effects.groupby("metric", sort=False):
            lines = table.to_dict("records")
            sentences.append(_overview(f"{label(metric)}, factor by factor", lines))
            sentences += [_of_effect(line) for line in lines]
    return sentences


def _of_difference(line: dict[str, Any]) -> str:
    row, other, difference = line["row"], line["other"], line["difference"]
    name = f"'{row}' against {'the full model' if line['against'] == 'full' else 'the row above,'} '{other}'"
    if pd.isna(difference):
        return f"{name}: {_nothing(line)}"
    amount = points(abs(difference))
    better = f"{amount} {'better' if difference > 0 else 'worse'}"
    if not told_apart(line):
        says = _why_open(line, difference)
    elif line["against"] == "above":
        verdict = "earns its keep" if difference > 0 else "does harm"
        says = f"{better}; the step from '{other}' to '{row}' {verdict}."
    else:
        verdict = "does harm" if difference > 0 else "earns its keep"
        says = f"{better}; what '{other}' has over '{row}' {verdict}."
    return f"{name}: {says} {_figures(line, difference)}"


def _of_effect(line: dict[str, Any]) -> str:
    effect = line["estimate"]
    name = f"'{line['effect']}'" if line["kind"] == "main" else f"interaction '{line['effect']}'"
    if pd.isna(effect):
        return f"{name}: {_nothing(line)}"
    amount = points(abs(effect))
    if not told_apart(line):
        says = _why_open(line, effect)
    elif line["kind"] == "interaction":
        says = f"each adds {amount} {'more' if effect > 0 else 'less'} with the other on than with it off."
    elif effect > 0:
        says = f"earns its keep: it adds {amount}, averaged over the other factors."
    else:
        says = f"does harm: it takes away {amount}, averaged over the other factors."
    return f"{name}: {says} {_figures(line, effect)}"


def _overview(subject: str, lines: list[dict[str, Any]]) -> str:
    told = sum(told_apart(line) for line in lines)
    return f"{subject}: {told} of {len(lines)} can be told from noise (family-wise {lines[0]['alpha']:.0%})."


def _nothing(line: dict[str, Any]) -> str:
    return f"{line['note'].split('; ')[-1]} ({line['n_missing']} cells missing)."


def _why_open(line: dict[str, Any], effect: float) -> str:
    found = f"{signed_points(effect)} cannot be told from noise"
    if not line["can_conclude"]:
        return f"{found}, whatever its size: {line['note'].split('; ')[-1]}."
    if pd.isna(line["minimum_detectable"]):
        return f"{found}: the same value in every pair of cells."
    enough = points(line["minimum_detectable"])
    return f"{found}; only {enough} or more was likely to show (80% power)."


def _figures(line: dict[str, Any], effect: float) -> str:
    parts = [signed_points(effect)]
    if pd.isna(line["low"]):
        parts.append(line["note"].split("; ")[0])
    else:
        parts.append(f"{line['confidence']:.0%} interval {signed(line['low'] * 100)} to {signed(line['high'] * 100)}")
    parts.append(f"p = {line['p_holm']:.2g} after Holm")
    if not pd.isna(line["noise_floor"]):
        parts.append(f"another seed alone moves it by {points(line['noise_floor'])}")
    parts += [
        count(line["n_categories"], "category", "categories"),
        count(line["n_seeds"], "seed", "seeds"),
    ]
    if line["unit"] == "trial" and told_apart(line):
        parts.append("too few categories to speak of any but these")
    if line["partial"]:
        parts.append(f"partial: {count(line['n_missing'], 'cell', 'cells')} missing")
    return f"({', '.join(parts)})"
