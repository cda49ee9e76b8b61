"""What `dlkd ablate --dry-run` says of grids: the cells, how long they take, and which effects a run would show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dlkd.cli import session
from dlkd.cli.console import err, out
from dlkd.cli.searches import tuning_forecast
from dlkd.text import text_table

if TYPE_CHECKING:
    from dlkd.ablations.asked import Asked
    from dlkd.ablations.forecast.forecast import Forecast
    from dlkd.ablations.plan.cells import Cell
    from dlkd.ablations.plan.grid import Grid
    from dlkd.ablations.tuned import Searches


def show_cells(
    cells: list[Cell], grids: Sequence[Grid], searches: Searches, asked: Asked, effect: float | None
) -> None:
    """Print each cell, why it is new and how long it takes, and the searches; with an effect, what would show it."""
    from dlkd.ablations.looks.mode import least_and_most
    from dlkd.ablations.run_grids import run_folder, split_of

    asked = replace(asked, pool=split_of(cells, asked, err))
    cost = _print_cells(cells, grids, asked)
    for line in tuning_forecast(searches, cells, cost.trials, asked):
        out.print(line)
    for line in least_and_most(cells, grids, asked, run_folder(grids, asked), cost.trials):
        out.print(line)
    if effect is not None:
        _print_plan(cells, grids, asked, effect, cost)


def refuse_effect(effect: float, grids: Sequence[Grid]) -> None:
    """Raise ValueError where no run of these grids could show `effect`, a fraction."""
    if not 0 < effect < 1:
        raise ValueError(f"--detect {effect * 100:g}: give an effect in points, above 0 and below 100")
    for grid in grids:
        if len(grid.rows) < 2:
            raise ValueError(f"--detect: grid '{grid.name}' has one row, so that nothing is compared; add a row")
        if effect <= grid.margin:
            raise ValueError(
                f"--detect {effect * 100:g}: grid '{grid.name}' calls differences within {grid.margin * 100:g} points "
                "equivalent; give a larger effect, or a smaller `margin:` in its file"
            )


def _print_cells(cells: list[Cell], grids: Sequence[Grid], asked: Asked) -> Forecast:
    from dlkd.ablations.forecast.forecast import forecast
    from dlkd.ablations.run.duration import duration
    from dlkd.ablations.stored.history import grouped, reasons
    from dlkd.ablations.stored.store import missing_cells

    missing = missing_cells(cells, asked.store)
    cost = forecast(missing, grids, asked.registry, asked.pool, begun=session.seconds(), bar=err.is_terminal)
    table = text_table("cell", "rows", "state")
    for cell in cells:
        rows = "; ".join(f"{table}: {row}" for table, row in cell.rows)
        state = f"to train, about {duration(cost.trials[cell.key])}" if cell.key in cost.trials else "done"
        table.add_row(cell.name, rows, state)
    out.print(table)
    places = sum(len(cell.rows) for cell in cells)
    out.print(f"{len(cells)} cells for {places} table entries, {len(missing)} to train")
    for line in grouped(reasons(missing, asked.store).values()):
        out.print(f"  {line}")
    if missing:
        one, workers = duration(sum(cost.trials.values())), min(asked.pool.workers, len(missing))
        out.print(
            f"about {duration(cost.total)} with {workers} at a time: {duration(cost.start)} to "
            f"start, {duration(cost.training)} of trials ({one} one at a time), {duration(cost.costs)} to measure "
            f"time and memory of each row alone, {duration(cost.report)} for the report; each "
            "part was timed in small on this machine, as busy as it is now"
        )
    if cost.random_weights:
        out.print("pretrained weights are not to be had here: timed with random ones; the run itself needs them")
    return cost


def _print_plan(cells: list[Cell], grids: Sequence[Grid], asked: Asked, effect: float, cost: Forecast) -> None:
    """Print which seeds and categories would show an effect; trials of more seeds than asked tell of the noise too."""
    from dlkd.ablations.forecast.detect import detect
    from dlkd.ablations.looks.mode import judged_as
    from dlkd.ablations.run_grids import plan_cells, run_folder
    from dlkd.ablations.statistics.verdict import MOST_SEEDS
    from dlkd.ablations.stored.history import seeds_held

    fixed = [grid.model_copy(update={"until_decided": None}) for grid in grids]
    if (held := seeds_held(asked.store)) > max(cell.spec.seed for cell in cells) + 1:
        cells = plan_cells(fixed, replace(asked, seeds=held, until_decided=None), err)
    folder = run_folder(grids, asked)
    more = judged_as(fixed, replace(asked, seeds=MOST_SEEDS, until_decided=None), cells, folder)
    for grid, with_more in zip(grids, more, strict=True):
        for line in detect(
            grid, cells, effect, (asked.seeds or grid.seeds or 1, asked.until_decided or grid.until_decided), cost,
            store=asked.store, folder=folder, workers=asked.pool.workers, added=with_more.until_decided is not None,
        ):  # fmt: skip
            out.print(line)
