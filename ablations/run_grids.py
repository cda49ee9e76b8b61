"""Plans and runs grids: the steps that the command `dlkd ablate` and `dlkd.ablate` in Python share."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from dlkd.ablations.ablation import Ablation
from dlkd.ablations.asked import Asked
from dlkd.ablations.looks.mode import feed_of, judged_as, refuse_undefined, seeds_of
from dlkd.ablations.looks.record import Looks
from dlkd.ablations.plan.cells import Cell, make_cells, unique
from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.plan.grid_files import grid_of, load_grid
from dlkd.ablations.report.families import Family
from dlkd.ablations.run.costs import Measured, measure_costs
from dlkd.ablations.run.display import Display
from dlkd.ablations.run.one_process import check_one_process
from dlkd.ablations.run.pool import Pool
from dlkd.ablations.run.runner import run_cells
from dlkd.ablations.run.split import split
from dlkd.ablations.stored.run_folder import TRIALS, holds_less, refuse_to_lose, write_run
from dlkd.ablations.stored.run_identity import identity_of
from dlkd.ablations.stored.store import missing_cells
from dlkd.ablations.stored.trials import collect
from dlkd.data.named import verify_data
from dlkd.files import file_name
from dlkd.machine import cores, crowded, expanded, threads_given
from dlkd.progress import progress_bar, reading
from dlkd.registry.located_yaml import read_yaml
from dlkd.text import Terminal, plain
from dlkd.training.loggers import check_loggers
from dlkd.training.trials.trial_spec import check_held_out

GridLike: TypeAlias = "str | PathLike[str] | Mapping[str, Any] | Grid"

KEPT = (
    "finished trials are kept; running ones lose the steps since their last checkpoint, or all steps if they "
    "have none yet."
)


def make_pool(terminal: Terminal, workers: int | None, threads: int | None, **settings: Any) -> Pool:
    """The workers of a run; says where others compute too.

    Without workers and threads (nor OMP_NUM_THREADS) it is one worker per core with one thread, and a run of a grid on
    this machine's CPUs may split the cores in another way.
    """
    for name, value, least in (("workers", workers, 1), ("threads", threads, 1)):
        if value is not None and value < least:
            raise ValueError(f"{name} is {least} at least, got {value}")
    if settings.get("one_process") and not settings.get("trials_per_gpu"):
        raise ValueError("--one-process is for trials that share a GPU: give --trials-per-gpu too, or leave it out")
    if settings.get("one_process") and settings.get("address") is not None:
        raise ValueError("--one-process is for the GPUs of this machine: leave it or --address out")
    if settings.get("one_process") and "wandb" in settings.get("loggers", ()):
        raise ValueError("--logger wandb: W&B has one run at a time in a process: leave it or --one-process out")
    check_loggers(settings.get("loggers", ()))
    given = threads_given()
    chosen = workers is not None or threads is not None or given is not None
    if threads is None:
        threads = given if given is not None and workers is None else 1
    pool = Pool(workers=workers or max(1, cores() // threads), threads=threads, **settings)
    pool = replace(pool, split=not chosen and pool.address is None and not pool.trials_per_gpu)
    if pool.address is None and (said := crowded(pool.workers, threads)):
        terminal.print(said)
    return pool


def load_grids(given: Iterable[GridLike]) -> list[Grid]:
    """The grids of these names, files or plain data.

    Raises:
        ValueError: two have one name, or a file holds a search.
        ConfigError: a grid is unknown or wrong; every problem with file, line and key.
    """
    given = list(given)
    grids = [_load(one) for one in given]
    names = [grid.name for grid in grids]
    for i, name in enumerate(names):
        if (first := names.index(name)) != i:
            both = [one if isinstance(one, str | PathLike) else f"grid {n + 1}" for n, one in enumerate(given)]
            raise ValueError(
                f"{both[first]} and {both[i]} are both the grid '{name}'; give one of them, or another `name:` in its "
                "file"
            )
    return grids


def _load(given: GridLike) -> Grid:
    if isinstance(given, Grid):
        return given
    if isinstance(given, Mapping):
        return grid_of({key: value for key, value in given.items() if key != "name"}, given.get("name", "grid"))
    if not isinstance(given, str | PathLike):
        raise ValueError(f"a grid is a name, a path or a dict, got a {type(given).__name__}")
    path = expanded(given)
    if path.is_file() and "search" in (read_yaml(path).data or ()):
        raise ValueError(f"{given} holds a search, no grid: `dlkd ablate {given}` runs it")
    return load_grid(fspath(given))


def plan_cells(grids: Sequence[Grid], asked: Asked, terminal: Terminal) -> list[Cell]:
    """The cells of all grids, with all seeds that they may get, identical ones once.

    Raises what `Asked.settle`, `seeds_of` and `make_cells` do.
    """
    cells: list[Cell] = []
    for grid in grids:
        chosen, data = asked.settle(grid)
        seeds = range(seeds_of(grid, asked)[1])
        with progress_bar(terminal) as bar:
            cells += make_cells(grid, asked.registry, data, seeds, chosen, reading(bar))
    return unique(cells)


def verify_missing(cells: Sequence[Cell], grids: Sequence[Grid], asked: Asked, terminal: Terminal) -> None:
    """Read the data that cells without a result will read. Raises DataError on damage, all of it at once.

    Says on the terminal what this machine is many times slower at than it need be.

    Raises MachineError where cells ask for CUDA graphs and run on CPUs, and ValueError where the data have no metric to
    decide by, or too few images for `train.calibrate`, or where cells cannot train in one process.
    """
    refuse_undefined(cells, grids, asked)
    todo = cells if asked.force else missing_cells(cells, asked.store)
    judged = judged_as(grids, asked, cells, run_folder(grids, asked))
    if (feed := feed_of(cells, grids, judged, asked)) is not None:
        todo = feed.begin([cell.key for cell in todo])
    gpu = asked.pool.trials_per_gpu > 0
    for cell in todo:
        cell.spec.train.check_device(gpu=gpu)
    for said in sorted({cell.spec.train.slow_on(gpu=gpu) for cell in todo} - {""}):
        terminal.print(said)
    if asked.pool.one_process:
        check_one_process(todo)
    check_held_out([cell.spec for cell in todo], asked.registry)
    verify_data(asked.registry, [(cell.spec.dataset, cell.spec.category) for cell in todo], terminal)


def split_of(cells: Sequence[Cell], asked: Asked, terminal: Terminal) -> Pool:
    """The run's pool with the split of cores that its cells get, which the terminal says; see `split`."""
    todo = cells if asked.force else missing_cells(cells, asked.store)
    return split(asked.pool, cells, len(todo), say=lambda line: terminal.print(plain(line), soft_wrap=True))


