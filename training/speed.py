"""Time and memory of scoring with a model, measured in a process that does nothing else."""

from __future__ import annotations

import ctypes
import hashlib
import platform
import statistics
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dlkd.models.detector import Detector
from dlkd.training.device import exact_float32

BATCH = 8
WARM, LEAST, MOST = 2, 3, 200
"""Runs before the timed ones, and the fewest and most timed ones."""


def measure(model: Detector, sides: tuple[int, int], seconds: float = 1.0) -> dict[str, float]:
    """Time and memory of scores and maps of normalised images of `sides` (height, width), on the model's device.

    Args:
        model: with its weights, in eval mode.
        sides: height and width of the images, which are noise.
        seconds: for the timed runs of each batch size, whose median is taken.

    Returns:
        `latency_1` and `latency_8`, seconds of a batch of so many images; `images_per_second` in batches of 8;
        `peak_memory_bytes`, of the weights and of scoring a batch of 8. On a GPU these are CUDA's events and PyTorch's
        allocated memory; on a CPU what the process grows by while it scores, so that the process must be a new one.
    """
    noise = torch.randn(BATCH, 3, *sides, generator=torch.Generator().manual_seed(0)).to(model.device)
    with torch.inference_mode(), exact_float32():
        latency_1 = _median(lambda: model.detect(noise[:1]), model.device, seconds)
        begun = _begin_peak(model.device)
        latency_8 = _median(lambda: model.detect(noise), model.device, seconds)
        grown = max(0, _peak(model.device) - begun)
    return {
        "latency_1": latency_1,
        "latency_8": latency_8,
        "images_per_second": BATCH / latency_8,
        "peak_memory_bytes": float(_weights(model) + grown),
    }


def operations(model: Detector, sides: tuple[int, int]) -> str:
    """Digest of all that PyTorch runs for the scores and maps of an image of `sides`: each operator with its shapes.

    Models of one digest take the same time: they differ in weights, or in what a training alone uses.
    """
    seen = _Operations()
    image = torch.zeros(1, 3, *sides, device=model.device)
    with torch.inference_mode(), exact_float32(), seen:
        model.detect(image)
    return seen.digest.hexdigest()[:16]


class _Operations(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.digest = hashlib.sha256()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [_said(x) for x in tree_leaves((args, kwargs))]
        self.digest.update(f"{func} {given}".encode())
        return func(*args, **(kwargs or {}))


def _said(given: Any) -> str:
    """An argument as far as time depends on it."""
    if isinstance(given, Tensor):
        return f"{tuple(given.shape)} {given.stride()} {given.dtype}"
    plain = isinstance(given, bool | int | str | torch.dtype | torch.device | torch.memory_format)
    return str(given) if plain else type(given).__name__


def _median(run: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Seconds of a run: the median of runs for about so many seconds, after some that find kernels and memory."""
    for _ in range(WARM):
        run()
    taken: list[float] = []
    begun = perf_counter()
    while len(taken) < LEAST or (len(taken) < MOST and perf_counter() - begun < seconds):
        taken.append(_seconds(run, device))
    return statistics.median(taken)


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        run()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1000
    begun = perf_counter()
    run()
    return perf_counter() - begun


def _weights(model: Detector) -> int:
    """Bytes of parameters and buffers."""
    return sum(tensor.nbytes for tensor in chain(model.parameters(), model.buffers()))


def _begin_peak(device: torch.device) -> int:
    """Forget the peak so far; the bytes that are held now, without what was freed."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
    with suppress(OSError):  # elsewhere than on Linux the peak is that of the process so far
        Path("/proc/self/clear_refs").write_text("5")
    return _of_process("VmRSS")


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated()
    return _of_process("VmHWM")


def _of_process(name: str) -> int:
    """Bytes of memory that this process holds (VmRSS), or held at most (VmHWM)."""
    with suppress(OSError, LookupError, ValueError):
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return 1024 * int({key: rest for key, _, rest in (line.partition(":") for line in lines)}[name].split()[0])
    import resource  # not on every system; its peak would be that of the parent on Linux, until this process has more

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
