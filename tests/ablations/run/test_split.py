"""The split of cores between trials and threads: by the time of steps, which is measured once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dlkd.ablations.plan.cells import Cell
from dlkd.ablations.run import split as split_module
from dlkd.ablations.run.costs import MeasureError
from dlkd.ablations.run.pool import Pool
from dlkd.ablations.run.split import fastest, split
from dlkd.ablations.run.step_times import StepTimes, choices, known, measure_steps
from dlkd.ablations.run_grids import make_pool
from dlkd.text import Terminal

MakeCells = Callable[..., list[Cell]]
FREE = Pool(workers=4, split=True)


class Timer:
    """Gives times without a measurement; notes how often it was asked."""

    def __init__(self, times: StepTimes) -> None:
        self.times, self.asked = times, 0

    def __call__(self, cells: object, pool: Pool, cores: int) -> StepTimes:
        self.asked += 1
        return self.times


@pytest.fixture
def many(make_tiny_cells: MakeCells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Cell]:
    """Eighty cells, for four cores on which nothing else computes."""
    monkeypatch.setenv("DLKD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(split_module, "usable_cores", lambda: 4)
    monkeypatch.setattr(split_module, "running_elsewhere", lambda: 0)
    return make_tiny_cells() * 40


def chosen(
    pool: Pool, cells: list[Cell], timer: Timer, said: list[str] | None = None, todo: int | None = None
) -> tuple[int, int]:
    found = split(
        pool, cells, len(cells) if todo is None else todo, say=(said if said is not None else []).append, measure=timer
    )
    return found.workers, found.threads


@pytest.mark.parametrize(
    ("times", "cells", "threads"),
    [
        ({1: 1.0, 2: 0.6, 4: 0.4}, 20, 1),
        ({1: 1.0, 2: 0.4, 4: 0.3}, 20, 2),  # trials at a time hinder each other
        ({1: 1.0, 2: 0.6, 4: 0.2}, 20, 4),
        ({1: 1.0, 2: 0.49, 4: 0.3}, 20, 1),  # a gain that may be chance
        ({1: 1.0, 2: 0.6, 4: 0.3}, 5, 4),  # the fifth cell would be alone
    ],
)
def test_the_split_ends_first(times: StepTimes, cells: int, threads: int) -> None:
    assert fastest(times, cells, 4) == threads


def test_a_run_takes_the_split_that_was_measured_and_says_why(many: list[Cell]) -> None:
    said: list[str] = []
    assert chosen(FREE, many, Timer({1: 1.0, 2: 0.4, 4: 0.3}), said) == (2, 2)
    assert said[-1] == (
        "2 trials are trained at a time, with 2 threads each: a step of the largest model takes 1 s with 1 thread, 4 "
        "at a time, 0.4 s with 2 threads, 2 at a time, 0.3 s with 4 threads, 1 at a time"
    )


def test_what_was_asked_for_is_taken(many: list[Cell]) -> None:
    timer = Timer({1: 1.0, 2: 0.1, 4: 0.1})
    assert chosen(Pool(workers=4), many, timer) == (4, 1)
    assert chosen(Pool(workers=4), many[:1], timer) == (4, 1)
    assert not timer.asked


def test_fewer_cells_than_cores_share_them(many: list[Cell]) -> None:
    timer = Timer({})
    assert [chosen(FREE, many[:count], timer) for count in (1, 2, 3)] == [(1, 4), (2, 2), (3, 1)]
    assert not timer.asked


def test_a_run_that_goes_on_has_the_threads_that_it_began_with(
    many: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the cells that are left would differ in their last bits from those of a run that was never stopped."""
    timer = Timer({1: 1.0, 2: 0.4, 4: 0.3})
    assert chosen(FREE, many, timer, todo=1) == (4, 1)
    assert chosen(FREE, many[:2], timer, todo=1) == (2, 2)
    assert not timer.asked
    monkeypatch.setattr(split_module, "known", lambda cells, *_: timer.times if len(cells) == len(many) else None)
    assert chosen(FREE, many, timer, todo=1) == (2, 2)


def test_few_cells_are_not_worth_a_measurement(many: list[Cell]) -> None:
    timer = Timer({1: 1.0, 2: 0.1, 4: 0.1})
    assert chosen(FREE, many[:63], timer) == (4, 1)
    assert not timer.asked


def test_nothing_is_measured_beside_other_programs(many: list[Cell], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(split_module, "running_elsewhere", lambda: 3)
    timer, said = Timer({1: 1.0, 2: 0.1, 4: 0.1}), []
    assert chosen(FREE, many, timer, said) == (4, 1)
    assert not timer.asked
    assert said == [
        "note: other programs compute: steps are not measured, and 4 trials are trained at a time, with 1 thread each"
    ]


def test_a_program_that_is_awake_for_a_moment_hinders_no_measurement(
    many: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = iter([1, 2, 0])
    monkeypatch.setattr(split_module, "running_elsewhere", lambda: next(looks))
    assert chosen(FREE, many, Timer({1: 1.0, 2: 0.4, 4: 0.3})) == (2, 2)


def test_a_measurement_that_fails_is_a_note(many: list[Cell]) -> None:
    def fails(cells: object, pool: Pool, cores: int) -> StepTimes:
        raise MeasureError("out of memory")

    said: list[str] = []
    assert split(FREE, many, len(many), say=said.append, measure=fails) == FREE
    assert said[-1] == "note: steps were not measured: out of memory"


def test_steps_are_measured_in_processes_once_per_machine(many: list[Cell]) -> None:
    assert known(many, FREE, 1) is None
    times = measure_steps(many, FREE, 1)
    assert list(times) == [1]
    assert 0 < times[1] < 60
    assert known(many, FREE, 1) == times
    assert known(many, FREE, 2) is None


def test_why_steps_cannot_be_measured_is_said(make_tiny_cells: MakeCells, many: list[Cell]) -> None:
    untrained = make_tiny_cells([("A", {}, {"epochs": 0})])
    with pytest.raises(MeasureError, match="no model of the grid is trained by gradient"):
        measure_steps(untrained, FREE, 1)
    assert known(untrained, FREE, 1) is None


def test_threads_that_are_tried() -> None:
    assert [choices(cores) for cores in (1, 2, 6, 8)] == [[1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8]]


@pytest.mark.parametrize(
    ("environment", "asked", "split_by_run"),
    [("", (None, None), True), ("", (2, None), False), ("", (None, 1), False), ("1", (None, None), False)],
)
def test_only_what_nobody_asked_for_is_chosen(
    monkeypatch: pytest.MonkeyPatch, environment: str, asked: tuple[int | None, int | None], split_by_run: bool
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", environment)
    assert make_pool(Terminal(), *asked).split == split_by_run
    assert not make_pool(Terminal(), None, None, trials_per_gpu=1).split
    assert not make_pool(Terminal(), None, None, address="10.0.0.1:6379").split
