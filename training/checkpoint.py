"""Checkpoints and weights: written whole or not at all, read without running code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dlkd.files import atomic_path
from dlkd.models.detector import Detector, kept_state, load_kept
from dlkd.training.trials.trial_folder import LAST


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be written or read; names the file, what is wrong and what is left."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints, written atomically and read without unpickling code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write the checkpoint. Raises CheckpointError (a full disk, say); the one before it stays."""
        del storage_options
        _write(Path(path), lambda temporary: torch.save(checkpoint, temporary))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read the checkpoint. Raises CheckpointError where it is broken."""
        del weights_only
        try:
            checkpoint: dict[str, Any] = torch.load(path, map_location=map_location or "cpu", weights_only=True)
        except Exception as error:  # torch raises a dozen kinds for a broken archive
            raise CheckpointError(f"cannot read the checkpoint {path}: {error}") from error
        return checkpoint


def trained(checkpoint: Path) -> tuple[int, int]:
    """Whole epochs and steps that a checkpoint has trained. Raises CheckpointError where it is broken."""
    state = AtomicCheckpointIO().load_checkpoint(checkpoint)
    try:
        return int(state["epoch"]) + 1, int(state["global_step"])
    except (LookupError, TypeError, ValueError) as error:
        raise CheckpointError(f"cannot read the checkpoint {checkpoint}: it does not say how far it came") from error


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


def save_weights(model: Detector, path: Path) -> None:
    """Write the model's weights but those of frozen parts, which its spec names, as safetensors."""
    state = kept_state(model)
    _write(path, lambda temporary: save_file(state, temporary))


def load_weights(model: Detector, path: Path) -> None:
    """Read weights written by `save_weights`. Raises CheckpointError where they do not fit the model."""
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read the weights {path}: {error}") from error
    try:
        load_kept(model, state)
    except RuntimeError as error:
        reason = _misfit(model, state) or error
        raise CheckpointError(f"the weights {path} do not fit this variant: {reason}") from error


def _misfit(model: Detector, state: Mapping[str, Tensor]) -> str:
    """Why weights do not fit, with the first names of each kind: another network differs in hundreds."""
    here = kept_state(model)
    kinds = {
        "missing": [name for name in here if name not in state],
        "of no use": [name for name in state if name not in here],
        "of another shape": [n for n, value in here.items() if n in state and state[n].shape != value.shape],
    }
    told = [
        f"{len(names)} tensors are {kind} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for kind, names in kinds.items()
        if names
    ]
    return f"of another network than this {type(model).__name__}: {'; '.join(told)}" if told else ""


def _write(path: Path, write: Callable[[Path], None]) -> None:
    try:
        with atomic_path(path) as temporary:
            write(temporary)
    except (
        OSError,
        RuntimeError,
        SafetensorError,
    ) as error:  # torch and safetensors wrap a full disk in their own
        kept = "; the file before it is whole" if path.exists() else ""
        raise CheckpointError(
            f"cannot write {path}: {error}{kept}. Free some space and run again with --resume."
        ) from error
