"""A report's first page in words: what the tables allow to say, and how it was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from dlkd.ablations.report.tables import Row, Table, label
from dlkd.ablations.report.words import in_order, listed, number, p_value, seconds, signed
from dlkd.ablations.run.store import NOT_RUN, part_of_result

COST_NOTE = (
    "FLOPs of one image by torch's counter, which does not see the selective scan. Memory is the peak of the worker "
    "process, which earlier trials share. Times were taken while other trials ran beside."
)
PAPER = {"dataset": "mvtec", "teacher": "resnet18", "image_size": "256"}


class Training(NamedTuple):
    """One metric of the trained network beside the same network untrained, in per cent and points."""

    metric: str
    untrained: str
    trained: str
    difference: str
    p: str


def headline(table: Table) -> str:
    """What this table says, in a few sentences: what earns its keep, what does harm, what drowns in noise.

    A factor's effect is an average over the others, which says little where they stand in for it: so the
    interactions are spoken of too.
    """
    gains, harms, open_ = _sorted_out(_comparisons(table))
    says = []
    if gains:
        says.append(f"Earns its keep: {'; '.join(gains)}.")
    if harms:
        says.append(f"Does harm: {'; '.join(harms)}.")
    if open_:
        says.append(f"Cannot be told from noise on any metric: {'; '.join(open_)}.")
    together, instead, _ = _sorted_out(_effects(table, "interaction"))
    if instead:
        says.append(f"Stand in for each other, each adding less where the other is: {'; '.join(instead)}.")
    if together:
        says.append(f"Need each other, each adding more where the other is: {'; '.join(together)}.")
    lines = table.differences if table.effects is None else table.effects
    if not lines.empty and not lines["can_conclude"].any():
        first = lines.iloc[0]
        says.append(
            f"With {_count(int(lines['n_categories'].max()), 'category', 'categories')} and "
            f"{_count(int(first['n_seeds']), 'seed', 'seeds')} no difference, whatever its size, could have been "
            "told from noise: more seeds or categories are needed for a verdict."
        )
    if table.failed_cells:
        count = _count(table.failed_cells, "cell", "cells")
        says.append(f"{count} failed; averages without them are marked partial.")
    if table.not_run:
        count = _count(table.not_run, "cell was", "cells were")
        says.append(f"{count} not run yet: the same `dlkd ablate` goes on with them.")
    return " ".join(says) or "One row: nothing to compare."


def training_matters(tables: Sequence[Table]) -> list[Training]:
    """The untrained network beside the reference, from the first table that has both."""
    for table in tables:
        untrained = next((row for row in table.rows if row.untrained and not row.reference), None)
        reference = next(row for row in table.rows if row.reference)
        if untrained is not None:
            return [_training(metric, untrained, reference) for metric in table.metrics]
    return []


def how_measured(trials: pd.DataFrame, store: Path) -> list[tuple[str, str]]:
    """Terms and what they were: data, seeds, size, length, teacher, time, versions."""
    categories = trials[["dataset", "category"]].drop_duplicates().groupby("dataset", sort=False)["category"]
    data = listed([f"{name} ({', '.join(found)})" for name, found in categories])
    cells = trials.drop_duplicates("key")
    failed = trials.loc[trials["status"] == "failed", "key"].nunique()
    not_run = trials.loc[trials["status"] == NOT_RUN, "key"].nunique()
    spent = cells["train_seconds"].sum() if "train_seconds" in cells else float("nan")
    waiting = f", {not_run} not run" if not_run else ""
    facts = [
        ("Data", data),
        ("Seeds", listed([str(seed) for seed in sorted(trials["seed"].unique())])),
        ("Image size", f"{_values(trials['image_size'])} pixels"),
        ("Training", _length(trials)),
        ("Pixel metrics", _pixels(trials)),
        ("Teacher", f"{_values(trials['teacher'])}, frozen"),
        ("Cells", f"{len(cells) - failed - not_run} trained and scored, {failed} failed" + waiting),
        ("Training time", f"{seconds(float(spent))} in all cells together"),
    ]
    if said := _versions(cells["key"], store):
        facts.append(("Versions", said))
    return facts


def comparable(trials: pd.DataFrame) -> str:
    """How the paper's figures relate to these."""
    measured = {
        "dataset": set(trials["dataset"]),
        "teacher": {str(name).split(".")[0] for name in trials["teacher"]},
        "image_size": set(map(str, trials["image_size"])),
    }
    says = (
        "The paper's figures were measured on MVTec AD with a ResNet18 teacher at 256 pixels (the paper does not "
        "say for how many epochs; this project's paper preset takes 200)."
    )
    if all(measured[key] == {value} for key, value in PAPER.items()):
        return f"{says} This run has the same data, teacher and image size."
    here = (
        f"{listed(sorted(map(str, measured['dataset'])))}, {listed(sorted(measured['teacher']))}, "
        f"{_values(trials['image_size'])} pixels, {_length(trials)}"
    )
    return (
        f"{says} This run: {here}. The levels of the two are therefore not comparable; "
        "what can be set side by side is the order of the rows and the sign of their differences."
    )


