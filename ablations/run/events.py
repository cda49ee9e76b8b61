"""Settings of Ray Tune for a run, and the effects of its events on the store."""

from __future__ import annotations

import contextlib
import pickle
from pathlib import Path
from typing import Any

import ray
from ray import tune

from dlkd.ablations.run.display import Display
from dlkd.ablations.run.feed import Feed
from dlkd.ablations.run.host import HostDiedError
from dlkd.ablations.run.pool import Pool
from dlkd.ablations.stored.remote import Storage, StorageError
from dlkd.ablations.stored.store import FAILURE
from dlkd.files import write_text
from dlkd.training.trials.trial_folder import RESULT

DIED = "the worker process exited without an error message (possibly out of memory)"


def run_config(pool: Pool, scratch: Path, events: tune.Callback) -> tune.RunConfig:
    """Tune's settings for every run: its own files, which are not read, go to `scratch`."""
    return tune.RunConfig(
        name="cells",
        storage_path=str(scratch),
        verbose=0,
        callbacks=[events],
        failure_config=tune.FailureConfig(max_failures=pool.retries),
        checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
    )


ENDED = {"done": True}
"""What Tune keeps of the result of each trial that ended."""


class CellEvents(tune.Callback):
    """Passes Tune's events on to display and feed, by the cell's key; brings here what another machine's disk holds."""

    def __init__(self, display: Display, store: Path, storage: Storage | None, feed: Feed | None = None) -> None:
        self.display = display
        self.store = store
        self.storage = storage
        self.feed = feed
        self._resources: Any = None

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
        self._shorten(trial)
        self._ended(key)

    def _shorten(self, trial: Any) -> None:
        """Tune keeps all of a trial until the run ends, and nobody reads it: the memory of a large grid."""
        trial.metric_analysis.clear()
        trial.metric_n_steps.clear()
        trial.run_metadata.last_result = ENDED
        if self._resources is None:
            self._resources = trial.placement_group_factory
        trial.placement_group_factory = self._resources  # all trials of a run ask for the same

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        key = trial.config["cell"]
        folder = self.store / key
        reason = why_failed(trial)
        if not (folder / FAILURE).exists() and not (folder / RESULT).exists():
            with contextlib.suppress(OSError):  # a full disk: the other trials go on, and the display says why
                write_text(folder / FAILURE, reason)
        self.display.failed(key, reason)
        self._ended(key)

    def _ended(self, key: str) -> None:
        for cell in self.feed.ended(key) if self.feed is not None else ():
            self.display.expect(cell)


def why_failed(trial: Any) -> str:
    """Why a trial failed, in one line, as its worker would have written it."""
    path = trial.pickled_error_file
    error = pickle.loads(Path(path).read_bytes()) if path else None
    if isinstance(error, ray.exceptions.RayTaskError) and not isinstance(error.cause, HostDiedError):
        return f"{type(error.cause).__name__}: {error.cause}".splitlines()[0]
    return DIED
