"""Runs a grid: asks the store which cells are missing, and has those trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dlkd.ablations.plan.cells import Cell
from dlkd.ablations.run.display import Display
from dlkd.ablations.run.pool import Pool
from dlkd.ablations.stored.store import missing_cells
from dlkd.files import all_alone

if TYPE_CHECKING:
    from dlkd.ablations.run.feed import Feed
    from dlkd.ablations.run.worker import CellWorker
    from dlkd.ablations.stored.remote import Storage


def run_cells(
    cells: Sequence[Cell],
    store: Path,
    pool: Pool,
    display: Display,
    *,
    force: bool = False,
    trainable: type[CellWorker] | None = None,
    begun: Callable[[], None] = lambda: None,
    feed: Feed | None = None,
) -> None:
    """Train every cell that has no result in `store`; what fails is left there with its reason.

    A resumed run works as any other: it asks the store which cells are missing and trains those.

    Args:
        cells: the grid's cells; of a feed, all that it may ask for.
        store: folder of all trials; on a cluster, one that all nodes share unless the pool has a storage.
        pool: where and how they run.
        display: shows what runs.
        force: train again what is finished; it is deleted when Ray has started, and nothing hinders the training.
        trainable: what runs a cell; default `CellWorker`.
        begun: called before the first cell is trained, once nothing is in the way.
        feed: says which of the cells are trained, as the results of earlier ones come; all at once by default.

    Raises:
        KeyboardInterrupt: on Ctrl-C; finished cells stay, running ones keep their last checkpoint.
        MachineError: this machine or the cluster lacks what the pool asks for; nothing was begun.
        ConnectionError: no cluster answers at `pool.address`.
        StorageError: `pool.storage` cannot be read or written; finished cells are in `store`.
        HeldError: with `force`, another process works in a cell's folder; nothing was deleted.
    """
    storage = _storage(pool)
    folders = {cell.key: store / cell.key for cell in cells}
    todo = list(cells)
    if force:
        with all_alone(folders.values()):  # said before anything is started; deleted is later
            pass
    else:
        todo = _missing(cells, store, storage, display)
    finished = folders.keys() - {cell.key for cell in todo}
    forgotten = [folders[cell.key] for cell in todo] if force else []
    asked = cells
    if feed is not None:
        todo = list(feed.begin([cell.key for cell in todo]))
        asked = feed.asked
    if todo:
        from dlkd.ablations.run.ray_session import check_pool

        check_pool(pool)
    if storage is not None:
        _share([folders[key] for key in finished], storage, display)
        if todo:
            storage.check()
    display.start(asked, todo, pool.workers, pool.cores)
    try:
        if todo:
            from dlkd.ablations.run.ray_training import train

            begun()
            train(todo, store, pool, storage, display, trainable, forgotten=forgotten, feed=feed)
    finally:
        display.stop()


def _storage(pool: Pool) -> Storage | None:
    if pool.storage is None:
        return None
    from dlkd.ablations.stored.remote import Storage

    return Storage(pool.storage)


def _missing(cells: Sequence[Cell], store: Path, storage: Storage | None, display: Display) -> list[Cell]:
    """The cells without a result, neither here nor in the storage; what is broken of them is taken away."""
    missing = missing_cells(cells, store)
    if missing:
        from dlkd.ablations.stored.mend import mend

        for cell in missing:
            if why := mend(cell, store):
                display.note(f"{cell.name}: {why}; it is trained again")
        if storage is not None:
            storage.fetch([cell.key for cell in missing], store)
            missing = missing_cells(missing, store)
        from dlkd.ablations.stored.history import NEVER, grouped, reasons

        for line in grouped(why for why in reasons(missing, store).values() if why != NEVER):
            display.note(f"trained again, {line}")
    return missing


def _share(finished: Sequence[Path], storage: Storage, display: Display) -> None:
    """Copy those finished trials to the storage that are not there."""
    there = set(storage.names())
    unshared = sorted(folder for folder in finished if folder.name not in there)
    if unshared:
        storage.check()
        for folder in unshared:
            storage.push(folder)
        display.note(f"{len(unshared)} finished trials copied to {storage.url}")
