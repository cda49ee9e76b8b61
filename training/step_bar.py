"""Progress bars on stderr: over the steps of a training, and over batches that are scored."""

from __future__ import annotations

from collections.abc import Iterable
from time import monotonic
from typing import Any, TypeVar

import lightning as L
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn, track

T = TypeVar("T")
LOOK_EVERY = 0.2
"""Seconds after which a bar shows the loss anew: to read it from a GPU waits for the step."""


def progress(batches: Iterable[T], doing: str, *, shown: bool) -> Iterable[T]:
    """The batches one by one, with a bar of what is done and the time left where it is to be shown."""
    return track(batches, description=doing, console=Console(stderr=True)) if shown else batches


def planned_steps(trainer: L.Trainer, max_steps: int) -> int:
    """Steps of a whole training, `max_steps` at most unless that is -1."""
    steps = int(trainer.estimated_stepping_batches)
    return steps if max_steps < 0 else min(steps, max_steps)


class StopAfter(L.Callback):
    """Ends a training after `max_steps`.

    Lightning's own limit makes a resumed training run the checkpoint's epoch once more.
    """

    def __init__(self, max_steps: int) -> None:
        self.max_steps = max_steps

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop at once where the checkpoint is that far."""
        trainer.should_stop = trainer.global_step >= self.max_steps

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop where it is time."""
        trainer.should_stop = trainer.global_step >= self.max_steps


class StepBar(L.Callback):
    """Steps done of all, time left and loss: epochs say little where `max_steps` ends the training."""

    def __init__(self, max_steps: int, console: Console | None = None) -> None:
        self.max_steps = max_steps
        columns = (
            TextColumn("training, steps", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("loss {task.fields[loss]:.4g}", markup=False),
        )
        self.bar = Progress(*columns, console=console or Console(stderr=True))
        self.task = self.bar.add_task("", total=None, loss=float("nan"))
        self.looked, self.loss = -LOOK_EVERY, float("nan")

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Show it, with the steps of a training that goes on."""
        del pl_module
        self.bar.update(self.task, total=planned_steps(trainer, self.max_steps), completed=trainer.global_step)
        self.bar.start()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """A step further."""
        if monotonic() - self.looked >= LOOK_EVERY:
            self.looked, self.loss = monotonic(), float(outputs["loss"])
        self.bar.update(self.task, completed=trainer.global_step, loss=self.loss)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leave the bar as it is."""
        self.bar.stop()

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Give the terminal back."""
        self.bar.stop()
