"""How cells are given to Ray Tune, in which order, and what is left of an ended one."""

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from ray import tune
from ray.tune.experiment import Experiment, Trial
from ray.tune.schedulers import FIFOScheduler

from dlkd.ablations.run.display import Display
from dlkd.ablations.run.events import CellEvents
from dlkd.ablations.run.feed import InOrder, listed


class Key(str):
    """Counts how often keys are copied."""

    __slots__ = ()
    copies = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> "Key":
        Key.copies += 1
        return self


def test_each_cell_is_given_once_in_order_without_a_copy_of_all(tmp_path: Path) -> None:
    keys = [Key(f"{i:016x}") for i in range(60)]
    given = listed(keys, at_once=2)
    space: dict[str, Any] = {"cell": None}
    given.add_configurations(
        Experiment("cells", tune.Trainable, storage_path=str(tmp_path), config=space, num_samples=len(keys))
    )
    asked, Key.copies = [], 0
    while not given.is_finished():
        batch = [given.next_trial() for _ in range(3)]
        assert None in batch  # two at once, or no more
        for trial in filter(None, batch):
            asked.append(trial.config["cell"])
            given.on_trial_complete(trial.trial_id)
    assert asked == keys
    assert Key.copies < 10 * len(keys)


def test_the_order_is_tunes_own_also_with_trials_that_are_tried_again() -> None:
    rng = random.Random(0)
    trials: list[Any] = []
    for number in range(30):
        trial = SimpleNamespace(number=number, status=Trial.PENDING)
        trial.is_finished = lambda trial=trial: trial.status in (Trial.TERMINATED, Trial.ERROR)
        trials.append(trial)
    controller = cast(Any, SimpleNamespace(get_trials=lambda: trials))
    ours, theirs = InOrder(), FIFOScheduler()
    running: list[Any] = []
    while any(not trial.is_finished() for trial in trials):
        chosen = ours.choose_trial_to_run(controller)
        assert chosen is theirs.choose_trial_to_run(controller)
        if chosen is not None and len(running) < 3:
            cast(Any, chosen).status = Trial.RUNNING
            running.append(chosen)
            continue
        trial = running.pop(rng.randrange(len(running)))
        trial.status = rng.choice([Trial.TERMINATED, Trial.TERMINATED, Trial.ERROR, Trial.PENDING])
        if trial.status == Trial.PENDING:  # failed, and tried again: Tune puts it behind the others
            trials.append(trials.pop(trials.index(trial)))


class Shown:
    """In the place of a display."""

    def finished(self, key: str) -> None:
        """Nothing."""


def test_what_tune_keeps_of_ended_trials_is_little(tmp_path: Path) -> None:
    """And what all trials have is kept once."""
    figures = {"training_iteration": {"max": 1}}
    trials = [
        SimpleNamespace(
            config={"cell": key},
            metric_analysis=dict(figures),
            metric_n_steps=dict(figures),
            run_metadata=SimpleNamespace(last_result={"done": True, "key": key, "pid": 1}),
            placement_group_factory=tune.PlacementGroupFactory([{"CPU": 1}]),
        )
        for key in "ab"
    ]
    events = CellEvents(cast(Display, Shown()), tmp_path, None)
    for trial in trials:
        events.on_trial_complete(1, trials, trial)
        assert not trial.metric_analysis
        assert not trial.metric_n_steps
        assert trial.run_metadata.last_result == {"done": True}
    assert trials[1].placement_group_factory is trials[0].placement_group_factory
