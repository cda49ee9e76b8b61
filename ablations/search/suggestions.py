"""Which setting a search tries next, and which it stops: Optuna and ASHA, told what is finished."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import optuna
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import Searcher

from dlkd.ablations.search.definition import Search
from dlkd.ablations.search.records import DIVERGED, DONE, STOPPED, Tried, trial_key
from dlkd.ablations.search.study import Study
from dlkd.registry import Registry
from dlkd.training.seeds import derive_seed

SCORE, RESOURCE = "score", "resource"
MOST_REPEATS = 100
"""So many suggestions in a row that have been tried before: the space has no more."""


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
