"""`dlkd ablate`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dlkd.cli import session
from dlkd.cli.console import err, out, progress_bar, reading
from dlkd.cli.datasets import verify_data
from dlkd.cli.options import BatchSize, Epochs, ImageSize, Imports, RegistryFiles, Steps
from dlkd.cli.report import write_reports
from dlkd.cli.searches import ablate_search
from dlkd.cli.settings import read_registry
from dlkd.cli.typed import TypedAblation
from dlkd.files import file_name
from dlkd.machine import cores, crowded
from dlkd.text import text_table

if TYPE_CHECKING:
    import pandas as pd

    from dlkd.ablations.plan.cells import Cell
    from dlkd.ablations.plan.grid import Grid
    from dlkd.ablations.run.pool import Pool
    from dlkd.registry import Registry

Keep = Literal["weights", "results"]


def ablate(
    grids: Annotated[list[str], typer.Argument(help="Shipped grids (table4, table5, ...) or YAML files.")],
    datasets: Annotated[
        list[str] | None,
        typer.Option("--dataset", help="NAME, NAME:PATH or an MVTec-layout folder; repeatable."),
    ] = None,
    categories: Annotated[list[str] | None, typer.Option("--category", help="Only these categories.")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="How many base seeds, from 0; default the grid's, or 1.")
    ] = None,
    preset: Annotated[str | None, typer.Option("--preset", help="demo or paper; default the grid's, or demo.")] = None,
    steps: Steps = None,
    epochs: Epochs = None,
    image_size: ImageSize = None,
    batch_size: BatchSize = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Trials at a time; default one per core that this process may use.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=1024, help="Threads of each trial.")] = 1,
    trials_per_gpu: Annotated[int, typer.Option(min=0, help="Trials that share a GPU; 0 trains on CPUs.")] = 0,
    address: Annotated[
        str | None,
        typer.Option(help="A running Ray cluster (auto finds it); it shares --store's disk, or takes a --storage."),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(help="Where finished trials are copied to and found again: s3://, gs://, file:// or a path."),
    ] = None,
    keep: Annotated[
        Keep, typer.Option(help="What a trial leaves: all, or no weights.safetensors once it is scored.")
    ] = "weights",
    retries: Annotated[int, typer.Option(min=0, help="How often a failed trial is tried again.")] = 1,
    to: Annotated[Path | None, typer.Option("--out", help="Folder of the report; default runs/GRIDS.")] = None,
    store: Annotated[Path, typer.Option(help="Folder of all trials; finished ones are found again.")] = Path(
        "runs/trials"
    ),
    force: Annotated[bool, typer.Option("--force", help="Train again what is in the store already.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Accepted for clarity: a run always resumes.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the cells and what they will cost, and stop.")
    ] = False,
    registry_files: RegistryFiles = None,
    imports: Imports = None,
) -> None:
    """Train every cell of one or more grids in parallel and write the report."""
    from dlkd.ablations.search.search_files import find_search

    del resume
    registry = read_registry(registry_files, imports)
    at_a_time = workers or max(1, cores() // threads)
    if address is None and (said := crowded(at_a_time, threads)):
        err.print(said)
    typed = TypedAblation(
        registry=registry, datasets=datasets, categories=categories, seeds=seeds, preset=preset,
        training={"max_steps": steps, "epochs": epochs, "image_size": image_size, "batch_size": batch_size},
        folder=to, store=store, force=force, dry_run=dry_run,
        pool_settings={
            "workers": at_a_time, "threads": threads, "retries": retries, "trials_per_gpu": trials_per_gpu,
            "address": address, "registry_files": registry_files or (), "imports": imports or (),
            "storage": storage, "keep": keep,
        },
    )  # fmt: skip
    searches = [search for name in grids if (search := find_search(name, registry)) is not None]
    if searches and (len(grids) > 1 or seeds is not None):
        raise ValueError("a search runs by itself and has its seed in its file: dlkd ablate FILE, without --seeds")
    if searches:
        ablate_search(searches[0], typed)
    else:
        _ablate_grids(grids, typed)


def _ablate_grids(names: list[str], typed: TypedAblation) -> None:
    from dlkd.ablations.run.store import missing_cells

    grids = _load(names)
    cells = _make(grids, typed)
    if typed.dry_run:
        _print_cells(cells, grids, typed.store, typed.registry, typed.pool())
        return
    todo = cells if typed.force else missing_cells(cells, typed.store)
    verify_data(typed.registry, [(cell.spec.dataset, cell.spec.category) for cell in todo])
    folder = typed.folder or Path("runs") / file_name("-".join(grid.name for grid in grids))
    session.if_interrupted(
        "finished trials are kept; those that ran lose what is younger than their last checkpoint, or all if they have "
        f"none yet. The same command goes on; dlkd report {shlex.quote(str(folder))} shows what is there"
    )
    trials, kept = _run(cells, grids, typed, folder)
    if not kept:
        write_reports(folder)
    _raise_failed(trials, kept)


def _load(names: list[str]) -> list[Grid]:
    """The grids of these names and files. Raises ValueError where two have one name."""
    from dlkd.ablations.plan.grid_files import load_grid

    grids = [load_grid(name) for name in names]
    for i, grid in enumerate(grids):
        if (first := [g.name for g in grids].index(grid.name)) != i:
            both = f"{names[first]} and {names[i]} are both"
            raise ValueError(f"{both} the grid '{grid.name}'; give one of them, or another `name:` in its file")
    return grids


def _make(grids: list[Grid], typed: TypedAblation) -> list[Cell]:
    """The cells of all grids, identical ones once."""
    from dlkd.ablations.plan.cells import make_cells, unique

    cells = []
    for grid in grids:
        chosen, data = typed.settle(grid)
        seeds = range(typed.seeds or grid.seeds or 1)
        with progress_bar() as bar:
            cells += make_cells(grid, typed.registry, data, seeds, chosen, reading(bar))
    return unique(cells)


def _run(cells: list[Cell], grids: list[Grid], typed: TypedAblation, folder: Path) -> tuple[pd.DataFrame, bool]:
    """Train the cells; their trials, and whether the folder keeps an earlier run's since this one adds nothing."""
    from dlkd.ablations.run.display import Display
    from dlkd.ablations.run.run_folder import TRIALS, holds_less, write_run
    from dlkd.ablations.run.runner import run_cells
    from dlkd.ablations.run.trials import collect

    ended = False
    try:
        run_cells(cells, typed.store, typed.pool(), Display(typed.store, err), force=typed.force)
        ended = True
    finally:
        trials = collect(cells, typed.store)
        kept = holds_less(trials, folder, ended=ended)
        if not kept:
            write_run(folder, trials, grids, typed.store)
        elif (folder / TRIALS).exists():
            err.print(f"note: {folder / TRIALS} stays as it was: this run has no finished trial to add")
    return trials, kept


