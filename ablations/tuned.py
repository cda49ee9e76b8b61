"""Grids with `tune:`, before their cells are planned: the searches of their rows, planned and run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlkd.ablations.asked import Asked
from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.search.rows import RowSearch, row_searches, tune_rows, with_chosen
from dlkd.data.named import verify_data
from dlkd.progress import progress_bar, reading
from dlkd.text import Terminal

Searches = Mapping[str, Sequence[RowSearch]]
"""By grid with `tune:`, the search of each row."""


def plan_searches(grids: Sequence[Grid], asked: Asked, terminal: Terminal) -> Searches:
    """The searches of all grids that have `tune:`. Raises what `Asked.settle` and `row_searches` do."""
    found = {}
    for grid in grids:
        if grid.tune is not None:
            chosen, data = asked.settle(grid)
            with progress_bar(terminal) as bar:
                found[grid.name] = row_searches(grid, asked.registry, data, chosen, reading(bar))
    return found


def run_searches(grids: Sequence[Grid], searches: Searches, asked: Asked, terminal: Terminal) -> list[Grid]:
    """The grids with each tuned row as its search chose it, after running what the store lacks.

    Raises:
        DataError: files of a dataset are damaged. Nothing was trained.
        ValueError: no setting of a row was trained to its end.
        KeyboardInterrupt, MachineError, ConnectionError, StorageError, HeldError: see `run_search`.
    """
    waiting = [
        each.study
        for row in searches.values()
        for each in row
        if each.study is not None and (asked.force or each.left(asked.registry, asked.store))
    ]
    verify_data(asked.registry, [place for study in waiting for place in study.data], terminal)
    return [
        tune_rows(grid, searches[grid.name], asked.registry, asked.store, asked.pool, terminal, force=asked.force)
        if grid.name in searches
        else grid
        for grid in grids
    ]


def as_stored(grids: Sequence[Grid], searches: Searches, asked: Asked) -> list[Grid]:
    """The grids as `run_searches` would give them where the store holds all of a grid's searches, else as they are."""
    return [
        with_chosen(grid, searches[grid.name], asked.registry, asked.store)
        if grid.name in searches and not any(each.left(asked.registry, asked.store) for each in searches[grid.name])
        else grid
        for grid in grids
    ]
