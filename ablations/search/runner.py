"""Runs a search on Ray Tune: Optuna suggests settings, ASHA stops those with low scores, the trials' folders hold the
results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ray
from ray import tune
from rich.console import Console
from rich.text import Text

from dlkd.ablations.plan.tuning import shown
from dlkd.ablations.report.words.entries import label
from dlkd.ablations.run.events import run_config, why_failed
from dlkd.ablations.run.pool import Pool
from dlkd.ablations.run.ray_session import check_pool, ray_folder, start_ray
from dlkd.ablations.search.records import DONE, PARAMETERS, STOPPED, Tried, broken, read_tried
from dlkd.ablations.search.study import Study, search_folder
from dlkd.ablations.search.suggestions import SCORE, Suggestions, halving
from dlkd.ablations.search.worker import SearchWorker
from dlkd.ablations.stored.forget import forget
from dlkd.ablations.stored.remote import Storage
from dlkd.ablations.stored.store import FAILURE
from dlkd.files import all_alone, delete, write_text
from dlkd.machine import expanded
from dlkd.registry import Registry
from dlkd.registry.python_files import digests, python_file
from dlkd.text import plain
from dlkd.training.trials.trial_folder import RESULT


def run_search(
    study: Study, registry: Registry, store: Path, pool: Pool, console: Console, *, force: bool = False, name: str = ""
) -> None:
    """Try settings until the search has its number of finished ones; with `force` none counts as such yet.

    Messages call what is tuned `name`, by default its variant.

    Resuming asks the folder what is finished: that is told to Optuna and to ASHA as known, what was begun is
    suggested first, and the rest is a fresh Tuner.

    Raises:
        KeyboardInterrupt: on Ctrl-C; finished trials stay, running ones keep their last checkpoint.
        MachineError: this machine or the cluster lacks what the pool asks for.
        ConnectionError: no cluster answers at `pool.address`.
        StorageError: `pool.storage` cannot be read or written.
        HeldError: with `force`, another process works in a trial's folder; nothing was deleted.
    """
    folder = search_folder(study, registry, store)
    storage = None if pool.storage is None else Storage(f"{pool.storage.rstrip('/')}/{folder.name}")
    if force:
        with all_alone(path.parent for path in folder.glob(f"*/{PARAMETERS}")):
            pass
    elif storage is not None:
        storage.fetch(storage.names(), folder)
    tried = [] if force else read_tried(folder)
    left = study.search.trials - sum(t.finished for t in tried)
    what = plain(name) or study.search.variant
    console.print(
        f"{study.search.trials} trials of {what} on {len(study.data)} "
        f"{'category' if len(study.data) == 1 else 'categories'}, {study.search.trials - max(0, left)} already done, "
        f"{max(0, left)} to run, {pool.workers} at a time"
    )
    if not force:
        for line in broken(folder):
            console.print(line)
    if left > 0:
        check_pool(pool)
        train = study.settings({}, registry)[1]
        train.check_device(gpu=pool.trials_per_gpu > 0)
        if said := train.slow_on(gpu=pool.trials_per_gpu > 0):
            console.print(said)
        if storage is not None:
            storage.check()
        with ray_folder() as scratch:
            start_ray(pool, scratch)
            try:
                if force:
                    shared = [] if storage is None else storage.names()
                    begun = {path.parent.name for path in folder.glob(f"*/{PARAMETERS}")}
                    forget([folder / key for key in begun.union(shared)], storage)
                for t in tried:
                    delete(folder / t.key / FAILURE)
                _fit(study, folder, pool, Suggestions(study, tried, registry), tried, left, console, scratch)
            finally:
                ray.shutdown()
    if storage is not None:
        there = set(storage.names())
        for t in read_tried(folder):
            if t.finished and t.key not in there:
                storage.push(folder / t.key)


def _fit(
    study: Study,
    folder: Path,
    pool: Pool,
    suggestions: Suggestions,
    tried: Sequence[Tried],
    left: int,
    console: Console,
    scratch: Path,
) -> None:
    plain = {
        "study": study.model_dump(mode="json"),
        "folder": str(folder.resolve()),
        "registry": [str(expanded(f).resolve()) for f in pool.registry_files],
        "imports": {str(python_file(f)): digests(f) for f in pool.imports},
        "threads": pool.threads,
        "gpu": pool.trials_per_gpu > 0,
    }
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(SearchWorker, plain=plain), pool.resources),
        tune_config=tune.TuneConfig(
            search_alg=suggestions,
            scheduler=halving(study.search, tried),
            num_samples=left,
            reuse_actors=True,
            max_concurrent_trials=pool.workers if pool.address is None else None,
        ),
        run_config=run_config(pool, scratch, _Events(study, folder, tried, console)),
    )
    tuner.fit()


class _Events(tune.Callback):
    """Writes what Tune reports to the trials' folders, whichever node it comes from, and says it."""

    def __init__(self, study: Study, folder: Path, tried: Sequence[Tried], console: Console) -> None:
        self.search = study.search
        self.folder = folder
        self.console = console
        self.numbers = {t.key: t.number for t in tried}
        self.rungs: dict[str, list[dict[str, Any]]] = {}
        self.best = max((t.rungs[-1]["score"] for t in tried if t.status == DONE), default=None)

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks for a restore that is never asked for."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        key = trial.config["key"]
        parameters = {n: self.search.space[n].from_optuna(v) for n, v in trial.config["parameters"].items()}
        number = self.numbers.setdefault(key, max(self.numbers.values(), default=0) + 1)
        self.rungs[key] = []
        write_text(self.folder / key / PARAMETERS, json.dumps({"number": number, "parameters": parameters}, indent=1))
        self._say(key, "begins: " + ", ".join(f"{name} {shown(value)}" for name, value in parameters.items()))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        key = trial.config["key"]
        self.rungs[key].append({name: result[name] for name in ("score", "scores", "steps", "seconds", "note")})
        said = f"rung {result['rung']} of {self.search.rungs}: {label(self.search.metric)} {100 * result[SCORE]:.2f}"
        self._say(key, said)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        key, rungs = trial.config["key"], self.rungs[trial.config["key"]]
        status = trial.last_result["status"] or STOPPED
        reason = rungs[-1]["note"]
        result = {"status": status, "rungs": rungs, "reason": reason}
        write_text(self.folder / key / RESULT, json.dumps(result, indent=1))
        (self.folder / key / FAILURE).unlink(missing_ok=True)
        if status == DONE:
            self.best = max(rungs[-1]["score"], self.best or 0.0)
        best = "" if self.best is None else f"; the best so far {100 * self.best:.2f}"
        self._say(key, f"{status}{f': {reason}' if reason else ''}{best}")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        key, reason = trial.config["key"], why_failed(trial)
        write_text(self.folder / key / FAILURE, reason)
        self._say(key, f"failed: {reason}")

    def _say(self, key: str, text: str) -> None:
        line = f"trial {self.numbers[key]} of {self.search.trials}, {text}"
        self.console.print(Text(plain(line)), soft_wrap=True)
