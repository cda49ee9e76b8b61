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
from dlkd.ablations.statistics.planning import MOST, plan
from dlkd.ablations.statistics.verdict import MOST_SEEDS
from dlkd.ablations.stored.trials import collect

FEWEST_SEEDS = 3
"""Per category, for claims on categories like these; with two, an interval is so wide that it shows hardly anything."""
PILOT = 3
"""Categories of a small run that measures the noise."""


def detect(
    grid: Grid, cells: Sequence[Cell], effect: float, seeds: tuple[int, int | None], cost: Forecast, *, store: Path,
    folder: Path, workers: int, added: bool = False,
) -> Iterator[str]:  # fmt: skip
    """What would show an effect in 8 of 10 runs of a grid, line by line, for each of its comparisons.

    Args:
        grid: the table.
        cells: with all seeds that are asked for or that the store has.
        effect: of the primary metric, a fraction.
        seeds: that are asked for, and how many an open comparison gets at most, where that is asked for.
        cost: of the cells that are not trained yet.
        store: folder of all trials.
        folder: where the grid's results would go.
        workers: trials at a time.
        added: whether more seeds would be added to a finished run in the folder.
    """
    trials = trials_of(collect(cells, store), grid)
    trainings = Trainings.of(trials, cost.trials, workers)
    known = known_comparisons(grid, trials, store, folder)
    categories, (first, most) = len(trainings.places), seeds
    each = max(FEWEST_SEEDS, first)
    family = [one.pairs for one in known]
    planned = plan(
        family, effect, seeds=each, categories=categories, margin=grid.margin, first=first, most=most or MOST_SEEDS
    ).to_dict("records")
    yield (
        f"{grid.name}: to show an effect of {points(effect)} of {label(grid.primary_metric)} in 8 of 10 runs, the only "
        f"one among {count(len(known), 'comparison', 'comparisons')}:"
    )
    for one, line in zip(known, planned, strict=True):
        yield f"  {_name(one)}: {_noise(one, line)}"
        if line["pair_sd"] > 0:
            fixed = "a fixed number of seeds and another --out" if added else "a fixed number of seeds"
            yield f"    on {_these(categories)}, with {fixed}: {_seeds(line, trainings, _rows(one, grid))}"
            if math.isfinite(line["seeds"]):
                yield f"    on {_these(categories)}, until decided: {_until_decided(line, most)}"
            yield f"    on categories like these, with a fixed number of seeds: {_categories(line, categories, each)}"
    if added:
        yield f"  seeds that are added to the run in {folder} are judged as --until-decided {most or MOST_SEEDS}"
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
        return (
            "not with these test images, which alone make the difference too uncertain for any number of seeds; "
            f"{line['more_images']:.0f} times as many would show it, with {line['seeds_then']:.0f} seeds per category"
        )
    more = "" if high == needed else f" ({_or_none(high, '{:.0f} seeds', 'no number of seeds')} {_LARGER})"
    return f"{needed:.0f} seeds per category{more}; {trainings.said(rows, int(needed))}"


def _until_decided(line: dict[str, Any], asked: int | None) -> str:
    """The limit of seeds that is enough, and what the runs with the one that is asked for come to."""
    needed, high = line["until_decided"], line["until_decided_high"]
    limit = asked or MOST_SEEDS
    course = (
        f"--until-decided {limit} shows it in {100 * line['shown']:.0f} of 100 runs, with {line['seeds_taken']:.1f} "
        "seeds per category on average"
    )
    if math.isinf(needed):
        return f"no limit of seeds to {MOST_SEEDS} is enough; {course}"
    more = "" if high == needed else f" ({_or_none(high, '{:.0f}', f'none to {MOST_SEEDS}')} {_LARGER})"
    return f"--until-decided {needed:.0f}{more}; {course}"


_LARGER = "if the noise is as large as so few pairs allow"


def _or_none(number: float, said: str, none: str) -> str:
    return none if math.isinf(number) else said.format(number)


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
