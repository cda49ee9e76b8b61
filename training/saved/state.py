"""A training's checkpoint, read without running code and without Lightning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from dlkd.training.saved.weights import CheckpointError


def read_state(path: Path, map_location: Any = None) -> dict[str, Any]:
    """What a checkpoint holds. Raises CheckpointError where it is broken."""
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location=map_location or "cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen kinds for a broken archive
        raise CheckpointError(f"cannot read the checkpoint {path}: {error}") from error
    return checkpoint


def trained(checkpoint: Path) -> tuple[int, int]:
    """Whole epochs and steps that a checkpoint has trained. Raises CheckpointError where it is broken."""
    state = read_state(checkpoint)
    try:
        return int(state["epoch"]) + 1, int(state["global_step"])
    except (LookupError, TypeError, ValueError) as error:
        raise CheckpointError(f"cannot read the checkpoint {checkpoint}: it does not say how far it came") from error
