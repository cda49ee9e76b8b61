"""Threads for kernels: every task once, errors come out, forks and several callers at once are safe."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch

from dlkd.blocks.kernels import threads
from dlkd.blocks.kernels.threads import in_threads


@pytest.fixture(params=["openmp", "pool"], autouse=True)
def two_threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if request.param == "pool":
        monkeypatch.setattr(threads, "_openmp", lambda: None)
    elif threads._openmp() is None:
        pytest.skip("PyTorch is not built with GNU OpenMP here")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("tasks", [0, 1, 2, 7, 8, 100])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_task_runs_once(tasks: int, count: int) -> None:
    torch.set_num_threads(count)
    done: list[int] = []
    in_threads(tasks, lambda first, last: done.extend(range(first, last)))
    assert sorted(done) == list(range(tasks))


def test_uses_as_many_threads_as_pytorch() -> None:
    both = threading.Barrier(2, timeout=60)  # passes only when two threads wait at once
    seen: set[int] = set()

    def run(first: int, last: int) -> None:
        if threading.get_ident() not in seen:
            seen.add(threading.get_ident())
            both.wait()

    in_threads(8, run)
    assert len(seen) == 2


def test_an_error_comes_out() -> None:
    def run(first: int, last: int) -> None:
        if first <= 5 < last:
            raise KeyError("five")

    with pytest.raises(KeyError, match="five"):
        in_threads(8, run)


def _count(results: Any) -> None:
    done: list[int] = []
    torch.set_num_threads(2)
    in_threads(10, lambda first, last: done.extend(range(first, last)))
    results.put(sorted(done))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_works_in_a_child_after_use_in_the_parent(method: str) -> None:
    in_threads(8, lambda first, last: None)
    context = multiprocessing.get_context(method)
    results = context.Queue()
    child = context.Process(target=_count, args=(results,))
    child.start()
    try:
        assert results.get(timeout=120) == list(range(10))
    finally:
        child.join(timeout=30)
        child.kill()


def test_several_callers_at_once() -> None:
    def call(_: int) -> list[int]:
        done: list[int] = []
        in_threads(20, lambda first, last: done.extend(range(first, last)))
        return sorted(done)

    with ThreadPoolExecutor(4) as callers:
        assert list(callers.map(call, range(20))) == [list(range(20))] * 20
