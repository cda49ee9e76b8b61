"""`dlkd.ablate`: plans and runs grids in Python, as the command `dlkd ablate` does."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal, TypeAlias

from dlkd.ablations.ablation import Ablation
from dlkd.ablations.asked import Asked
from dlkd.ablations.looks.mode import seeds_of
from dlkd.ablations.run_grids import (
    KEPT,
    GridLike,
    failed_trials,
    keep_earlier,
    load_grids,
    make_pool,
    plan_cells,
    run_folder,
    run_grids,
    verify_missing,
)
from dlkd.ablations.tuned import plan_searches, run_searches
from dlkd.machine import expanded
from dlkd.progress import messages
from dlkd.registry import read_registry

Dataset: TypeAlias = "str | PathLike[str] | Mapping[str, Any]"
Paths: TypeAlias = "Sequence[str | PathLike[str]]"


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
    threads: int | None = None,
    trials_per_gpu: int = 0,
    one_process: bool = False,
    address: str | None = None,
    storage: str | None = None,
    keep: Literal["weights", "results"] = "weights",
    loggers: Sequence[str] = (),
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
        workers: trials at a time.
        threads: of each trial. Without `workers` and `threads` the run chooses both by the time of a training step;
            with one of them `threads` is 1 by default, and `workers` what the cores allow.
        trials_per_gpu: trials that share a GPU; 0 trains on CPUs.
        one_process: the trials that share a GPU run in threads of one process, and not in a process each.
        address: of a running Ray cluster.
        storage: URL where finished trials are copied to and found again.
        keep: "results" deletes a trial's weights once it is scored.
        loggers: of "csv", "tensorboard", "wandb" and "mlflow", for each trial.
        retries: how often a failed trial is tried again.
        force: train again what is finished.
        replace: put the results in the place of another grid's that are in the folder.
        registry_files: YAML files with components and variants of your own.
        imports: Python files, or packages' folders, that register your own components, for the worker processes.
        progress: show what is done and how long is left.

    Returns:
        The results. Trials that failed stand in their `failures`, and a warning names them.

    Raises:
        ValueError: a grid, dataset or setting is wrong; names it, and says what to do instead. Nothing was trained.
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
            terminal, workers, threads, retries=retries, trials_per_gpu=trials_per_gpu, one_process=one_process,
            address=address, storage=storage, keep=keep, loggers=loggers,
            registry_files=list(map(expanded, registry_files)), imports=list(map(expanded, imports)),
        ),
        datasets=_several(dataset), categories=_several(category), seeds=seeds, preset=preset,
        training={"max_steps": steps, "epochs": epochs, "image_size": image_size, "batch_size": batch_size},
        folder=None if out is None else expanded(out), store=expanded(store), force=force, replace=replace,
        until_decided=until_decided,
    )  # fmt: skip
    grids = [asked.labelled(one) for one in load_grids(_several(grid))]
    for one in grids:
        seeds_of(one, asked)  # raises, before anything is trained
    try:
        grids = run_searches(grids, plan_searches(grids, asked, terminal), asked, terminal)
        cells = plan_cells(grids, asked, terminal)
        keep_earlier(cells, grids, asked, terminal)
        verify_missing(cells, grids, asked, terminal)
        ablation, _ = run_grids(cells, grids, asked, terminal)
    except KeyboardInterrupt:
        folder = run_folder(grids, asked)
        terminal.print(f"interrupted: {KEPT} The same call continues; dlkd.load_ablation({str(folder)!r}) reads them")
        raise
    if failed := failed_trials(ablation):
        warnings.warn(f"{len(failed)} trials failed, see .failures:\n" + "\n".join(failed), stacklevel=2)
    return ablation


def _several(given: Any) -> list[Any]:
    """One thing or several, as a list."""
    if given is None:
        return []
    return list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
