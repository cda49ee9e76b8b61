"""How long a grid will take: the time of each part of a run, multiplied by the number of times that the run needs
it."""

from __future__ import annotations

import io
import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from dlkd.ablations.forecast.parts import Parts, seconds_of, time_parts
from dlkd.ablations.forecast.schedule import makespan, trial_seconds
from dlkd.ablations.plan.cells import Cell
from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.report.tables import TRIAL_COSTS
from dlkd.ablations.run.costs import Measured
from dlkd.ablations.run.pool import Pool
from dlkd.ablations.stored.trials import collect
from dlkd.data import Category
from dlkd.models.teachers.weights import TeacherWeightsError
from dlkd.registry import Registry
from dlkd.text import Terminal
from dlkd.training import TrialSpec
from dlkd.training.step_bar import progress
from dlkd.training.trials.trial_spec import load_category


@dataclass(frozen=True)
class Forecast:
    """How long a grid will take.

    Attributes:
        trials: seconds of each cell's trial, by key.
        start: seconds until the first trial runs.
        training: seconds of all trials, so many at a time.
        report: seconds of the report.
        costs: seconds of measuring time and memory of each model alone, if none was measured before.
        random_weights: whether pretrained weights were not to be had, so that random ones stood in for them.
    """

    trials: dict[str, float]
    start: float
    training: float
    report: float
    costs: float = 0.0
    random_weights: bool = False

    @property
    def total(self) -> float:
        """Seconds of the whole run."""
        return self.start + self.training + self.report + self.costs


def forecast(
    cells: Sequence[Cell],
    grids: Sequence[Grid],
    registry: Registry,
    pool: Pool,
    *,
    begun: float = 0.0,
    bar: bool = False,
) -> Forecast:
    """How long a run of these cells will take on this machine as it is now, other programs included.

    Args:
        cells: to be trained.
        grids: of the report.
        registry: builds models and datasets.
        pool: how many trials at a time, on how many threads.
        begun: seconds that this process has taken to come here, as the run will too.
        bar: show a progress bar.
    """
    timed: dict[str, Parts] = {}
    categories: dict[str, Category] = {}
    read: set[str] = set()
    jobs = []
    seconds: dict[str, float] = {}
    random = False
    with tempfile.TemporaryDirectory(prefix="dlkd-forecast-") as folder:
        store = Path(folder)
        for cell in progress(cells, "timing the parts of a trial", shown=bar):
            spec = cell.spec
            data = json.dumps([spec.dataset, spec.category], sort_keys=True)
            if data not in categories:
                categories[data] = load_category(spec, registry)
            category = categories[data]
            a_step = spec.train.model_dump(mode="json", exclude={"epochs", "max_steps"})
            model = json.dumps([spec.model, a_step], sort_keys=True)
            if model not in timed:
                place = store / f"model{len(timed)}"
                with _threads(pool.threads):
                    timed[model], lacking = _timed(spec, category, registry, place, random=random)
                random = random or lacking
            shutil.copytree(store / f"model{list(timed).index(model)}", store / cell.key)
            parts = timed[model]
            seconds[cell.key] = trial_seconds(parts, spec, category)
            once = 0.0
            for what, each, count in (
                ("pictures", parts.picture, len(category.train) + len(category.test)),
                (parts.frozen, parts.feature, len(category.train)),
            ):
                key = json.dumps([what, data, spec.train.sides])
                once += 0.0 if key in read else each * count
                read.add(key)
            jobs.append((model, seconds[cell.key] + once, parts.first))
        return Forecast(
            seconds,
            begun + _start_up(cells, pool),
            makespan(jobs, min(pool.workers, max(1, len(jobs)))),
            _report(cells, grids, store),
            _costs(
                [replace(cell, spec=_with_random_weights(cell.spec)) for cell in cells] if random else cells,
                pool,
                store,
            ),
            random,
        )


def _timed(
    spec: TrialSpec, category: Category, registry: Registry, folder: Path, *, random: bool
) -> tuple[Parts, bool]:
    """The parts of a trial, and whether its pretrained weights are not to be had: random ones take the same time."""
    if not random:
        try:
            return time_parts(spec, category, registry, folder), False
        except TeacherWeightsError:
            shutil.rmtree(folder)
            if _with_random_weights(spec) == spec:
                raise
    return time_parts(_with_random_weights(spec), category, registry, folder), True


def _with_random_weights(spec: TrialSpec) -> TrialSpec:
    """The same with random weights wherever timm's would be downloaded."""

    def changed(node: Any) -> Any:
        if isinstance(node, list):
            return [changed(each) for each in node]
        if not isinstance(node, dict):
            return node
        random = {"weights": "random"} if "backbone" in node and node.get("weights") == "timm" else {}
        return {key: changed(value) for key, value in node.items()} | random

    return spec.model_copy(update={"model": changed(spec.model)})


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _start_up(cells: Sequence[Cell], pool: Pool) -> float:
    """Seconds in which Ray and its workers start and end, with nothing to train; a cluster's are not asked for."""
    if not cells:
        return 0.0
    from dlkd.ablations.forecast.idle_worker import IdleWorker
    from dlkd.ablations.run.display import Display
    from dlkd.ablations.run.runner import run_cells

    alone = replace(pool, address=None, storage=None, retries=0, workers=min(pool.workers, len(cells)))
    with tempfile.TemporaryDirectory(prefix="dlkd-forecast-") as store:
        silent = Display(Path(store), Terminal(file=io.StringIO()))
        return seconds_of(lambda: run_cells(cells[: alone.workers], Path(store), alone, silent, trainable=IdleWorker))


def _costs(cells: Sequence[Cell], pool: Pool, store: Path) -> float:
    """Seconds of measuring each model of each size alone; one of them is timed."""
    if not cells:
        return 0.0
    from dlkd.ablations.run.costs import MeasureError, in_new_process

    models = {json.dumps([cell.spec.model, cell.spec.train.sides], sort_keys=True) for cell in cells}
    begun = perf_counter()
    with suppress(MeasureError):  # a model that fits something has not fitted it here
        in_new_process(cells[0], store, pool)
    return len(models) * (perf_counter() - begun)


def _report(cells: Sequence[Cell], grids: Sequence[Grid], store: Path) -> float:
    """Seconds of a report on such cells, as if each had been trained."""
    if not cells:
        return 0.0
    from dlkd.ablations.report.write import write_report

    trials = collect(cells, store)
    trials["value"] = [0.5 + 0.4 * math.sin(i) for i in range(len(trials))]
    trials["status"], trials["reason"] = "ok", ""
    trials[list(TRIAL_COSTS)] = 1.0
    there = [grid for grid in grids if (trials["table"] == grid.name).any()]
    alone = {(g.name, row.label): Measured(g.name, row.label, latency_1=0.1) for g in there for row in g.rows}
    return seconds_of(lambda: write_report(trials, there, store, store / "report", alone))
