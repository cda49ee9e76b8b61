"""Plans and runs grids, for the command `dlkd ablate` and for `dlkd.ablate` in Python."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Literal, TypeAlias

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
from dlkd.ablations.run.pool import Pool
from dlkd.ablations.run.run_folder import TRIALS, holds_less, refuse_to_lose, write_run
from dlkd.ablations.run.run_identity import identity_of
from dlkd.ablations.run.runner import run_cells
from dlkd.ablations.run.store import missing_cells
from dlkd.ablations.run.trials import collect
from dlkd.ablations.tuned import plan_searches, run_searches
from dlkd.data.named import verify_data
from dlkd.files import file_name
from dlkd.machine import cores, crowded, expanded
from dlkd.progress import messages, progress_bar, reading
from dlkd.registry import read_registry
from dlkd.registry.located_yaml import read_yaml
from dlkd.text import Terminal

GridLike: TypeAlias = "str | PathLike[str] | Mapping[str, Any] | Grid"
Dataset: TypeAlias = "str | PathLike[str] | Mapping[str, Any]"
Paths: TypeAlias = "Sequence[str | PathLike[str]]"

KEPT = (
    "finished trials are kept; running ones lose the steps since their last checkpoint, or all steps if they "
    "have none yet."
)


def ablate(
    grid: GridLike | Sequence[GridLike],
    *,
    dataset: Dataset | Sequence[Dataset] | None = None,
    category: str | Sequence[str] | None = None,
    seeds: int | None = None,
    until_decided: int | None = None,
    preset: str | None = None,
    steps: int | None = None,
    epochs: int | None = None,
    image_size: int | tuple[int, int] | str | None = None,
    batch_size: int | None = None,
    out: str | PathLike[str] | None = None,
    store: str | PathLike[str] = "runs/trials",
    workers: int | None = None,
    threads: int = 1,
    trials_per_gpu: int = 0,
    address: str | None = None,
    storage: str | None = None,
    keep: Literal["weights", "results"] = "weights",
    retries: int = 1,
    force: bool = False,
    replace: bool = False,
    registry_files: Paths = (),
    imports: Paths = (),
    progress: bool = True,
) -> Ablation:
    """Train every cell of one or more grids in parallel, and give the results.

    The call always resumes: a trial that is finished in `store` is not trained again. After an interruption the
    finished trials are kept, and the same call continues. Other arguments come from the grid or the preset.

    Args:
        grid: name of a shipped grid, path of a YAML file, or what such a file holds as a dict; or several of them.
        dataset: "textures", "mvtec:PATH", "elpv,train_limit=200", a folder in MVTec's layout, or a node; or several.
        category: only these; default all of each dataset.
        seeds: how many base seeds, from 0.
        until_decided: from the base seeds on, only comparisons that are still open get one seed more each, to so many.
        preset: "demo" or "paper".
        steps: stop each training after so many.
        epochs: passes over the training images.
        image_size: side in pixels, or (height, width).
        batch_size: images per step.
        out: folder of the results; default runs/ and the grids' names. `load_ablation` reads it, also while this runs.
        store: folder of all trials.
        workers: trials at a time; default one per core that this process may use.
        threads: of each trial.
        trials_per_gpu: trials that share a GPU; 0 trains on CPUs.
        address: of a running Ray cluster.
        storage: URL where finished trials are copied to and found again.
        keep: "results" deletes a trial's weights once it is scored.
        retries: how often a failed trial is tried again.
        force: train again what is finished.
        replace: put the results in the place of another grid's that are in the folder.
        registry_files: YAML files with components and variants of your own.
        imports: Python files, or packages' folders, that register your own components, for the worker processes.
        progress: show what is done and how long is left.

    Returns:
        The results. Trials that failed stand in their `failures`, and a warning names them.

    Raises:
        ValueError: a grid, dataset or setting is wrong; names it and the way out. Nothing was trained.
        DataError: files of a dataset are damaged, all of them at once. Nothing was trained.
        KeyboardInterrupt: on Ctrl-C.

    >>> import dlkd
    >>> ablation = dlkd.ablate("table4", dataset="textures", seeds=3)   # doctest: +SKIP
    >>> ablation.summary()                                             # doctest: +SKIP
    """
    terminal = messages(progress)
    asked = Asked(
        registry=read_registry(list(map(expanded, registry_files)), list(map(expanded, imports))),
        pool=make_pool(
            terminal, workers, threads, retries=retries, trials_per_gpu=trials_per_gpu, address=address,
            storage=storage, keep=keep, registry_files=list(map(expanded, registry_files)),
            imports=list(map(expanded, imports)),
        ),
        datasets=_several(dataset), categories=_several(category), seeds=seeds, preset=preset,
        training={"max_steps": steps, "epochs": epochs, "image_size": image_size, "batch_size": batch_size},
        folder=None if out is None else expanded(out), store=expanded(store), force=force, replace=replace,
        until_decided=until_decided,
    )  # fmt: skip
    grids = load_grids(_several(grid))
    for one in grids:
        seeds_of(one, asked)  # raises, before anything is trained
    try:
        grids = run_searches(grids, plan_searches(grids, asked, terminal), asked, terminal)
        cells = plan_cells(grids, asked, terminal)
        keep_earlier(cells, grids, asked)
        verify_missing(cells, grids, asked, terminal)
        ablation, _ = run_grids(cells, grids, asked, terminal)
    except KeyboardInterrupt:
        folder = run_folder(grids, asked)
        terminal.print(f"interrupted: {KEPT} The same call continues; dlkd.load_ablation({str(folder)!r}) reads them")
        raise
    if failed := failed_trials(ablation):
        warnings.warn(f"{len(failed)} trials failed, see .failures:\n" + "\n".join(failed), stacklevel=2)
    return ablation


def make_pool(terminal: Terminal, workers: int | None, threads: int, **settings: Any) -> Pool:
    """The workers of a run, one per core by default; says where others compute too."""
    for name, value, least in (("workers", workers, 1), ("threads", threads, 1)):
        if value is not None and value < least:
            raise ValueError(f"{name} is {least} at least, got {value}")
    pool = Pool(workers=workers or max(1, cores() // threads), threads=threads, **settings)
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

    Raises ValueError where the data have no metric to decide by.
    """
    refuse_undefined(cells, grids, asked)
    todo = cells if asked.force else missing_cells(cells, asked.store)
    judged = judged_as(grids, asked, cells, run_folder(grids, asked))
    if (feed := feed_of(cells, grids, judged, asked)) is not None:
        todo = feed.begin([cell.key for cell in todo])
    verify_data(asked.registry, [(cell.spec.dataset, cell.spec.category) for cell in todo], terminal)


def run_folder(grids: Sequence[Grid], asked: Asked) -> Path:
    """Where the results go."""
    return asked.folder or Path("runs") / file_name("-".join(grid.name for grid in grids))


def keep_earlier(cells: Sequence[Cell], grids: Sequence[Grid], asked: Asked) -> None:
    """Raise ValueError where the folder holds the results of another grid, unless they are to be replaced."""
    if not asked.replace:
        refuse_to_lose(run_folder(grids, asked), identity_of(cells))


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
        run_cells(cells, asked.store, asked.pool, display, force=asked.force, begun=begun, feed=feed)
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


def _several(given: Any) -> list[Any]:
    """One thing or several, as a list."""
    if given is None:
        return []
    return list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]


def again(folder: Path) -> str:
    """What Ctrl-C costs the command, and how to continue."""
    return f"{KEPT} The same command continues; dlkd report {shlex.quote(str(folder))} shows the finished trials"