def _raise_failed(trials: pd.DataFrame, kept: bool) -> None:
    """Raise ValueError with the reasons of the trials that failed, if any did."""
    failed = trials[trials.status == "failed"]
    if len(failed):
        reasons = failed.drop_duplicates("key")
        listed = "\n".join(f"{r.row}, {r.category}, seed {r.seed}: {r.reason}" for r in reasons.itertuples())
        shown = "the report of an earlier run stays" if kept else "the report shows them"
        raise ValueError(f"{len(reasons)} trials failed; {shown}:\n{listed}")


def _print_cells(cells: list[Cell], grids: list[Grid], store: Path, registry: Registry, pool: Pool) -> None:
    from dlkd.ablations.forecast.forecast import forecast
    from dlkd.ablations.run.display import duration
    from dlkd.ablations.run.store import missing_cells

    missing = missing_cells(cells, store)
    cost = forecast(missing, grids, registry, pool, begun=session.seconds(), bar=err.is_terminal)
    table = text_table("cell", "rows", "state")
    for cell in cells:
        rows = "; ".join(f"{table}: {row}" for table, row in cell.rows)
        state = f"to train, about {duration(cost.trials[cell.key])}" if cell.key in cost.trials else "done"
        table.add_row(cell.name, rows, state)
    out.print(table)
    places = sum(len(cell.rows) for cell in cells)
    out.print(f"{len(cells)} cells for {places} table entries, {len(missing)} to train")
    if missing:
        one = duration(sum(cost.trials.values()))
        out.print(
            f"about {duration(cost.total)} with {min(pool.workers, len(missing))} at a time: {duration(cost.start)} to "
            f"start, {duration(cost.training)} of trials ({one} one at a time), {duration(cost.report)} for the "
            "report; each part was timed in small on this machine, as busy as it is now"
        )