def run_folder(grids: Sequence[Grid], asked: Asked) -> Path:
    """Where the results go."""
    return asked.folder or Path("runs") / file_name("-".join(grid.name for grid in grids))


def keep_earlier(cells: Sequence[Cell], grids: Sequence[Grid], asked: Asked, terminal: Terminal) -> None:
    """Raise ValueError where the folder holds the results of another grid, unless they are to be replaced.

    Where nobody can tell, the terminal says so.
    """
    if not asked.replace and (said := refuse_to_lose(run_folder(grids, asked), identity_of(cells))):
        terminal.print(f"note: {said}")


def run_grids(cells: Sequence[Cell], grids: Sequence[Grid], asked: Asked, terminal: Terminal) -> tuple[Ablation, bool]:
    """Train the cells; the results, and whether the folder keeps an earlier run's since this one adds nothing.

    The folder is written before the first trial begins, and again at the end, also where the run is broken off.
    """
    folder, identity = run_folder(grids, asked), identity_of(cells)
    earlier = (folder / TRIALS).exists()
    judged = judged_as(grids, asked, cells, folder)
    display = Display(asked.store, terminal)
    looks = Looks(folder, display)

    def looked(grid: Grid, found: Family) -> None:
        looks.looked(grid, found)
        if feed is not None and feed.taken and not holds_less(trials := now(), folder, ended=False):
            write(trials)  # so that it can be read while the run goes on

    feed = feed_of(cells, grids, judged, asked, looked)

    def now() -> pd.DataFrame:
        return collect(cells if feed is None else feed.asked, asked.store)

    def write(trials: pd.DataFrame) -> None:
        write_run(folder, trials, judged, asked.store, identity)

    def begun() -> None:
        if not earlier and not asked.force:  # else the store holds what is about to be deleted
            write(now())

    ended = False
    looks.earlier(judged)
    try:
        pool = split_of(cells, asked, terminal)
        run_cells(cells, asked.store, pool, display, force=asked.force, begun=begun, feed=feed)
        ended = True
    finally:
        trials = now()
        kept = holds_less(trials, folder, ended=ended)
        if not kept:
            write(trials)
        elif earlier:
            terminal.print(f"note: {folder / TRIALS} stays as it was: this run has no finished trial to add")
    looks.end(judged, trials)
    if not kept:
        _measure(cells if feed is None else feed.asked, folder, asked, terminal)
    return Ablation(tuple(judged), folder, asked.store, trials, identity), kept


def _measure(cells: Sequence[Cell], folder: Path, asked: Asked, terminal: Terminal) -> None:
    """Measure the rows' time and memory, now that nothing is trained any more; a failure is a note."""
    with progress_bar(terminal) as bar:
        task = bar.add_task("time and memory of each row, alone", total=None, visible=False)

        def begun(total: int) -> None:
            bar.update(task, total=total, visible=True)
            if not terminal.is_terminal:
                terminal.print(f"measuring time and memory: {total} models, each alone in a new process")

        def tell(one: Measured) -> None:
            bar.advance(task)
            if one.note:
                terminal.print(f"note: {one.row}: time and memory were not measured: {one.note}")

        measure_costs(cells, folder, asked.store, asked.pool, begun=begun, tell=tell)


def failed_trials(ablation: Ablation) -> list[str]:
    """The trials that failed, a line each, with their reasons."""
    failures = ablation.failures.itertuples()
    return [f"{trial.label}, {trial.category}, seed {trial.seed}: {trial.reason}" for trial in failures]


def again(folder: Path) -> str:
    """What Ctrl-C costs the command, and how to continue."""
    return f"{KEPT} The same command continues; dlkd report {shlex.quote(str(folder))} shows the finished trials"
