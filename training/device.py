"""Where models train and score."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

from dlkd.machine import choose_threads
from dlkd.training.one_process import PrecisionGate


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


def exact_float32() -> AbstractContextManager[None]:
    """Within this products and convolutions of float32 on a GPU are in float32, and not in TF32, which keeps 10 bits.

    PyTorch takes TF32 for convolutions unless it is told otherwise. Maps and metrics of a GPU are then those of a CPU
    but for the order of sums. Steps of trainings in other threads of this process wait meanwhile.
    """
    return PRECISION.section()


@contextmanager
def _exact_float32() -> Iterator[None]:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    try:
        before = torch.get_float32_matmul_precision(), matmul.allow_tf32, cudnn.allow_tf32
    except RuntimeError:  # the names of PyTorch 2.9 were used in this process; it lets no one mix them with the others
        named: list[Any] = [matmul, cudnn.conv]  # type: ignore[attr-defined]
        was = [place.fp32_precision for place in named]
        for place in named:
            place.fp32_precision = "ieee"
        try:
            yield
        finally:
            for place, precision in zip(named, was, strict=True):
                place.fp32_precision = precision
        return
    torch.set_float32_matmul_precision("highest")
    cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        cudnn.allow_tf32 = before[2]


PRECISION = PrecisionGate(_exact_float32)
"""Of this process. Steps of trainings pass it too, for PyTorch reads the precision when it launches a kernel."""
