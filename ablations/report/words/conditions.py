"""Notes beside a table: how it was measured, what it can be compared with, and what was not measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from dlkd.ablations.report.tables import Table, TableRow
from dlkd.ablations.report.words.entries import base, claimed, label
from dlkd.ablations.report.words.looks import mode
from dlkd.ablations.report.words.numbers import count, in_order, listed, number, p_value, seconds, signed
from dlkd.ablations.report.words.tuning import tuning
from dlkd.ablations.stored.store import part_of_result
from dlkd.ablations.stored.trials import NOT_RUN
from dlkd.training.trials.trial_result import SECONDS

COLLAPSE = 0.1
NAMES = {"btad": "BTAD", "mvtec": "MVTec AD"}
TEACHER = "teacher resnet18"
"""The paper's, without the tag of its weights."""


class Training(NamedTuple):
    """One metric of the trained network beside the same network untrained, in per cent and points."""

    metric: str
    untrained: str
    trained: str
    difference: str
    p: str


def training_matters(tables: Sequence[Table]) -> list[Training]:
    """The untrained network beside the reference, from the first table that has both."""
    for table in tables:
        reference = next((row for row in table.rows if row.role == "reference"), None)
        untrained = next((row for row in table.rows if row.untrained and row is not reference), None)
        if untrained is not None and reference is not None:
            return [_training(metric, untrained, reference) for metric in table.metrics]
    return []


def how_measured(trials: pd.DataFrame, store: Path) -> list[tuple[str, str]]:
    """The conditions of the run: data, seeds, size, length, settings of the models, time, versions."""
    categories = trials[["dataset", "category"]].drop_duplicates().groupby("dataset", sort=False)["category"]
    data = listed([f"{name} ({', '.join(found)})" for name, found in categories])
    cells = trials.drop_duplicates("key")
    failed = trials.loc[trials["status"] == "failed", "key"].nunique()
    not_run = trials.loc[trials["status"] == NOT_RUN, "key"].nunique()
    waiting = f", {not_run} not run" if not_run else ""
    facts = [
        ("Data", data),
        ("Seeds", listed(in_order(trials["seed"]))),
        ("Image size", f"{listed(in_order(trials['image_size']))} pixels"),
        ("Training", _length(trials)),
        ("Pixel metrics", _pixels(trials)),
        *([("Models", listed(settings))] if (settings := [s for s in in_order(trials["settings"]) if s]) else []),
        ("Cells", f"{len(cells) - failed - not_run} trained and scored, {failed} failed" + waiting),
        ("Time", time_spent(cells)),
    ]
    if said := _versions(cells["key"], store):
        facts.append(("Versions", said))
    return facts


def time_spent(cells: pd.DataFrame) -> str:
    """Where the time of these cells (one line for each) went, in words."""
    spent = cells.reindex(columns=list(SECONDS)).astype(float).sum(min_count=1)
    train, normal, score, other = spent
    if math.isnan(normal + score + other):  # all are of an older dlkd
        return f"{seconds(train)} of training in all cells together"
    return (
        f"{seconds(train)} of training, {seconds(normal + score)} of forward passes over normal and test images and "
        f"{seconds(other)} of the rest in all cells together"
    )


def comparable(tables: Sequence[Table]) -> str:
    """How the paper's figures relate to these, of tables that have any; empty where none has."""
    of_paper = [table for table in tables if table.grid.has_paper]
    said = []
    for dataset in dict.fromkeys(table.grid.paper_dataset for table in of_paper):
        own = [table for table in of_paper if table.grid.paper_dataset == dataset]
        preset = all(table.grid.preset == "paper" and not table.grid.train for table in own)
        said.append(_comparable(pd.concat([table.trials for table in own]), dataset, preset))
    return " ".join(said)


def _comparable(trials: pd.DataFrame, dataset: str, preset: bool) -> str:
    measured = {
        "dataset": set(trials["dataset"]),
        "settings": {str(name).split(".")[0] for name in trials["settings"]},
        "image_size": set(map(str, trials["image_size"])),
    }
    says = (
        f"The paper's figures were measured on {NAMES.get(dataset, dataset)} with a ResNet18 teacher at 256 pixels "
        "(the paper does not say for how many epochs, nor how it trained other systems; preset 'paper' of this project "
        "trains DLKD for 200, and the others as their authors did)."
    )
    if {name.split(":")[0] for name in measured["dataset"]} == {dataset}:
        if measured["settings"] == {TEACHER} and measured["image_size"] == {"256"}:
            return f"{says} This run has the same data, teacher and image size."
        if preset:
            return f"{says} This run has the same data, and that preset."
    here = (
        f"{listed(sorted(map(str, measured['dataset'])))}, {listed(sorted(filter(None, measured['settings'])))}, "
        f"{listed(in_order(trials['image_size']))} pixels, {_length(trials)}"
    )
    return (
        f"{says} This run: {here}. The values of the two are therefore not comparable; "
        "comparable are the order of the rows and the signs of their differences."
    )


def notes(table: Table) -> list[str]:
    """Notes under the table: intervals, tests, failures, undefined metrics."""
    found = []
    if table.grid.source:
        found.append(
            f"Source of the paper's figures: {table.grid.source}."
            if table.grid.has_paper
            else f"{table.grid.source[0].upper()}{table.grid.source[1:]}."
        )
    found += tuning(table.grid)
    found.append(
        f"Measured: mean over seeds, then over categories, in per cent, with the 95% interval for {claimed(False)}."
    )
    found += filter(None, [_differences(table), mode(table.grid)])
    if low := low_trainings(table):
        many = count(len(low), "training", "trainings")
        found.append(f"{many} ten points or more under the median of their row and category: {'; '.join(low)}.")
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


