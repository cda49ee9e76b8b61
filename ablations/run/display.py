"""The display of a running grid: cells done, running and failed, and the time left."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TimeElapsedColumn
from rich.text import Text

from dlkd.ablations.plan.cells import Cell
from dlkd.ablations.run.duration import duration
from dlkd.ablations.run.spent import Spent
from dlkd.ablations.stored.store import PROGRESS
from dlkd.text import Terminal, plain, text_column
from dlkd.training import TrialError, read_result

REFRESH_SECONDS = 0.5


class Display:
    """A bar for the grid and one for each running cell; one line per event where the output is no terminal."""

    def __init__(self, store: Path, console: Console | None = None) -> None:
        self.store = store
        self.console = console or Terminal(stderr=True)
        self._cells: dict[str, Cell] = {}
        self._begun: dict[str, float] = {}
        self._took = 0.0  # seconds, all that finished in this run together
        self._finished = 0
        self._said: set[str] = set()
        self._spent = Spent(0)
        self._ended = 0
        self._failures = 0
        self._total = 0
        self._workers = 1
        self._bars: dict[str, TaskID] = {}
        self._progress: Progress | None = None
        self._all: TaskID | None = None
        self._stop = threading.Event()
        self._ticker: threading.Thread | None = None
        self._lock = threading.RLock()

    def start(self, cells: Sequence[Cell], todo: Sequence[Cell], workers: int, cores: int = 0) -> None:
        """Show the grid: all its cells, those to be trained, how many train at a time, on how many cores."""
        self._cells = {cell.key: cell for cell in todo}
        self._total, self._workers = len(todo), workers
        self._spent = Spent(cores)
        places = sum(len(cell.rows) for cell in cells)
        shared = places - len(cells)
        self.console.print(
            f"{len(cells)} cells ({places} table entries, {shared} of them shared), "
            f"{len(cells) - len(todo)} already done, {len(todo)} to train, {workers} at a time"
        )
        if self.console.is_terminal and todo:
            self._progress = Progress(
                text_column("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                text_column("{task.fields[note]}"),
                console=self.console,
            )
            self._all = self._progress.add_task("all cells", total=len(todo), note="starting")
            self._progress.start()
            self._ticker = threading.Thread(target=self._tick, daemon=True)
            self._ticker.start()

    def expect(self, cell: Cell) -> None:
        """One more cell is to be trained."""
        with self._lock:
            if cell.key not in self._cells:
                self._cells[cell.key] = cell
                self._total += 1
                if self._progress is not None and self._all is not None:
                    self._progress.update(self._all, total=self._total)

    def note(self, line: str) -> None:
        """Something to know of the run."""
        self._say(f"note: {line}")

    def looked(self, line: str) -> None:
        """What a look at a table's comparisons came to."""
        self._say(f"look: {line}")

    def started(self, key: str) -> None:
        """A cell runs."""
        with self._lock:
            self._begun[key] = monotonic()
            self._spent.began()
            if self._progress is not None:
                self._bars[key] = self._progress.add_task(f"  {plain(self._cells[key].name)}", total=100, note="")
            else:
                self._say(f"running: {self._cells[key].name}")

    def finished(self, key: str) -> None:
        """A cell is done; why one of its metrics is undefined is said once."""
        with self._lock:
            seconds = monotonic() - self._begun.get(key, monotonic())
            self._took += seconds
            self._finished += 1
            try:
                found = read_result(self.store / key)
                self._spent.ended(found.costs)
                undefined = found.undefined
                values = (f"{n} {'–' if n in undefined else f'{value:.3f}'}" for n, value in found.metrics.items())
                shown = ", ".join(values)
            except TrialError:
                shown, undefined = "its result is on another machine", {}
            self._end(key, f"done: {self._cells[key].name}: {shown} ({seconds:.0f} s)")
            for said in (f"{name} is undefined (–): {reason}" for name, reason in undefined.items()):
                if said not in self._said:
                    self._said.add(said)
                    self.note(said)

    def failed(self, key: str, reason: str) -> None:
        """A cell failed for good."""
        with self._lock:
            self._failures += 1
            self._end(key, f"failed: {self._cells[key].name}: {reason}")

    def stop(self) -> None:
        """Take the bars away, and say where the time of the cells went."""
        self._stop.set()
        if self._ticker is not None:
            self._ticker.join()
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
        if line := self._spent.line():
            self._say(line)

    def seconds_left(self) -> float | None:
        """Estimate from finished cells and the fractions of the running ones; None while there is neither."""
        with self._lock:
            now = monotonic()
            running = {key: self._fraction(key) for key in self._begun}
            took, count = self._took, self._finished
            if not count:
                each = [(now - self._begun[key]) / part for key, part in running.items() if part > 0.05]
                took, count = sum(each), len(each)
            if not count:
                return None
            left = self._total - self._ended - sum(running.values())
            return left * took / count / self._workers

    def _end(self, key: str, line: str) -> None:
        self._ended += 1
        self._begun.pop(key, None)
        if self._progress is not None and self._all is not None:
            self._progress.remove_task(self._bars.pop(key))
            self._progress.advance(self._all)
            self._say(line)
        else:
            left = self.seconds_left()
            rest = "" if left is None else f", about {duration(left)} left"
            self._say(f"{line} [{self._ended}/{self._total}{rest}]")

    def _say(self, line: str) -> None:
        """One line, on whichever console: labels and reasons may hold what rich takes for markup."""
        self.console.print(Text(plain(line)), soft_wrap=True)

    def _tick(self) -> None:
        while not self._stop.wait(REFRESH_SECONDS):
            with self._lock:
                if self._progress is None or self._all is None:
                    return
                for key, bar in self._bars.items():
                    self._progress.update(bar, completed=round(100 * self._fraction(key)))
                left = self.seconds_left()
                note = "estimating" if left is None else f"about {duration(left)} left"
                if self._failures:
                    note += f", {self._failures} failed"
                self._progress.update(self._all, note=note)

    def _fraction(self, key: str) -> float:
        try:
            return float((self.store / key / PROGRESS).read_text())
        except (OSError, ValueError):  # not begun, just ended, or read in the middle of a write
            return 0.0
