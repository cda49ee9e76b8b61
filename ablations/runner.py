"""Trains the missing cells of a grid in parallel with Ray Tune."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Ray Tune reads these when it is imported: our own display takes the place of its output, and a result's sync
# to disk costs more than a small cell.
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_RESULT_BUFFER_LENGTH", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
from ray import tune

from dlkd.ablations.display import Display
from dlkd.ablations.grid import Cell
from dlkd.ablations.store import FAILURE, failure, missing_cells
from dlkd.ablations.worker import CellWorker
from dlkd.training.checkpoint import write_text


def run_cells(
    cells: Sequence[Cell],
    store: Path,
    *,
    registry_files: Sequence[Path] = (),
    workers: int,
    threads: int = 1,
    retries: int = 1,
    display: Display,
) -> None:
    """Train every cell that has no result in `store`; what fails is left there with its reason.

    Resuming is nothing special: ask the store what is missing and start a fresh Tuner on that. Ray's own
    experiment state is pickled and can be cut short by a crash (ray-project/ray 58179), so it is never read.

    Args:
        cells: the grid's cells.
        store: folder of all trials.
        registry_files: the user's own registry files.
        workers: trials at a time.
        threads: threads of each.
        retries: how often a failed trial is tried again.
        display: shows what runs.

    Raises:
        KeyboardInterrupt: on Ctrl-C; finished cells stay, running ones keep their last checkpoint.
    """
    todo = missing_cells(cells, store)
    display.start(cells, todo, workers)
    if not todo:
        display.stop()
        return
    for cell in todo:
        (store / cell.key / FAILURE).unlink(missing_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix="dlkd-ray-") as scratch:
            ray.init(
                num_cpus=workers * threads,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
                object_store_memory=100 * 2**20,  # cells and results pass as small plain data
                _temp_dir=None,
            )
            try:
                _fit(todo, store, registry_files, workers, threads, retries, display, Path(scratch))
            finally:
                ray.shutdown()
    finally:
        display.stop()
    for cell in missing_cells(todo, store):
        if failure(cell, store) is None:
            write_text(
                store / cell.key / FAILURE, "the worker process died without a word (killed for memory?)"
            )


def _fit(
    todo: Sequence[Cell],
    store: Path,
    registry_files: Sequence[Path],
    workers: int,
    threads: int,
    retries: int,
    display: Display,
    scratch: Path,
) -> None:
    configs: list[dict[str, Any]] = [
        {
            "key": cell.key,
            "spec": cell.spec.model_dump(mode="json"),
            "store": str(store.resolve()),
            "registry": [str(f.resolve()) for f in registry_files],
            "threads": threads,
        }
        for cell in todo
    ]
    tuner = tune.Tuner(
        tune.with_resources(CellWorker, {"cpu": threads}),
        param_space={"cell": tune.grid_search(configs)},
        tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=workers),
        run_config=tune.RunConfig(
            name="cells",
            storage_path=str(scratch),
            verbose=0,
            callbacks=[_Events(display)],
            failure_config=tune.FailureConfig(max_failures=retries),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    )
    tuner.fit()


class _Events(tune.Callback):
    """Passes Tune's events on to the display, by the cell's key."""

    def __init__(self, display: Display) -> None:
        self.display = display

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks for a restore that is never asked for; a display has no such state."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.display.started(trial.config["cell"]["key"])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.display.finished(trial.config["cell"]["key"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.display.failed(trial.config["cell"]["key"])
