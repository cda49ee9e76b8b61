"""Where models train and score."""

from __future__ import annotations

import os

import torch

from dlkd.machine import choose_threads


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


def take_threads(asked: int | None) -> str:
    """Set PyTorch's threads, by default to the cores that are free; a line where others compute too, else ""."""
    threads, said = choose_threads(asked)
    torch.set_num_threads(threads)
    return said
