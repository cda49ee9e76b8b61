"""How many seeds and categories would show an effect, in words, and how long their training would take."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dlkd.ablations.forecast.forecast import Forecast
from dlkd.ablations.forecast.known import Known, known_comparisons
from dlkd.ablations.forecast.trainings import Trainings
from dlkd.ablations.plan.cells import Cell
from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.report.tables import trials_of
from dlkd.ablations.report.words.entries import label
from dlkd.ablations.report.words.numbers import count, points
from dlkd.ablations.run.trials import collect
from dlkd.ablations.statistics.planning import MOST, plan

FEWEST_SEEDS = 3
"""Per category, for claims on categories like these; with two, an interval is so wide that it shows hardly anything."""
PILOT = 3
"""Categories of a small run that measures the noise."""


def detect(
    grid: Grid, cells: Sequence[Cell], effect: float, seeds: int, cost: Forecast, *, store: Path, folder: Path,
    workers: int,
) -> Iterator[str]:  # fmt: skip
    """What would show an effect in 8 of 10 runs of a grid, line by line, for each of its comparisons.

    Args:
        grid: the table.
        cells: with all seeds that are asked for or that the store has.
        effect: of the primary metric, a fraction.
        seeds: that are asked for.
        cost: of the cells that are not trained yet.
        store: folder of all trials.
        folder: where the grid's results would go.
        workers: trials at a time.
    """
    trials = trials_of(collect(cells, store), grid)
    trainings = Trainings.of(trials, cost.trials, workers)
    known = known_comparisons(grid, trials, store, folder)
    categories, seeds = len(trainings.places), max(FEWEST_SEEDS, seeds)
    family = [one.pairs for one in known]
    planned = plan(family, effect, seeds=seeds, categories=categories, margin=grid.margin).to_dict("records")
    yield (
        f"{grid.name}: to show an effect of {points(effect)} of {label(grid.primary_metric)} in 8 of 10 runs with a "
        f"fixed number of seeds, the only one among {count(len(known), 'comparison', 'comparisons')}:"
    )
    for one, line in zip(known, planned, strict=True):
        yield f"  {_name(one)}: {_noise(one, line)}"
        if line["pair_sd"] > 0:
            yield f"    on {_these(categories)}: {_seeds(line, trainings, _rows(one, grid))}"
            yield f"    on categories like these: {_categories(line, categories, seeds)}"
    if not all(line["pair_sd"] > 0 for line in planned):
        yield f"  {_pilot(trainings.places, effect)}"


def _name(known: Known) -> str:
    row, other = known.pairs.row, known.pairs.other
    return f"'{row}' against '{other}'" if other else f"effect of '{row}'"


def _rows(known: Known, grid: Grid) -> list[str]:
    """The rows that are trained for a comparison; all of them for the effect of a factor."""
    return [known.pairs.row, known.pairs.other] if known.pairs.other else [row.label for row in grid.rows]


def _noise(known: Known, line: dict[str, Any]) -> str:
    """The noise of a comparison and where it is from, or why none is known."""
    found = f"{count(line['n_pairs'], 'pair', 'pairs')} in {known.source}"
    if not line["pair_sd"] > 0:
        return f"nothing is known of its noise ({found}; it takes two with different results in one category)"
    other = f", measured with {known.other_settings}" if known.other_settings else ""
    return f"the differences of pairs have a standard deviation of {points(line['pair_sd'])} ({found}{other})"


def _these(categories: int) -> str:
    return "this category" if categories == 1 else f"these {categories} categories"


def _seeds(line: dict[str, Any], trainings: Trainings, rows: Sequence[str]) -> str:
    needed, high = line["seeds"], line["seeds_high"]
    if math.isinf(needed):
        return "no number of seeds is enough, since the test images alone make the difference too uncertain"
    most = "no number of seeds" if math.isinf(high) else f"{high:.0f} seeds"
    more = "" if high == needed else f" ({most} if the noise is as large as so few pairs allow)"
    return f"{needed:.0f} seeds per category{more}; {trainings.said(rows, int(needed))}"


def _categories(line: dict[str, Any], there: int, seeds: int) -> str:
    """What the wider claim takes: more categories, or more seeds of those that are there."""
    if math.isnan(line["categories"]):
        return "nothing is known of how the difference varies between categories; train a second one"
    needed = f"more than {MOST}" if math.isinf(line["categories"]) else f"{line['categories']:.0f}"
    said = f"{needed} categories with {seeds} seeds each"
    if math.isnan(line["seeds_like"]):
        return said
    never = math.isinf(line["seeds_like"])
    alone = "no number of seeds is enough" if never else f"{line['seeds_like']:.0f} seeds each would be needed"
    varies = f"the true difference varies between categories by {points(line['spread'])}"
    return f"{said}; of {_these(there)} alone, {alone} ({varies})"


def _pilot(places: Sequence[tuple[str, str]], effect: float) -> str:
    some = "".join(f" --category {category}" for _, category in places[:PILOT]) if len(places) > PILOT else ""
    return (
        f"a small run measures the noise, and its trials are a part of the whole run: the same command with --seeds "
        f"{FEWEST_SEEDS}{some} in place of --dry-run --detect {effect * 100:g}"
    )
