"""Kernels that release the GIL, run in as many threads as PyTorch uses.

On Linux they run in PyTorch's own OpenMP threads, with which any other thread would have to share a core: by default
these spin for milliseconds after every PyTorch operation (not where OMP_WAIT_POLICY is passive, which `dlkd` sets).
Elsewhere, and in a forked child, where OpenMP's threads are gone and using them would hang, they run in a thread pool.
Numba's threading layers are avoided: one aborts when called from two threads at once, another after a fork.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import torch

from dlkd.machine import cores

_Task = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_pool: ThreadPoolExecutor | None = None
_forked = False


def in_threads(tasks: int, run: Callable[[int, int], None]) -> None:
    """Call run(first, last) on ranges that cover range(tasks), at most `torch.get_num_threads()` at once."""
    threads = min(torch.get_num_threads(), tasks)
    if threads <= 1:
        run(0, tasks)
        return
    pieces = min(tasks, 4 * threads)  # a few per thread: a thread that is held up holds up little
    ranges = iter([(tasks * i // pieces, tasks * (i + 1) // pieces) for i in range(pieces)])

    def work() -> None:
        for first, last in ranges:
            run(first, last)

    openmp = None if _forked else _openmp()
    if openmp is not None:
        _run_in_openmp(openmp, threads, work)
    else:
        _run_in_pool(threads, work)


def busy_parts(samples: int, *, most: int) -> int:
    """Parts that each of so many samples is cut into: as few as keep all threads busy; at most `most`, at least one."""
    threads, most = torch.get_num_threads(), max(1, most)
    return next((n for n in range(1, most) if samples * n % threads == 0 or samples * n >= 4 * threads), most)


def _run_in_openmp(openmp: ctypes.CDLL, threads: int, work: Callable[[], None]) -> None:
    errors: list[BaseException] = []

    def task(_: int | None) -> None:
        try:
            work()
        except BaseException as error:  # ctypes would print it and go on
            errors.append(error)

    openmp.GOMP_parallel(_Task(task), None, threads, 0)
    if errors:
        raise errors[0]


def _run_in_pool(threads: int, work: Callable[[], None]) -> None:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(max(threads, cores()), thread_name_prefix="dlkd-scan")
    others = [_pool.submit(work) for _ in range(threads - 1)]
    work()
    for other in others:
        other.result()


@lru_cache(maxsize=1)
def _openmp() -> ctypes.CDLL | None:
    """The OpenMP runtime that PyTorch has loaded, if it is GNU's."""
    try:
        library = ctypes.CDLL("libgomp.so.1", mode=os.RTLD_NOLOAD | os.RTLD_NOW)
        library.GOMP_parallel.argtypes = [_Task, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        library.GOMP_parallel.restype = None
    except (OSError, AttributeError):  # not loaded, or no such flag on this system
        return None
    return library


def _after_fork() -> None:
    global _pool, _forked
    _pool, _forked = None, True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
