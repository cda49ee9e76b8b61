"""Times of runs on a device, in rounds that run each candidate once."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from time import perf_counter

import torch

Run = Callable[[], object]
WARM, LEAST = 3, 5
"""Runs of each candidate before the timed ones, which find kernels and memory; fewest timed rounds."""


def seconds(run: Run, device: torch.device, repeat: int = 1) -> float:
    """Seconds of a run, the mean of `repeat`; on a GPU between two events, with the gaps between launches."""
    if device.type == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(repeat):
            run()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / 1000 / repeat
    begun = perf_counter()
    for _ in range(repeat):
        run()
    return (perf_counter() - begun) / repeat


def medians(runs: Mapping[str, Run], device: torch.device, budget: float, repeat: int = 1) -> dict[str, float]:
    """Median seconds of each run over rounds for about `budget` seconds; without a budget one round."""
    for run in runs.values():
        for _ in range(WARM if budget else 1):
            run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    times: dict[str, list[float]] = {name: [] for name in runs}
    begun = perf_counter()
    while perf_counter() - begun < budget or len(next(iter(times.values()))) < (LEAST if budget else 1):
        for name, run in runs.items():
            times[name].append(seconds(run, device, repeat))
    return {name: statistics.median(found) for name, found in times.items()}
