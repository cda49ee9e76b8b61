"""How many seeds the rows of a run get, and how its comparisons are judged then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from dlkd.ablations.asked import Asked
from dlkd.ablations.looks.until_decided import UntilDecided
from dlkd.ablations.plan.cells import Cell
from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.report.families import Family
from dlkd.ablations.run.duration import duration
from dlkd.ablations.statistics.verdict import MOST_SEEDS
from dlkd.ablations.stored.run_folder import read_run
from dlkd.registry import Registry
from dlkd.training import TrialSpec
from dlkd.training.trials.trial_spec import load_category


def seeds_of(grid: Grid, asked: Asked) -> tuple[int, int]:
    """How many seeds every row of a grid gets, and how many an open comparison gets at most.

    Raises ValueError where these do not fit, or where the grid has nothing to compare.
    """
    base = asked.seeds or grid.seeds or 1
    most = asked.until_decided or grid.until_decided
    if most is None:
        return base, base
    if most > MOST_SEEDS:
        raise ValueError(f"until decided, with {most} seeds at most: the rule for adding seeds holds to {MOST_SEEDS}")
    if most <= base:
        raise ValueError(
            f"until decided, with {most} seeds at most: the grid '{grid.name}' begins with {base}; give more, or a "
            "smaller number of base seeds (--seeds)"
        )
    if len(grid.rows) < 2:
        raise ValueError(f"the grid '{grid.name}' has one row: there is no comparison to decide")
    return base, most


def judged_as(grids: Sequence[Grid], asked: Asked, cells: Sequence[Cell], folder: Path) -> list[Grid]:
    """The grids as the run's folder records them: with their base seeds and how their comparisons are judged.

    Seeds that are added to a run which ended two seeds or more are a further look at it.

    Raises ValueError where there are more of them than the rule for adding seeds holds to.
    """
    try:
        trials, earlier, _ = read_run(folder)
    except ValueError:  # none, or one of another dlkd, whose trials are others
        trials, earlier = pd.DataFrame(columns=["table", "seed", "status", "key"]), []
    before = {grid.name: grid for grid in earlier}
    same = trials[trials["key"].isin([cell.key for cell in cells])]
    found = []
    for grid in grids:
        base, most = seeds_of(grid, asked)
        own = same[same["table"] == grid.name]
        ended = own.loc[own["status"].isin(["ok", "undefined"]), "seed"].nunique()
        added = not set(range(most)) <= set(own["seed"])
        found.append(_judged(grid, base, most, before.get(grid.name), ended, added, folder))
    return found


def _judged(grid: Grid, base: int, most: int, before: Grid | None, ended: int, added: bool, folder: Path) -> Grid:
    """`grid` after a run that recorded `before` and ended so many seeds, to which others are `added`."""
    limit = most if most > base else None
    added_to = None
    if before is not None and before.until_decided is not None and ended:
        limit, added_to = max(limit or 0, before.until_decided), before.added_to
    elif ended >= 2 and added:
        limit, added_to = limit or MOST_SEEDS, ended
    if limit is not None and base > limit:
        limit = MOST_SEEDS
    if limit is not None and base > limit:
        raise ValueError(
            f"{folder} holds the grid '{grid.name}' with {ended} seeds; the rule for adding seeds to it holds to "
            f"{MOST_SEEDS}. With another --out, {base} seeds are a run of their own"
        )
    return grid.model_copy(update={"seeds": base, "until_decided": limit, "added_to": added_to})


def feed_of(
    cells: Sequence[Cell],
    grids: Sequence[Grid],
    judged: Sequence[Grid],
    asked: Asked,
    looked: Callable[[Grid, Family], None] = lambda grid, found: None,
) -> UntilDecided | None:
    """What asks for the cells of `grids`, which are `judged` so; None where the number of seeds of each is fixed."""
    limits = [seeds_of(grid, asked) for grid in grids]
    if all(most == base for base, most in limits):
        return None
    return UntilDecided(cells, judged, [most for _, most in limits], asked.store, looked)


def refuse_undefined(cells: Sequence[Cell], grids: Sequence[Grid], asked: Asked) -> None:
    """Raise ValueError where a grid is to be decided by a metric that none of its data has."""
    for grid in grids:
        base, most = seeds_of(grid, asked)
        if most > base and not any(
            _defined(grid, cell.spec, asked.registry) for cell in _one_per_category(cells, grid)
        ):
            lacks = "an anomalous test image" if _of_images(grid) else "a mask of an anomalous test image"
            raise ValueError(
                f"the grid '{grid.name}' is decided by {grid.primary_metric}, which is undefined here: no category has "
                f"{lacks}. Name another metric as `primary:`, or leave --until-decided out"
            )


def _one_per_category(cells: Sequence[Cell], grid: Grid) -> Iterable[Cell]:
    own = [cell for cell in cells if grid.name in {table for table, _ in cell.rows}]
    return {(str(cell.spec.dataset), cell.spec.category): cell for cell in own}.values()


def _of_images(grid: Grid) -> bool:
    return grid.primary_metric.startswith("image_")


def _defined(grid: Grid, spec: TrialSpec, registry: Registry) -> bool:
    category = load_category(spec, registry)
    return bool(category.anomalies) if _of_images(grid) else category.has_masks


def least_and_most(
    cells: Sequence[Cell], grids: Sequence[Grid], asked: Asked, folder: Path, seconds: Mapping[str, float]
) -> Iterator[str]:
    """How much a run until all is decided trains, where each cell without a result takes so many `seconds`."""
    feed = feed_of(cells, grids, judged_as(grids, asked, cells, folder), asked)
    if feed is not None:
        parts = []
        for keys in ([cell.key for cell in feed.begin(seconds)], list(seconds)):
            time = sum(seconds[key] for key in keys) / min(asked.pool.workers, max(1, len(keys)))
            parts.append(f"{len(keys)} cells to train, about {duration(time)} of trials")
        yield f"until decided, it is {parts[0]}, at the least, and {parts[1]}, where nothing is told: the figures above"
