"""The time of a training step with all cores in use, by threads per trial: measured, and kept for the next run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from threading import Timer
from typing import TypeAlias

from dlkd.ablations.plan.cells import Cell
from dlkd.ablations.plan.keys import hashed
from dlkd.ablations.run.costs import MeasureError
from dlkd.ablations.run.pool import Pool
from dlkd.files import write_text
from dlkd.machine import cache_folder, expanded, processor
from dlkd.registry.python_files import digests, python_file
from dlkd.training import TrialSpec

SECONDS = 60.0
"""A measurement that takes longer is given up."""

StepTimes: TypeAlias = dict[int, float]
"""Seconds of a step by threads per trial, with as many trials at a time as the cores allow."""


def choices(cores: int) -> list[int]:
    """Threads per trial that are tried: 1, 2, 4 and so on, and all cores."""
    return sorted({2**i for i in range(cores.bit_length()) if 2**i < cores} | {cores})


def known(cells: Sequence[Cell], pool: Pool, cores: int) -> StepTimes | None:
    """What was measured of these models on this machine before; None where nothing was."""
    with suppress(OSError, ValueError, AttributeError):
        found = json.loads(_place(cells, pool, cores).read_text(encoding="utf-8"))
        times = {int(threads): float(seconds) for threads, seconds in found.items()}
        if sorted(times) == choices(cores):
            return times
    return None


def measure_steps(cells: Sequence[Cell], pool: Pool, cores: int) -> StepTimes:
    """Time steps of the largest model with 1 thread in as many processes as there are cores, with 2 in half, and so on.

    They are kept for the next run. Raises MeasureError where it fails.
    """
    times: StepTimes = {}
    job = {
        "specs": [spec.model_dump(mode="json") for spec in _models(cells)],
        "registry": [str(expanded(f).resolve()) for f in pool.registry_files],
        "imports": {str(python_file(f)): digests(f) for f in pool.imports},
    }
    with tempfile.TemporaryDirectory(prefix="dlkd-steps-") as scratch, ExitStack() as stack:
        write_text(Path(scratch) / "job.json", json.dumps(job))
        processes = [stack.enter_context(_Process(Path(scratch) / "job.json")) for _ in range(cores)]
        for process in processes:
            process.answer()
        for threads in choices(cores):
            at_once = processes[: cores // threads]
            for process in at_once:
                process.tell(threads)
            times[threads] = mean(float(process.answer()) for process in at_once)
    with suppress(OSError):
        write_text(_place(cells, pool, cores), json.dumps(times))
    return times


def _models(cells: Sequence[Cell]) -> list[TrialSpec]:
    """One trial of each model, size of images and batches that is trained by steps."""
    found: dict[str, TrialSpec] = {}
    for cell in cells:
        spec = cell.spec
        if spec.train.epochs and spec.train.max_steps:
            train = [spec.train.sides, spec.train.batch_size, spec.train.precision]
            found.setdefault(json.dumps([spec.model, train], sort_keys=True), spec)
    return list(found.values())


def _place(cells: Sequence[Cell], pool: Pool, cores: int) -> Path:
    models = sorted(
        json.dumps([spec.model, spec.train.sides, spec.train.batch_size, spec.train.precision], sort_keys=True)
        for spec in _models(cells)
    )
    own = {str(python_file(f)): digests(f) for f in pool.imports}
    machine = [processor(), os.cpu_count(), cores, version("torch")]
    return cache_folder() / "steps" / f"{hashed([models, own, machine])}.json"


class _Process:
    """A process of `steps_alone`: within `with` it waits to be told. It is ended after that, or after `SECONDS`."""

    def __init__(self, job: Path) -> None:
        # Modules are found where this process finds them; -P adds no working folder.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  closed on exit
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "dlkd.ablations.run.steps_alone", str(job)],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
        )  # fmt: skip
        self._timer = Timer(SECONDS, self._process.kill)
        self._timer.start()

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *error: object) -> None:
        self._timer.cancel()
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def tell(self, threads: int) -> None:
        """Have a step timed on so many threads."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # `answer` says why
            self._process.stdin.write(f"{threads}\n")
            self._process.stdin.flush()

    def answer(self) -> str:
        """The next line that it writes. Raises MeasureError where there is none."""
        assert self._process.stdout is not None
        if line := self._process.stdout.readline().strip():
            return line
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        raise MeasureError(lines[-1] if lines else f"not ended after {SECONDS:g} s")
