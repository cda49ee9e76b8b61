"""Trains the missing cells of a grid in parallel with Ray Tune."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import ray
from ray import tune

from dlkd.ablations.plan.cells import Cell
from dlkd.ablations.run.display import Display
from dlkd.ablations.run.events import DIED, CellEvents, run_config
from dlkd.ablations.run.mend import mend
from dlkd.ablations.run.pool import Pool
from dlkd.ablations.run.ray_session import check_pool, ray_folder, start_ray
from dlkd.ablations.run.remote import Storage
from dlkd.ablations.run.store import FAILURE, failure, missing_cells
from dlkd.ablations.run.worker import CellWorker
from dlkd.files import all_alone, delete, empty, write_text
from dlkd.machine import expanded
from dlkd.registry.python_files import digests, python_file
from dlkd.training.trial_folder import RESULT


def run_cells(
    cells: Sequence[Cell],
    store: Path,
    pool: Pool,
    display: Display,
    *,
    force: bool = False,
    trainable: type[CellWorker] = CellWorker,
) -> None:
    """Train every cell that has no result in `store`; what fails is left there with its reason.

    Resuming is nothing special: ask the store what is missing and start a fresh Tuner on that. Ray's own
    experiment state is pickled and can be cut short by a crash (ray-project/ray 58179), so it is never read.

    Args:
        cells: the grid's cells.
        store: folder of all trials; on a cluster, one that all nodes share unless the pool has a storage.
        pool: where and how they run.
        display: shows what runs.
        force: train again what is finished; it is deleted when Ray has started, and nothing hinders the training.
        trainable: what runs a cell.

    Raises:
        KeyboardInterrupt: on Ctrl-C; finished cells stay, running ones keep their last checkpoint.
        MachineError: this machine or the cluster lacks what the pool asks for; nothing was begun.
        ConnectionError: no cluster answers at `pool.address`.
        StorageError: `pool.storage` cannot be read or written; finished cells are in `store`.
        HeldError: with `force`, another process works in a cell's folder; nothing was deleted.
    """
    storage = None if pool.storage is None else Storage(pool.storage)
    folders = {cell.key: store / cell.key for cell in cells}
    if force:
        with all_alone(folders.values()):  # said before anything is started; deleted is later
            pass
    else:
        for cell in cells:
            if why := mend(cell, store):
                display.note(f"{cell.name}: {why}; it is trained again")
        if storage is not None:
            storage.fetch(folders, store)
    todo = list(cells) if force else missing_cells(cells, store)
    if todo:
        check_pool(pool)
    if storage is not None:
        _share([folders[key] for key in folders.keys() - {cell.key for cell in todo}], storage, display)
        if todo:
            storage.check()
    display.start(cells, todo, pool.workers)
    if not todo:
        display.stop()
        return
    try:
        with ray_folder() as scratch:
            start_ray(pool, scratch)
            try:
                if force:
                    forget(folders.values(), storage)
                for cell in todo:
                    delete(folders[cell.key] / FAILURE)
                _fit(todo, store, pool, storage, display, trainable, scratch)
            finally:
                ray.shutdown()
    finally:
        display.stop()
    if storage is not None:
        storage.fetch([cell.key for cell in todo], store)
    for cell in missing_cells(todo, store):
        if failure(cell, store) is None:
            write_text(store / cell.key / FAILURE, DIED)


def forget(folders: Iterable[Path], storage: Storage | None) -> None:
    """Delete what trials left, here and in the storage: all of them, or none where another process works in one.

    Raises:
        HeldError: another process works in one of the folders; nothing was deleted.
        StorageError: the storage takes no change; here everything stays.
    """
    folders = list(folders)
    with all_alone(folders) as there:
        if storage is not None:
            for folder in folders:
                storage.forget(folder.name)
        for folder in there:
            delete(folder / RESULT)  # first: what is left of a trial if the machine dies now is an unfinished one
            empty(folder)


def _share(finished: Sequence[Path], storage: Storage, display: Display) -> None:
    """Copy those finished trials to the storage that are not there."""
    there = set(storage.names())
    unshared = sorted(folder for folder in finished if folder.name not in there)
    if unshared:
        storage.check()
        for folder in unshared:
            storage.push(folder)
        display.note(f"{len(unshared)} finished trials copied to {storage.url}")


def _fit(
    todo: Sequence[Cell],
    store: Path,
    pool: Pool,
    storage: Storage | None,
    display: Display,
    trainable: type[CellWorker],
    scratch: Path,
) -> None:
    cells: dict[str, dict[str, Any]] = {
        cell.key: {
            "key": cell.key,
            "spec": cell.spec.model_dump(mode="json"),
            "contents": cell.contents,
            "store": str(store.resolve()),
            "storage": None if storage is None else storage.url,
            "keep": pool.keep,
            "registry": [str(expanded(f).resolve()) for f in pool.registry_files],
            "imports": {str(python_file(f)): digests(f) for f in pool.imports},
            "threads": pool.threads,
            "gpu": pool.trials_per_gpu > 0,
        }
        for cell in todo
    }
    tuner = tune.Tuner(
        # Tune copies the whole grid for each of its cells, so the grid is of names.
        tune.with_resources(tune.with_parameters(trainable, cells=cells), pool.resources),
        param_space={"cell": tune.grid_search(list(cells))},
        tune_config=tune.TuneConfig(
            reuse_actors=True, max_concurrent_trials=pool.workers if pool.address is None else None
        ),
        run_config=run_config(pool, scratch, CellEvents(display, store, storage)),
    )
    tuner.fit()
