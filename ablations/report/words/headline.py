"""What a table says in a few sentences: what earns its keep, what does harm, what drowns in noise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dlkd.ablations.report.tables import Table
from dlkd.ablations.report.words.entries import label
from dlkd.ablations.report.words.numbers import count, p_value, signed_points
from dlkd.ablations.statistics.verdicts import Verdict, effect_verdicts, row_verdicts


def headline(table: Table) -> str:
    """The table's verdicts, and what is missing.

    A factor's effect is an average over the others, which says little where they stand in for it: so the
    interactions are spoken of too.
    """
    if table.effects is None:
        untrained = {row.label for row in table.rows if row.untrained}
        verdicts, interactions = row_verdicts(table.differences, untrained), []
    else:
        verdicts, interactions = effect_verdicts(table.effects, "main"), effect_verdicts(table.effects, "interaction")
    says = [
        _those("Earns its keep", _gains(verdicts)),
        _those("Does harm", _harms(verdicts)),
        _those("Cannot be told from noise on any metric", [_name(v) for v in verdicts if v.is_open]),
        _those("Stand in for each other, each adding less where the other is", _harms(interactions)),
        _those("Need each other, each adding more where the other is", _gains(interactions)),
        _too_few(table),
    ]
    if table.failed_cells:
        says.append(f"{count(table.failed_cells, 'cell', 'cells')} failed; averages without them are marked partial.")
    if table.not_run:
        waiting = count(table.not_run, "cell was", "cells were")
        says.append(f"{waiting} not run yet: the same `dlkd ablate` goes on with them.")
    return " ".join(filter(None, says)) or "One row: nothing to compare."


def _those(said: str, names: list[str]) -> str:
    return f"{said}: {'; '.join(names)}." if names else ""


def _gains(verdicts: Iterable[Verdict]) -> list[str]:
    return [f"{_name(v)} ({_figures(v.gains)})" for v in verdicts if v.gains]


def _harms(verdicts: Iterable[Verdict]) -> list[str]:
    return [f"{_name(v)} ({_figures(v.harms)})" for v in verdicts if v.harms]


def _name(verdict: Verdict) -> str:
    if verdict.kind == "row":
        return f"'{verdict.added}' over '{verdict.over}'"
    return f"training '{verdict.added}'" if verdict.kind == "training" else verdict.added


def _figures(lines: list[dict[str, Any]]) -> str:
    return "; ".join(
        f"{label(line['metric'])} {signed_points(line['gain'])}, {p_value(line['p_holm'])}" for line in lines
    )


def _too_few(table: Table) -> str:
    """That no difference could have been told from noise; nothing where one could."""
    lines = table.differences if table.effects is None else table.effects
    if lines.empty or lines["can_conclude"].any():
        return ""
    categories = count(int(lines["n_categories"].max()), "category", "categories")
    seeds = count(int(lines.iloc[0]["n_seeds"]), "seed", "seeds")
    return (
        f"With {categories} and {seeds} no difference, whatever its size, could have been told from noise: more "
        "seeds or categories are needed for a verdict."
    )
