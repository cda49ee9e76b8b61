"""Asks for one more seed of the comparisons that are still open, look by look."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from pathlib import Path

from dlkd.ablations.plan.cells import Cell
from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.report.families import Family, deciding, family
from dlkd.ablations.report.tables import trials_of
from dlkd.ablations.stored.trials import NOT_RUN, collect


@dataclass
class _Table:
    """A grid on its way: how many seeds of each row are asked for, the rows of open comparisons, whether all is told.

    `most` is the number of seeds that a row may get, `waiting` the keys that are asked for and have not ended.
    """

    grid: Grid
    most: int
    seeds: dict[str, int]
    open_rows: frozenset[str]
    settled: bool = False
    waiting: set[str] = field(default_factory=set)


class UntilDecided:
    """Cells of grids, asked for seed by seed: see `feed.Feed`.

    Every row gets the grid's base seeds. A look needs all results of a table that were asked for; after it the rows of
    each open comparison get one seed more. A worker that would wait for a look takes a seed further on of what is open,
    which no look uses before its turn. What is asked for depends on the results alone: a run that was broken off finds
    its last look again from the store.
    """

    def __init__(
        self,
        cells: Sequence[Cell],
        grids: Sequence[Grid],
        most: Sequence[int],
        store: Path,
        looked: Callable[[Grid, Family], None] = lambda grid, found: None,
    ) -> None:
        """Take what may be asked for.

        Args:
            cells: with all seeds that may be asked for.
            grids: each with its base seeds and `until_decided`.
            most: of each grid, how many seeds a row may get.
            store: folder of all trials.
            looked: called after each look at a grid, with what was found.
        """
        self.everything = cells
        self._store = store
        self._looked = looked
        self._tables = []
        for grid, n in zip(grids, most, strict=True):
            rows = [row.label for row in grid.rows]
            self._tables.append(_Table(grid, n, dict.fromkeys(rows, grid.seeds or 1), frozenset(rows)))
        self._missing: set[str] = set()
        self._running: set[str] = set()
        self._taken: dict[str, Cell] = {}
        # By table, row and seed, and by key: an end must not go over all cells, of which there may be thousands.
        self._at: defaultdict[tuple[str, str, int], list[int]] = defaultdict(list)
        self._of_key = {cell.key: cell for cell in cells}
        for place, cell in enumerate(cells):
            for table, row in cell.rows:
                self._at[table, row, cell.spec.seed].append(place)
        self._queue: list[tuple[int, int]] = []  # seed and place of what is asked for, a heap: low seeds first
        self._queued: set[str] = set()
        self._later = iter(sorted(cells, key=lambda cell: cell.spec.seed))

    def begin(self, missing: Iterable[str]) -> list[Cell]:
        """Look as far as there are results, those of the keys `missing` being to come; the cells to train first."""
        self._missing = set(missing)
        for table in self._tables:
            for row, n in table.seeds.items():
                self._ask(table, row, range(n))
        for table in self._tables:
            self._look(table)
        return self._in_order(self._queue)

    @property
    def asked(self) -> list[Cell]:
        """The cells asked for until now, in the places where they were."""
        return self._cells(self._tables)

    @property
    def taken(self) -> list[Cell]:
        """The cells that workers were given."""
        return list(self._taken.values())

    @property
    def waits(self) -> bool:
        """Whether more may be asked for once running cells have ended."""
        return bool(self._running) and not all(table.settled for table in self._tables)

    def take(self) -> Cell | None:
        """The next cell for a free worker; None where there is none now."""
        cell = self._next_asked() or next(self._ahead(), None)
        if cell is not None:
            self._taken[cell.key] = cell
            self._running.add(cell.key)
        return cell

    def ended(self, key: str) -> list[Cell]:
        """Take that a cell has its result or failed for good, and look where it was the last; what is new to train."""
        self._running.discard(key)
        self._missing.discard(key)
        tables = {table for table, _ in self._of_key[key].rows}
        new: list[tuple[int, int]] = []
        for table in self._tables:
            if table.grid.name in tables:
                table.waiting.discard(key)
                new += self._look(table)
        return self._in_order(new)

    def _next_asked(self) -> Cell | None:
        """What was asked for and is yet to be given to a worker, low seeds first."""
        while self._queue:
            cell = self.everything[heappop(self._queue)[1]]
            if self._is_free(cell):
                return self._as_asked(cell)
        return None

    def _ahead(self) -> Iterator[Cell]:
        """What will be asked for next if nothing is told until then.

        What is passed over once is never wanted again: it has its worker or its result, or is told.
        """
        open_rows = {(t.grid.name, row): t.most for t in self._tables if not t.settled for row in t.open_rows}
        for cell in self._later:
            if self._is_free(cell) and any(cell.spec.seed < open_rows.get(place, 0) for place in cell.rows):
                yield cell

    def _is_free(self, cell: Cell) -> bool:
        return cell.key in self._missing and cell.key not in self._taken

    def _ask(self, table: _Table, row: str, seeds: range) -> list[tuple[int, int]]:
        """Ask for seeds of a row; what is new to train."""
        new = []
        for seed in seeds:
            for place in self._at[table.grid.name, row, seed]:
                cell = self.everything[place]
                if cell.key in self._missing:
                    table.waiting.add(cell.key)
                if self._is_free(cell) and cell.key not in self._queued:
                    self._queued.add(cell.key)
                    heappush(self._queue, (seed, place))
                    new.append((seed, place))
        return new

    def _in_order(self, queued: Sequence[tuple[int, int]]) -> list[Cell]:
        cells = [self.everything[place] for _, place in sorted(queued)]
        return [self._as_asked(cell) for cell in cells if self._is_free(cell)]

    def _as_asked(self, cell: Cell) -> Cell:
        """The cell in the places where it was asked for."""
        return self._only(cell, {(t.grid.name, row): n for t in self._tables for row, n in t.seeds.items()})

    @staticmethod
    def _only(cell: Cell, seeds: Mapping[tuple[str, str], int]) -> Cell:
        return replace(cell, rows=tuple(place for place in cell.rows if cell.spec.seed < seeds.get(place, 0)))

    def _cells(self, tables: Sequence[_Table]) -> list[Cell]:
        seeds = {(t.grid.name, row): n for t in tables for row, n in t.seeds.items()}
        return [found for cell in self.everything if (found := self._only(cell, seeds)).rows]

    def _look(self, table: _Table) -> list[tuple[int, int]]:
        """Look at a table for as long as all that it asks for has ended; what is new to train."""
        new: list[tuple[int, int]] = []
        while not table.settled and not table.waiting:
            trials = trials_of(collect(self._cells([table]), self._store), table.grid)
            found = family(trials, table.grid, table.grid.primary_metric, deciding(table.grid))
            next_seeds = 1 + max((line["seeds"] for line in found.looks), default=table.most)
            # A result that is on another machine alone: the next run has it.
            table.settled = next_seeds > table.most or not found.more or bool((trials["status"] == NOT_RUN).any())
            if not table.settled:
                table.open_rows = frozenset().union(*(comparison.rows for comparison in found.more))
                for row in table.open_rows:
                    new += self._ask(table, row, range(table.seeds[row], next_seeds))
                    table.seeds[row] = max(next_seeds, table.seeds[row])
            self._looked(table.grid, found)
        return new