def notes(table: Table) -> list[str]:
    """What has to be read with the table: intervals, tests, failures, undefined metrics."""
    found = []
    if table.grid.source:
        found.append(
            f"Source of the paper's figures: {table.grid.source}."
            if table.grid.has_paper
            else f"{table.grid.source.capitalize()}."
        )
    found.append(
        "Measured: mean over seeds, then over categories, in per cent, with its 95% interval. Difference: points "
        f"against '{table.grid.reference}', with p of the sign-flip test after Holm's correction."
    )
    why = {entry.why_no_interval for row in table.rows for entry in row.entries.values() if not math.isnan(entry.mean)}
    found += [f"{reason[:1].upper()}{reason[1:]}." for reason in sorted(why - {""})]
    undefined = {
        (label(metric), entry.undefined)
        for row in table.rows
        for metric, entry in row.entries.items()
        if entry.undefined
    }
    found += [f"{metric} is undefined where: {reason}." for metric, reason in sorted(undefined)]
    return found


def _sorted_out(comparisons: dict[str, list[dict[str, Any]]]) -> tuple[list[str], list[str], list[str]]:
    """Gains, harms and what is open. A comparison with a verdict on any metric is named for those metrics alone."""
    gains: list[str] = []
    harms: list[str] = []
    open_: list[str] = []
    for name, lines in comparisons.items():
        told = [line for line in lines if line["p_holm"] <= line["alpha"]]
        for group, sign in ((gains, 1), (harms, -1)):
            found = [line for line in told if line["gain"] * sign > 0]
            if found:
                figures = [
                    f"{label(line['metric'])} {signed(line['gain'] * 100)} points, {p_value(line['p_holm'])}"
                    for line in found
                ]
                group.append(f"{name} ({'; '.join(figures)})")
        if not told and any(not math.isnan(line["gain"]) for line in lines):
            open_.append(name)
    return gains, harms, open_


def _comparisons(table: Table) -> dict[str, list[dict[str, Any]]]:
    """Lines of each comparison, all metrics; `gain` is what the added part brings."""
    if table.effects is not None:
        return _effects(table, "main")
    found: dict[str, list[dict[str, Any]]] = {}
    if table.differences.empty:
        return found
    seen: dict[frozenset[str], str] = {}
    untrained = {row.label for row in table.rows if row.untrained}
    for line in table.differences.to_dict("records"):
        # A step adds a part to the row above; elsewhere the reference has what the row lacks.
        above = line["against"] == "above"
        new, old, gain = (line["row"], line["other"], 1) if above else (line["other"], line["row"], -1)
        pair = frozenset((new, old))
        name = f"training '{new}'" if old in untrained else f"'{new}' over '{old}'"
        if seen.setdefault(pair, name) == name:
            lines = found.setdefault(name, [])
            if all(kept["metric"] != line["metric"] for kept in lines):
                lines.append({**line, "gain": gain * line["difference"]})
    return found


def _effects(table: Table, kind: str) -> dict[str, list[dict[str, Any]]]:
    """Lines of each main effect or interaction of a factorial grid, all metrics; none of another grid."""
    found: dict[str, list[dict[str, Any]]] = {}
    if table.effects is not None:
        for line in table.effects[table.effects["kind"] == kind].to_dict("records"):
            found.setdefault(line["effect"], []).append({**line, "gain": line["estimate"]})
    return found


def _training(metric: str, untrained: Row, reference: Row) -> Training:
    before, after = untrained.entries[metric], reference.entries[metric]
    gain = signed(-before.difference) if not math.isnan(before.difference) else ""
    return Training(label(metric), number(before.mean), number(after.mean), gain, p_value(before.p))


def _length(trials: pd.DataFrame) -> str:
    trained = trials[(trials["epochs"] > 0) & (trials["max_steps"] != 0)]
    lengths = [
        f"{steps} steps" if steps > 0 else _count(int(epochs), "epoch", "epochs")
        for epochs, steps in trained[["epochs", "max_steps"]].drop_duplicates().itertuples(index=False)
    ]
    return listed(lengths) or "none"


def _pixels(trials: pd.DataFrame) -> str:
    """At which size pixel metrics were taken, and up to which false-positive rate PRO was."""
    places = {"network": "the network's image size", "native": "each mask's own size"}
    at = listed([places[place] for place in sorted(trials["score_at"].unique(), reverse=True)])
    limits = _values(trials["pro_limit"])
    differ = "; figures of different limits are not comparable" if trials["pro_limit"].nunique() > 1 else ""
    return f"at {at}; PRO up to a false-positive rate of {limits}{differ}"


def _versions(keys: pd.Series, store: Path) -> str:
    found: dict[str, set[str]] = {}
    for key in keys:
        for name, value in part_of_result(store / key, "versions", dict).items():
            found.setdefault(name, set()).add(str(value)[:12] if len(str(value)) == 40 else str(value))
    return ", ".join(f"{name} {' and '.join(sorted(values))}" for name, values in found.items())


def _values(column: pd.Series) -> str:
    return listed(in_order(column))


def _count(number_: int, one: str, many: str) -> str:
    return f"{number_} {one if number_ == 1 else many}"
