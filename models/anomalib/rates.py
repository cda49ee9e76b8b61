"""Optimisers and learning rates of a Lightning module, as functions of the step alone."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from torch.optim import Optimizer


def configured(found: Any) -> tuple[list[Optimizer], list[Mapping[str, Any]]]:
    """Optimisers and schedules of what `configure_optimizers` returned, in any of the forms that Lightning takes.

    A schedule is {"scheduler": ..., "interval": "epoch" or "step", "frequency": ...}, with Lightning's defaults.
    """
    if found is None:
        return [], []
    if isinstance(found, Optimizer):
        return [found], []
    if isinstance(found, Mapping):
        return [found["optimizer"]], _schedules([found["lr_scheduler"]] if "lr_scheduler" in found else [])
    if len(found) == 2 and all(isinstance(part, list | tuple) for part in found):
        return list(found[0]), _schedules(found[1])
    each = [configured(one) for one in found]
    return [o for optimizers, _ in each for o in optimizers], [s for _, schedules in each for s in schedules]


def _schedules(given: Sequence[Any]) -> list[Mapping[str, Any]]:
    usual = {"interval": "epoch", "frequency": 1}
    return [usual | (dict(one) if isinstance(one, Mapping) else {"scheduler": one}) for one in given]


class Rates:
    """Learning rates of one training: its schedules, stepped as Lightning would have done it until some step.

    Args:
        optimizers: of which only the parameter groups are read; those that are trained are others of the same form.
        schedules: of these, from `configured`.
        epoch_steps: steps of an epoch.

    Attributes:
        at: steps that are done.
    """

    def __init__(
        self, optimizers: Sequence[Optimizer], schedules: Sequence[Mapping[str, Any]], epoch_steps: int
    ) -> None:
        self.optimizers = optimizers
        self.schedules = schedules
        self.epoch_steps = epoch_steps
        self.at = 0

    def set(self, step: int, optimizers: Sequence[Optimizer]) -> None:
        """Give the groups of `optimizers` what those of this training have at `step`, which is not below `at`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "before `optimizer.step()`": these optimisers never step
            while self.at < step:
                epochs, batches = divmod(self.at, self.epoch_steps)
                self._advance("step", batches + 1)
                if batches + 1 == self.epoch_steps:
                    self._advance("epoch", epochs + 1)
                self.at += 1
        for ours, theirs in zip(optimizers, self.optimizers, strict=True):
            for group, other in zip(ours.param_groups, theirs.param_groups, strict=True):
                group.update({key: value for key, value in other.items() if key != "params"})

    def _advance(self, interval: str, done: int) -> None:
        """Step the schedules of an interval after so many steps of an epoch, or epochs, if their frequency says so."""
        for each in self.schedules:
            if each["interval"] == interval and done % each["frequency"] == 0:
                each["scheduler"].step()
