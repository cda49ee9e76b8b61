"""Checkpoints and weights: written whole or not at all, read without running code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from dlkd.files import atomic_path

LAST = "last.ckpt"
WEIGHTS = "weights.safetensors"
TEACHER = "teacher."


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


class SaveLast(L.Callback):
    """Writes `last.ckpt` at the end of an epoch once `seconds` have passed since it was last written."""

    def __init__(self, folder: Path, seconds: float) -> None:
        self.path = folder / LAST
        self.seconds = seconds
        self._written = monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save if it is time."""
        del pl_module
        if monotonic() - self._written >= self.seconds:
            trainer.save_checkpoint(self.path)
            self._written = monotonic()


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the model's weights but the frozen teacher's, which its spec names, as safetensors."""
    state = {k: v.contiguous().cpu() for k, v in model.state_dict().items() if not k.startswith(TEACHER)}
    _write(path, lambda temporary: save_file(state, temporary))


def load_weights(model: nn.Module, path: Path) -> None:
    """Read weights written by `save_weights`. Raises CheckpointError where they do not fit the model."""
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read the weights {path}: {error}") from error
    kept = {k: v for k, v in model.state_dict().items() if k.startswith(TEACHER)}
    try:
        model.load_state_dict(state | kept)
    except RuntimeError as error:
        raise CheckpointError(f"the weights {path} do not fit this variant: {error}") from error


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