def _differences(table: Table) -> str:
    primary = label(table.grid.primary_metric)
    against = base(table)
    if table.grid.reference is None:
        against = f"{against} ({hosts(table)})"
    elif not table.grid.stepwise:
        against = f"{against}, '{table.grid.reference}'"
    others = [label(metric) for metric in table.metrics if metric != table.grid.primary_metric]
    says = (
        f"Difference: points against {against}. {primary} is the primary "
        f"metric: its intervals and p hold for {claimed(table.new_images)}, after Holm's correction over the "
        "differences of the table."
    )
    return f"{says} {listed(others)} {'is' if len(others) == 1 else 'are'} exploratory." if others else says


def hosts(table: Table) -> str:
    """Each host with the rows that are compared with it."""
    rows = [row for row in table.rows if row.compared]
    named = {row.compared: [f"'{r.label}'" for r in rows if r.compared == row.compared] for row in rows}
    return "; ".join(f"'{host}' for {listed(guests)}" for host, guests in named.items())


def low_trainings(table: Table) -> list[str]:
    """Trainings ten points or more under the median of their row and category, by the primary metric."""
    own = table.primary_trials
    median = own.groupby(["row", "dataset", "category"])["value"].transform("median")
    own = own.assign(median=median)
    low = own[own["value"] <= own["median"] - COLLAPSE]
    return [
        f"{line.row}, {line.dataset}/{line.category}, seed {line.seed}: {number(line.value * 100)} beside a median of "
        f"{number(line.median * 100)}"
        for line in low.itertuples()
    ]


def failures(table: Table) -> list[str]:
    """Row, cells and reason of cells without figures; cells that failed for the same reason share a line."""
    lines = []
    for (row, reason), cells in table.absent.groupby(["row", "reason"], sort=False):
        places = [
            f"{dataset}/{category}, seed{'s' * (len(of_category) > 1)} {', '.join(map(str, of_category['seed']))}"
            for (dataset, category), of_category in cells.groupby(["dataset", "category"], sort=False)
        ]
        many = f"{len(cells)} cells: " if len(cells) > 1 else ""
        lines.append(f"{row}, {many}{'; '.join(places)}: {reason}")
    return lines


def cost_note(table: Table) -> str:
    """What the costs are, and what they were measured with."""
    says = (
        "GFLOPs: scores and maps of one image, frozen parts and scan included. Training: seconds of the training "
        "loop, measured while other trials ran."
    )
    alone = [row.measured for row in table.rows if row.measured.key]
    if not alone:
        says += " Time and memory of scoring were not measured: 'dlkd ablate' measures them after the last cell."
    places = in_order(f"{one.device}, {count(one.threads, 'thread', 'threads')}, on {one.day}" for one in alone)
    if places:
        says += (
            f" Time and memory of scoring: each row alone in a new process ({'; '.join(places)}); medians of repeated "
            "runs; memory of the weights and of scoring 8 images at once, without the libraries'."
        )
    known = [one.operations for one in alone if one.operations]
    if len(set(known)) < len(known):
        says += " Rows whose models run the same operations have the medians of their figures."
    if others := max((one.elsewhere for one in alone), default=0):
        threads = count(others, "thread", "threads")
        says += f" Other programs computed in up to {threads} meanwhile: the times may be too long."
    failed = [f"{row.label} ({row.measured.note})" for row in table.rows if row.measured.note]
    return f"{says} Not measured: {'; '.join(failed)}." if failed else says


def failures_heading(table: Table) -> str:
    """Heading of `failures`."""
    if not table.not_run:
        return "Failed cells"
    return "Cells that failed or were not run" if table.failed_cells else "Cells that were not run"


def _training(metric: str, untrained: TableRow, reference: TableRow) -> Training:
    before, after = untrained.entries[metric], reference.entries[metric]
    p = p_value(before.p) if untrained.compared == reference.label else ""
    return Training(label(metric), number(before.mean), number(after.mean), signed(after.mean - before.mean), p)


def _length(trials: pd.DataFrame) -> str:
    trained = trials[(trials["epochs"] > 0) & (trials["max_steps"] != 0)]
    lengths = [
        f"{steps} steps" if steps > 0 else count(int(epochs), "epoch", "epochs")
        for epochs, steps in trained[["epochs", "max_steps"]].drop_duplicates().itertuples(index=False)
    ]
    return listed(lengths) or "none"


def _pixels(trials: pd.DataFrame) -> str:
    """The size at which pixel metrics were computed, and the false-positive rate up to which PRO was."""
    places = {"network": "the network's image size", "native": "each mask's own size"}
    at = listed([places[place] for place in sorted(trials["score_at"].unique(), reverse=True)])
    limits = listed(in_order(trials["pro_limit"]))
    differ = "; figures of different limits are not comparable" if trials["pro_limit"].nunique() > 1 else ""
    return f"at {at}; PRO up to a false-positive rate of {limits}{differ}"


def _versions(keys: pd.Series, store: Path) -> str:
    versions: dict[str, set[str]] = {}
    for key in keys:
        for name, value in part_of_result(store / key, "versions", dict).items():
            versions.setdefault(name, set()).add(str(value)[:12] if len(str(value)) == 40 else str(value))
    return ", ".join(f"{name} {' and '.join(sorted(found))}" for name, found in versions.items())
