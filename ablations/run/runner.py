"""Trains the missing cells of a grid in parallel with Ray Tune."""

from __future__ import annotations

import contextlib
import os
import pickle
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

# Ray Tune reads these when it is imported: our own display takes the place of its output, and a result's sync
# to disk costs more than a small cell.
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_RESULT_BUFFER_LENGTH", "0")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Tune would take Ctrl-C for a normal end
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "1e9")  # its own state is never read, see `run_cells`
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
import torch
from ray import tune

from dlkd.ablations.plan.grid import Cell
from dlkd.ablations.run.display import Display
from dlkd.ablations.run.remote import Storage, StorageError
from dlkd.ablations.run.store import FAILURE, failure, mend, missing_cells
from dlkd.ablations.run.worker import CellWorker
from dlkd.files import all_alone, delete, empty, scratch_folder, write_text
from dlkd.machine import MachineError, expanded, temporary_folder
from dlkd.python_files import digests, python_file
from dlkd.training.trial import RESULT, device

DIED = "the worker process died without a word (killed for memory?)"


@dataclass(frozen=True)
class Pool:
    """Where and how trials run.

    Attributes:
        workers: trials at a time on this machine; a cluster takes as many as fit.
        threads: CPU threads of each.
        retries: how often a failed trial is tried again.
        trials_per_gpu: how many trials share a GPU; 0 trains on CPUs.
        address: of a running Ray cluster; None starts Ray on this machine for as long as the grid runs.
        registry_files: the user's own registry files, where every node finds them.
        imports: the user's own Python files, whose components register themselves.
        storage: URL to which finished trials are copied and from which they are fetched; needed where nodes share
            no disk.
        keep: "results" deletes a trial's weights once it is scored.
    """

    workers: int = 1
    threads: int = 1
    retries: int = 1
    trials_per_gpu: int = 0
    address: str | None = None
    registry_files: Sequence[Path] = ()
    imports: Sequence[Path] = ()
    storage: str | None = None
    keep: Literal["weights", "results"] = "weights"

    @property
    def resources(self) -> dict[str, float]:
        """What one trial takes."""
        return {"cpu": self.threads} | ({"gpu": 1 / self.trials_per_gpu} if self.trials_per_gpu else {})


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


def check_pool(pool: Pool) -> None:
    """Raise MachineError where trials on this machine could never start; a cluster is asked once it is joined."""
    if pool.address is None and pool.trials_per_gpu and device().type != "cuda":
        raise MachineError(
            f"--trials-per-gpu {pool.trials_per_gpu}: PyTorch sees no GPU on this machine; "
            "leave it out to train on CPUs"
        )


def ray_folder() -> AbstractContextManager[Path]:
    """A folder for Ray's files while it runs; what killed runs left of such goes first."""
    return scratch_folder("dlkd-ray-", temporary_folder())


def start_ray(pool: Pool, scratch: Path) -> None:
    """Start Ray on this machine with its files in `scratch`, or join the pool's cluster.

    Raises:
        MachineError: Ray does not start, or no node of the cluster has what one trial takes.
        ConnectionError: no cluster answers at `pool.address`.
    """
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    os.environ.pop("RAY_RUNTIME_ENV_HOOK", None)  # of another tool; workers take this environment as it is
    if pool.address is None:
        options |= {
            "num_cpus": pool.workers * pool.threads,
            "num_gpus": torch.cuda.device_count() if pool.trials_per_gpu else 0,
            "_temp_dir": str(scratch / "ray"),  # not the usual one, which is another user's or too long a path
            "include_dashboard": False,
            "object_store_memory": 100 * 2**20,  # cells and results pass as small plain data
        }
    try:
        ray.init(address=pool.address or "local", **options)
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, ConnectionError):
            raise
        if isinstance(error, UnicodeError):
            raise MachineError(
                "Ray takes no names that are not UTF-8, neither on the command line nor for the working folder: "
                "give the folder another name, or make a link to it and name that"
            ) from error
        raise MachineError(f"Ray does not start: {error}") from error
    if pool.address is not None:
        _check_cluster(pool)


def _check_cluster(pool: Pool) -> None:
    """Raise MachineError where no node has what one trial takes: Ray would wait for such a node without a word."""
    needs = {name.upper(): amount for name, amount in pool.resources.items()}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    if not any(all(node.get(name, 0) >= amount for name, amount in needs.items()) for node in nodes):
        most = ", ".join(f"at most {max((n.get(name, 0) for n in nodes), default=0):g} {name}s" for name in needs)
        ray.shutdown()
        raise MachineError(
            f"no node of the cluster {pool.address} has what one trial takes "
            f"({', '.join(f'{amount:g} {name}' for name, amount in needs.items())}): its nodes have {most}; "
            "change --threads or --trials-per-gpu"
        )


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
        run_config=run_config(pool, scratch, _Events(display, store, storage)),
    )
    tuner.fit()


def run_config(pool: Pool, scratch: Path, events: tune.Callback) -> tune.RunConfig:
    """What Tune is told of every run: its own files, which nobody reads, go to `scratch`."""
    return tune.RunConfig(
        name="cells",
        storage_path=str(scratch),
        verbose=0,
        callbacks=[events],
        failure_config=tune.FailureConfig(max_failures=pool.retries),
        checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
    )


class _Events(tune.Callback):
    """Passes Tune's events on to the display, by the cell's key; brings here what another machine's disk holds."""

    def __init__(self, display: Display, store: Path, storage: Storage | None) -> None:
        self.display = display
        self.store = store
        self.storage = storage

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks for a restore that is never asked for; a display has no such state."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.display.started(trial.config["cell"])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        key = trial.config["cell"]
        if self.storage is not None:
            with contextlib.suppress(StorageError):  # `run_cells` tries again at the end, and says what is wrong
                self.storage.fetch([key], self.store)
        self.display.finished(key)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        key = trial.config["cell"]
        folder = self.store / key
        reason = why_failed(trial)
        if not (folder / FAILURE).exists() and not (folder / RESULT).exists():
            with contextlib.suppress(OSError):  # a full disk: the other trials go on, and the display says why
                write_text(folder / FAILURE, reason)
        self.display.failed(key, reason)


def why_failed(trial: Any) -> str:
    """Why a trial failed, in one line, as its worker would have written it."""
    path = trial.pickled_error_file
    error = pickle.loads(Path(path).read_bytes()) if path else None
    if isinstance(error, ray.exceptions.RayTaskError):
        return f"{type(error.cause).__name__}: {error.cause}".splitlines()[0]
    return DIED
