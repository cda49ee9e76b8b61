"""Where models train and score."""

from __future__ import annotations

import os

import torch


def device() -> torch.device:
    """Where models train and score: the first GPU that this process sees, else the CPU.

    CUDA_VISIBLE_DEVICES is read anew: CUDA itself reads it once only.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1")
    return torch.device("cuda" if not hidden and torch.cuda.is_available() else "cpu")


def hide_gpus() -> None:
    """From here on this process sees no GPU: `device` is the CPU."""
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        os.environ[name] = ""
