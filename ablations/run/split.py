"""How the cores of this machine are split between trials at a time and threads of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import sleep
from typing import TypeAlias

from dlkd.ablations.plan.cells import Cell
from dlkd.ablations.run.costs import MeasureError
from dlkd.ablations.run.pool import Pool
from dlkd.ablations.run.step_times import StepTimes, known, measure_steps
from dlkd.machine import cores as usable_cores
from dlkd.machine import running_elsewhere

MEASURED_FROM = 16
"""Cells per core from which a measurement pays: fewer are over soon."""

GAIN = 1.05
"""A split with more threads must be so many times as fast as one with fewer."""

LOOKS = 5
"""How often it is looked whether other programs compute, a tenth of a second apart."""

Measure: TypeAlias = Callable[[Sequence[Cell], Pool, int], StepTimes]


def split(
    pool: Pool, cells: Sequence[Cell], todo: int, *, say: Callable[[str], None], measure: Measure = measure_steps
) -> Pool:
    """The pool with its trials at a time and threads chosen, unless they were asked for (`Pool.split`).

    Fewer cells than cores share all cores. More take what is known of such steps on this machine; where nothing is, the
    cells are many, none is done and no other program computes, it is measured. All cells decide, those that are done
    too, so that a run that goes on has the threads that it began with: the results then are the same to the last bit.

    Args:
        pool: of the run.
        cells: of the run.
        todo: how many of them are to be trained.
        say: is told what was chosen, and why.
        measure: gives the times of steps.
    """
    cores = usable_cores()
    if not pool.split or cores == 1 or not todo:
        return pool
    if len(cells) < cores:
        return _said(pool, len(cells), cores // len(cells), f"{len(cells)} in all on {cores} cores", say)
    times = known(cells, pool, cores)
    if times is None:
        if todo < len(cells) or len(cells) < MEASURED_FROM * cores:
            return pool
        if _busy():
            say(f"note: other programs compute: steps are not measured, and {_split(pool.workers, pool.threads)}")
            return pool
        say(f"measuring steps of the largest model on {cores} cores, to choose trials at a time and threads of each")
        try:
            times = measure(cells, pool, cores)
        except MeasureError as error:
            say(f"note: steps were not measured: {error}")
            return pool
    threads = fastest(times, len(cells), cores)
    each = ", ".join(
        f"{seconds:.2g} s with {_threads(count)}, {cores // count} at a time" for count, seconds in times.items()
    )
    return _said(pool, cores // threads, threads, f"a step of the largest model takes {each}", say)


def fastest(times: StepTimes, cells: int, cores: int) -> int:
    """The number of threads with which so many cells of one length end first; the least of those near it.

    >>> fastest({1: 1.0, 2: 0.6}, 8, 2), fastest({1: 1.0, 2: 0.6}, 3, 2), fastest({1: 1.3, 2: 0.6}, 8, 2)
    (1, 2, 2)
    """
    takes = {threads: math.ceil(cells / (cores // threads)) * seconds for threads, seconds in times.items()}
    return min(threads for threads, seconds in takes.items() if seconds <= GAIN * min(takes.values()))


def _busy() -> bool:
    """Whether other programs compute: in each of a few looks, since any process may be awake in one of them."""
    for _ in range(LOOKS):
        if not running_elsewhere():
            return False
        sleep(0.1)
    return True


def _said(pool: Pool, workers: int, threads: int, why: str, say: Callable[[str], None]) -> Pool:
    say(f"{_split(workers, threads)}: {why}")
    return replace(pool, workers=workers, threads=threads)


def _split(workers: int, threads: int) -> str:
    return f"{workers} {'trial is' if workers == 1 else 'trials are'} trained at a time, with {_threads(threads)} each"


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
