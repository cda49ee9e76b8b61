"""What gives cells to Ray Tune: all of a list, or bit by bit as the results of earlier ones say; and their order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import BasicVariantGenerator, Searcher

from dlkd.ablations.plan.cells import Cell


class Feed(Protocol):
    """Asks for cells.

    Attributes:
        everything: all cells that may be asked for.
        asked: those asked for until now.
        taken: those that workers were given.
        waits: whether more may be asked for once running cells have ended.
    """

    @property
    def everything(self) -> Sequence[Cell]: ...

    @property
    def asked(self) -> Sequence[Cell]: ...

    @property
    def taken(self) -> Sequence[Cell]: ...

    @property
    def waits(self) -> bool: ...

    def begin(self, missing: Iterable[str]) -> Sequence[Cell]:
        """Take the keys that have no result; the cells to train first."""

    def take(self) -> Cell | None:
        """The next cell for a free worker; None where there is none now."""

    def ended(self, key: str) -> Sequence[Cell]:
        """Take that a cell has its result or failed; what is asked for since."""


class Suggestions(Searcher):
    """Hands the cells of a feed to Tune, whenever a worker is free."""

    def __init__(self, feed: Feed, taken: Callable[[Cell], None]) -> None:
        super().__init__()
        self._feed = feed
        self._taken = taken

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles what it is given for a restore that is never asked for; a feed holds a display, and locks."""
        return {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Suggestions:
        """Itself: there is one feed."""
        return self

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]  # FINISHED is a string
        """The next cell; None while running ones may lead to more; FINISHED where nothing will."""
        cell = self._feed.take()
        if cell is None:
            return None if self._feed.waits else str(Searcher.FINISHED)
        self._taken(cell)
        return {"cell": cell.key}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: `CellEvents` knows when a result has come here."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what is known is in the store."""

    def restore(self, checkpoint_path: str) -> None:
        """See `save`."""


def listed(keys: Sequence[str], at_once: int | None) -> BasicVariantGenerator:
    """Hands the cells of these keys to Tune in their order, `at_once` of them; None is as many as there is room for.

    To be used beside the search space `{"cell": None}`. A grid search would be shorter to write, but for each of its
    cells Tune copies the list of all before the first one begins.
    """
    return BasicVariantGenerator(points_to_evaluate=[{"cell": key} for key in keys], max_concurrent=at_once or 0)


class InOrder(FIFOScheduler):
    """Tune's own order: the first trial that waits. Tune's looks at every ended trial, several times per cell."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ended = 0  # so many trials, from the first, have ended; one that is tried again stands at the end

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The first trial that waits, None without one."""
        trials: list[Trial] = tune_controller.get_trials()
        while self._ended < len(trials) and trials[self._ended].is_finished():  # type: ignore[no-untyped-call]
            self._ended += 1
        later = (trials[i] for i in range(self._ended, len(trials)))
        return next((trial for trial in later if trial.status == Trial.PENDING), None)
