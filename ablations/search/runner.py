"""Runs a search on Ray Tune: Optuna suggests, ASHA stops what is behind, the trials' folders are the truth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
from rich.console import Console
from rich.text import Text

from dlkd.ablations.report.tables import label
from dlkd.ablations.run.remote import Storage
from dlkd.ablations.run.runner import Pool, check_pool, forget, ray_folder, run_config, start_ray, why_failed
from dlkd.ablations.run.store import FAILURE, first_line
from dlkd.ablations.search.definition import Search, Study, search_folder, trial_key
from dlkd.ablations.search.worker import DIVERGED, DONE, RUNGS, STOPPED, SearchWorker, are_rungs, read_rungs
from dlkd.files import all_alone, delete, write_text
from dlkd.located_yaml import dump_yaml
from dlkd.machine import expanded
from dlkd.python_files import digests, python_file
from dlkd.registry import Registry
from dlkd.text import plain
from dlkd.training.module import derive_seed
from dlkd.training.trial import RESULT

import ray  # isort: skip  # after the runner, which sets what Ray reads when it is imported
from ray import tune  # isort: skip
from ray.tune.schedulers import ASHAScheduler  # isort: skip
from ray.tune.search import Searcher  # isort: skip

PARAMETERS = "parameters.json"
FAILED, UNFINISHED = "failed", "unfinished"
SCORE, RESOURCE = "score", "resource"
MOST_REPEATS = 100
"""So many suggestions in a row that have been tried before: the space has no more."""


@dataclass(frozen=True)
class Tried:
    """One setting and what came of it.

    Attributes:
        number: from 1, in the order of their begin.
        parameters: the setting.
        status: done, stopped (behind the others), diverged, failed or unfinished.
        rungs: the scores so far, as `worker.take_to_rung` gives them.
        reason: why it diverged or failed.
    """

    number: int
    parameters: dict[str, Any]
    status: str
    rungs: tuple[dict[str, Any], ...] = ()
    reason: str = ""

    @property
    def key(self) -> str:
        """The name of its folder."""
        return trial_key(self.parameters)

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.status in (DONE, STOPPED, DIVERGED)


def read_tried(folder: Path) -> list[Tried]:
    """What was tried so far, in order; a trial whose parameters cannot be read counts as never begun."""
    found = []
    for path in folder.glob(f"*/{PARAMETERS}"):
        begun = _plain(path, "number", "parameters")
        if begun is None or trial_key(begun["parameters"]) != path.parent.name:
            continue
        result = _plain(path.with_name(RESULT), "status", "rungs", "reason")
        failure = path.with_name(FAILURE)
        if result is not None and result["rungs"] and are_rungs(result["rungs"]):
            found.append(Tried(**begun, **result))
        elif failure.exists():
            found.append(Tried(**begun, status=FAILED, reason=first_line(failure)))
        else:
            found.append(Tried(**begun, status=UNFINISHED))
    return sorted(found, key=lambda tried: (tried.number, tried.key))


def _plain(path: Path, *keys: str) -> dict[str, Any] | None:
    """Those keys of a JSON file, of which each has to be there; None where it cannot be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {key: data[key] for key in keys}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def broken(folder: Path) -> list[str]:
    """A sentence for each file of a trial's state that cannot be read, so that the trial is not taken for finished."""
    found = []
    for path in sorted(p for name in (PARAMETERS, RESULT, RUNGS) for p in folder.glob(f"*/{name}")):
        if path.name == PARAMETERS:
            begun = _plain(path, "number", "parameters")
            whole = begun is not None and trial_key(begun["parameters"]) == path.parent.name
        elif path.name == RESULT:
            result = _plain(path, "status", "rungs", "reason")
            whole = result is not None and bool(result["rungs"]) and are_rungs(result["rungs"])
        else:
            whole = path.with_name(RESULT).exists() or read_rungs(path) is not None
        if not whole:
            found.append(f"note: {path} cannot be read: its trial is not taken for finished")
    return found


