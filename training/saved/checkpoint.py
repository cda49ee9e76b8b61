"""Checkpoints of a training: written whole or not at all, read without running code."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO

from dlkd.training.saved.state import read_state
from dlkd.training.saved.weights import write_whole
from dlkd.training.trials.trial_folder import LAST


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints, written atomically and read without unpickling code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write the checkpoint. Raises CheckpointError (a full disk, say); the one before it stays."""
        del storage_options
        write_whole(Path(path), lambda temporary: torch.save(checkpoint, temporary))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read the checkpoint. Raises CheckpointError where it is broken."""
        del weights_only
        return read_state(path, map_location)


class SaveLast(L.Callback):
    """Writes `last.ckpt` at the end of a whole epoch once `seconds` have passed since it was last written.

    Args:
        folder: receives it.
        seconds: see above.
        keep: write it at the end of the last whole epoch too, so that a longer training can go on from there. The
            order of images in an epoch is drawn at its beginning, so that a cut epoch cannot be gone on with.
        max_steps: where the training is cut; -1 for nowhere.
    """

    def __init__(self, folder: Path, seconds: float, *, keep: bool = False, max_steps: int = -1) -> None:
        self.path = folder / LAST
        self.seconds = seconds
        self.keep = keep
        self.max_steps = max_steps
        self._written = monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save if it is time."""
        del pl_module
        if not trainer.is_last_batch:  # max_steps cut the epoch
            return
        epochs = trainer.max_epochs or 0
        next_end = trainer.global_step + int(trainer.num_training_batches)
        last = trainer.current_epoch + 1 >= epochs or 0 < self.max_steps < next_end
        if (self.keep and last) or monotonic() - self._written >= self.seconds:
            trainer.save_checkpoint(self.path)
            self._written = monotonic()
