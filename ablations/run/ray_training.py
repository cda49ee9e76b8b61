"""Trains cells in parallel with Ray Tune."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from ray import tune

from dlkd.ablations.plan.cells import Cell
from dlkd.ablations.run.display import Display
from dlkd.ablations.run.events import DIED, CellEvents, run_config
from dlkd.ablations.run.feed import Feed, InOrder, Suggestions, listed
from dlkd.ablations.run.pool import Pool
from dlkd.ablations.run.ray_session import ray_folder, start_ray
from dlkd.ablations.run.worker import CellWorker
from dlkd.ablations.stored.forget import forget
from dlkd.ablations.stored.remote import Storage
from dlkd.ablations.stored.store import FAILURE, describe, failure, missing_cells
from dlkd.files import delete, write_text
from dlkd.machine import expanded
from dlkd.registry.python_files import digests, python_file


def train(
    todo: Sequence[Cell],
    store: Path,
    pool: Pool,
    storage: Storage | None,
    display: Display,
    trainable: type[CellWorker] | None = None,
    *,
    forgotten: Sequence[Path] = (),
    feed: Feed | None = None,
) -> None:
    """Train the cells, or what `feed` asks for; what fails is left in `store` with its reason. See `runner.run_cells`.

    The trials' folders `forgotten` are deleted before.

    Each time it is a fresh Tuner: Ray's own experiment state is pickled and can be cut short by a crash
    (ray-project/ray 58179), so it is never read.
    """
    with ray_folder() as scratch:
        start_ray(pool, scratch)
        try:
            if forgotten:
                forget(forgotten, storage)
            for cell in todo if feed is None else feed.everything:
                delete(store / cell.key / FAILURE)
            _fit(todo, store, pool, storage, display, trainable or CellWorker, scratch, feed)
        finally:
            ray.shutdown()
    todo = todo if feed is None else feed.taken
    if storage is not None:
        storage.fetch([cell.key for cell in todo], store)
    for cell in missing_cells(todo, store):
        if failure(cell.key, store) is None:
            write_text(store / cell.key / FAILURE, DIED)


def _fit(
    todo: Sequence[Cell],
    store: Path,
    pool: Pool,
    storage: Storage | None,
    display: Display,
    trainable: type[CellWorker],
    scratch: Path,
    feed: Feed | None = None,
) -> None:
    cells: dict[str, dict[str, Any]] = {
        cell.key: {
            "key": cell.key,
            **describe(cell),
            "store": str(store.resolve()),
            "storage": None if storage is None else storage.url,
            "keep": pool.keep,
            "loggers": list(pool.loggers),
            "registry": [str(expanded(f).resolve()) for f in pool.registry_files],
            "imports": {str(python_file(f)): digests(f) for f in pool.imports},
            "threads": pool.threads,
            "gpu": pool.trials_per_gpu > 0,
            "places": pool.trials_per_gpu if pool.one_process else 0,
        }
        for cell in (todo if feed is None else feed.everything)
    }
    at_once = pool.workers if pool.address is None else None
    search = listed(list(cells), at_once) if feed is None else Suggestions(feed, display.expect)
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(trainable, cells=cells), pool.resources),
        param_space={"cell": None} if feed is None else None,
        tune_config=tune.TuneConfig(
            search_alg=search,
            scheduler=InOrder(),
            num_samples=len(cells),
            reuse_actors=True,
            max_concurrent_trials=None if feed is None else at_once,
        ),
        run_config=run_config(pool, scratch, CellEvents(display, store, storage, feed)),
    )
    tuner.fit()
