"""A model's weights as safetensors: written whole or not at all, and read without Lightning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dlkd.files import atomic_path
from dlkd.models.detector import Detector, kept_state, load_kept


class CheckpointError(RuntimeError):
    """A checkpoint that cannot be written or read; names the file, what is wrong and what is left."""


def save_weights(model: Detector, path: Path) -> None:
    """Write the model's weights but those of frozen parts, which its spec names, as safetensors."""
    state = kept_state(model)
    write_whole(path, lambda temporary: save_file(state, temporary))


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


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file atomically with `write`. Raises CheckpointError (a full disk, say); the file before it stays."""
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