def run_search(
    study: Study, registry: Registry, store: Path, pool: Pool, console: Console, *, force: bool = False
) -> None:
    """Try settings until the search has its number of finished ones; with `force` none counts as such yet.

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
    console.print(
        f"{study.search.trials} trials of {study.search.variant} on {len(study.data)} "
        f"{'category' if len(study.data) == 1 else 'categories'}, {study.search.trials - max(0, left)} already done, "
        f"{max(0, left)} to run, {pool.workers} at a time"
    )
    if not force:
        for line in broken(folder):
            console.print(line)
    if left > 0:
        check_pool(pool)
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


def halving(search: Search, tried: Sequence[Tried]) -> ASHAScheduler:
    """ASHA that knows the scores of what is finished, so that a resumed search stops what an unbroken one would."""
    scheduler = ASHAScheduler(
        time_attr=RESOURCE,
        metric=SCORE,
        mode="max",
        max_t=search.reduction ** (search.rungs - 1),
        grace_period=1,
        reduction_factor=search.reduction,
    )
    controller: Any = None  # ASHA asks it nothing
    for t in tried:
        if t.finished:
            known: Any = SimpleNamespace(trial_id=t.key)
            scheduler.on_trial_add(controller, known)
            for i, rung in enumerate(t.rungs):
                scheduler.on_trial_result(controller, known, {RESOURCE: search.reduction**i, SCORE: rung["score"]})
    return scheduler


class Suggestions(Searcher):
    """Optuna's tree-structured Parzen estimator, which knows what is finished; nothing is suggested twice.

    What was begun comes first, then the variant as it is, where the space holds it.

    Ray's own `OptunaSearch` takes a stopped trial's score for a final one; here it is a pruned trial, which the
    estimator ranks by how far it came.
    """

    def __init__(self, study: Study, tried: Sequence[Tried], registry: Registry) -> None:
        super().__init__(metric=SCORE, mode="max")
        search = study.search
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        finished = [t for t in tried if t.finished]
        # With the search's own seed alone, a resumed search would draw its first settings once more.
        sampler = optuna.samplers.TPESampler(seed=derive_seed(search.seed, len(finished)))
        self._search = search
        self._space = {key: parameter.distribution() for key, parameter in search.space.items()}
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._running: dict[str, optuna.Trial] = {}
        self._reported: set[tuple[str, int]] = set()
        self._taken = {t.key for t in finished}
        for t in tried:
            if t.finished:
                scores = {i: rung["score"] for i, rung in enumerate(t.rungs, 1)}
                pruned = t.status == STOPPED
                self._study.add_trial(
                    optuna.trial.create_trial(
                        state=optuna.trial.TrialState.PRUNED if pruned else optuna.trial.TrialState.COMPLETE,
                        value=t.rungs[-1]["score"],
                        params=self._plain(t.parameters),
                        distributions=self._space,
                        intermediate_values=scores,
                    )
                )
            else:
                self._study.enqueue_trial(self._plain(t.parameters))
        if (usual := study.usual(registry)) is not None:
            self._study.enqueue_trial(self._plain(usual))

    def suggest(self, trial_id: str) -> dict[str, Any] | str:  # type: ignore[override]  # FINISHED is a string
        """The next setting and its key; FINISHED where all that the space has was tried."""
        for _ in range(MOST_REPEATS):
            trial = self._study.ask(self._space)
            key = trial_key({name: self._search.space[name].from_optuna(v) for name, v in trial.params.items()})
            if key not in self._taken:
                self._taken.add(key)
                self._running[trial_id] = trial
                return {"key": key, "parameters": dict(trial.params)}
            self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return str(Searcher.FINISHED)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """A rung is reached, and the trial goes on."""
        self._report(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial ended, was stopped or failed."""
        if error or result is None:
            self._study.tell(self._running.pop(trial_id), state=optuna.trial.TrialState.FAIL)
            return
        self._report(trial_id, result)
        trial = self._running.pop(trial_id)
        if result["status"] in (DONE, DIVERGED):
            self._study.tell(trial, result[SCORE])
        else:
            self._study.tell(trial, state=optuna.trial.TrialState.PRUNED)

    def _plain(self, parameters: dict[str, Any]) -> dict[str, Any]:
        return {name: self._search.space[name].to_optuna(value) for name, value in parameters.items()}

    def _report(self, trial_id: str, result: dict[str, Any]) -> None:
        if (trial_id, result["rung"]) not in self._reported:  # a trial that is tried again comes by once more
            self._reported.add((trial_id, result["rung"]))
            self._running[trial_id].report(result[SCORE], result["rung"])

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what is known is in the trials' folders."""

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""


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


def shown(value: Any) -> str:
    """A parameter's value for people: 0.0123, gfrb, {name: gfrb, scan: hilbert8}."""
    if isinstance(value, float):
        return f"{value:.4g}"
    text: str = dump_yaml(value, default_flow_style=True, width=1000)
    return text.removesuffix("...\n").strip()
