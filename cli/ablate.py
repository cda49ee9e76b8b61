"""`dlkd ablate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dlkd.cli import session
from dlkd.cli.console import err
from dlkd.cli.dry_run import refuse_effect, show_cells
from dlkd.cli.options import BatchSize, Epochs, ImageSize, Imports, LoggerNames, RegistryFiles, Steps
from dlkd.cli.report import write_reports
from dlkd.cli.searches import ablate_search

if TYPE_CHECKING:
    from dlkd.ablations.asked import Asked

Keep = Literal["weights", "results"]


def ablate(
    grids: Annotated[list[str], typer.Argument(help="Grids that come with dlkd (table4, table5, ...) or YAML files.")],
    datasets: Annotated[
        list[str] | None,
        typer.Option("--dataset", help="NAME, NAME:PATH or a folder in the MVTec layout; repeatable."),
    ] = None,
    categories: Annotated[list[str] | None, typer.Option("--category", help="Only these categories.")] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Number of base seeds, from 0; default the grid's, or 1.")
    ] = None,
    until_decided: Annotated[
        int | None,
        typer.Option(
            min=2,
            help="From the base seeds on, only comparisons that are still open get one seed more each, to so many (at "
            "most 20). p and intervals hold at every look.",
        ),
    ] = None,
    preset: Annotated[str | None, typer.Option("--preset", help="demo or paper; default the grid's, or demo.")] = None,
    steps: Steps = None,
    epochs: Epochs = None,
    image_size: ImageSize = None,
    batch_size: BatchSize = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Trials at a time; without --workers and --threads the run chooses both by the time of a step.",
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Threads of each trial; 1 where --workers alone is given.")
    ] = None,
    trials_per_gpu: Annotated[int, typer.Option(min=0, help="Trials that share a GPU; 0 trains on CPUs.")] = 0,
    one_process: Annotated[
        bool,
        typer.Option(
            "--one-process",
            help="The trials that share a GPU run in threads of one process. Default: a process each.",
        ),
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(
            help="Address of a running Ray cluster (auto finds it). It needs a shared disk for --store, or --storage."
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Finished trials are copied to this place and read from it: s3://, gs://, file:// or a path."
        ),
    ] = None,
    keep: Annotated[
        Keep, typer.Option(help="Files of a scored trial: all, or the results without weights.safetensors.")
    ] = "weights",
    loggers: LoggerNames = None,
    retries: Annotated[int, typer.Option(min=0, help="Number of retries of a failed trial.")] = 1,
    to: Annotated[Path | None, typer.Option("--out", help="Folder of the report; default runs/GRIDS.")] = None,
    store: Annotated[
        Path, typer.Option(help="Folder of all trials; finished trials in it are not trained again.")
    ] = Path("runs/trials"),
    force: Annotated[
        bool, typer.Option("--force", help="Train all cells again, also those that are in the store.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the report of another grid that is in the folder.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the cells and how long they will take, and stop.")
    ] = False,
    detect: Annotated[
        float | None,
        typer.Option(
            metavar="POINTS",
            help="With --dry-run: how many seeds and categories would show an effect of so many points.",
        ),
    ] = None,
    registry_files: RegistryFiles = None,
    imports: Imports = None,
) -> None:
    """Train every cell of one or more grids in parallel and write the report."""
    from dlkd.ablations.asked import Asked
    from dlkd.ablations.run_grids import make_pool
    from dlkd.ablations.search.search_files import find_search
    from dlkd.registry import read_registry

    if detect is not None and not dry_run:
        raise ValueError("--detect plans a run and trains nothing: give --dry-run too")
    registry = read_registry(registry_files, imports)
    pool = make_pool(
        err, workers, threads, retries=retries, trials_per_gpu=trials_per_gpu, one_process=one_process,
        address=address, storage=storage, keep=keep, loggers=loggers or (), registry_files=registry_files or (),
        imports=imports or (),
    )  # fmt: skip
    training = {"max_steps": steps, "epochs": epochs, "image_size": image_size, "batch_size": batch_size}
    asked = Asked(
        registry,
        pool,
        datasets or (),
        categories or (),
        seeds,
        preset,
        training,
        to,
        store,
        force,
        replace,
        until_decided,
    )
    searches = [search for name in grids if (search := find_search(name, registry)) is not None]
    if searches and (len(grids) > 1 or seeds is not None or until_decided is not None):
        raise ValueError(
            "a search runs by itself and has its seed in its file: dlkd ablate FILE, without --seeds or --until-decided"
        )
    if searches and loggers:
        raise ValueError("--logger is for the trials of a grid; leave it out for a search")
    if searches and one_process:
        raise ValueError("--one-process is for the trials of a grid; leave it out for a search")
    if searches and detect is not None:
        raise ValueError("--detect is about the comparisons of a grid; a search has none")
    if searches:
        ablate_search(searches[0], asked, dry_run=dry_run)
    else:
        _ablate_grids(grids, asked, dry_run, None if detect is None else detect / 100)


def _ablate_grids(names: list[str], asked: Asked, dry_run: bool, effect: float | None) -> None:
    from dlkd.ablations.looks.mode import seeds_of
    from dlkd.ablations.run_grids import (
        again,
        failed_trials,
        keep_earlier,
        load_grids,
        plan_cells,
        run_folder,
        run_grids,
        verify_missing,
    )
    from dlkd.ablations.tuned import as_stored, plan_searches, run_searches

    grids = [asked.labelled(grid) for grid in load_grids(names)]
    for grid in grids:
        seeds_of(grid, asked)  # raises, before anything is trained
    if effect is not None:
        refuse_effect(effect, grids)
    searches = plan_searches(grids, asked, err)
    if dry_run:
        grids = as_stored(grids, searches, asked)
        cells = plan_cells(grids, asked, err)
        show_cells(cells, grids, searches, asked, effect)
        keep_earlier(cells, grids, asked, err)
        return
    folder = run_folder(grids, asked)
    session.if_interrupted(again(folder))
    grids = run_searches(grids, searches, asked, err)
    cells = plan_cells(grids, asked, err)
    keep_earlier(cells, grids, asked, err)
    verify_missing(cells, grids, asked, err)
    ablation, kept = run_grids(cells, grids, asked, err)
    if not kept:
        write_reports(folder)
    if failed := failed_trials(ablation):
        shown = "the report of an earlier run stays" if kept else "the report shows them"
        raise ValueError(f"{len(failed)} trials failed; {shown}:\n" + "\n".join(failed))
