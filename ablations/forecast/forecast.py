"""How long a grid will take: each part of a run is timed once in small, and counted as often as the run does it."""

from __future__ import annotations

import heapq
import io
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import lightning as L
import torch

from dlkd.ablations.plan.grid import Cell, Grid
from dlkd.data import Category, ImageDataset
from dlkd.models.dlkd import DLKD
from dlkd.registry import Registry
from dlkd.text import Terminal
from dlkd.training import TrialSpec
from dlkd.training.checkpoint import WEIGHTS, save_weights
from dlkd.training.data_module import CategoryData
from dlkd.training.evaluate import NormalRange, evaluate
from dlkd.training.examples import save_examples
from dlkd.training.feature_cache import feature_cache
from dlkd.training.module import DistillationTask
from dlkd.training.step_bar import progress
from dlkd.training.trial import RESULT, costs, device, fit, load_category, versions

if TYPE_CHECKING:
    from dlkd.ablations.run.runner import Pool

RANGE_IMAGES = 64
"""Most normal images that `normal_range` scores."""


@dataclass(frozen=True)
class Parts:
    """Seconds of the parts of a trial.

    Attributes:
        fixed: of all that is done once a trial: building, setting up, counting FLOPs, writing.
        first: how much longer the first step takes than later ones; once a model and process.
        step: of a training step.
        feature: of the teacher's clean pass of a training image; once for a machine.
        picture: of reading and resizing a picture; once for a machine.
        score: of an image's anomaly map and score.
        metric: of a test image's part of the metrics.
    """

    fixed: float
    first: float
    step: float
    feature: float
    picture: float
    score: float
    metric: float


@dataclass(frozen=True)
class Estimate:
    """How long a grid will take.

    Attributes:
        trials: seconds of each cell's trial, by key.
        start: seconds until the first trial runs.
        training: seconds of all trials, so many at a time.
        report: seconds of the report.
    """

    trials: dict[str, float]
    start: float
    training: float
    report: float

    @property
    def total(self) -> float:
        """Seconds of the whole run."""
        return self.start + self.training + self.report


def estimate(
    cells: Sequence[Cell],
    grids: Sequence[Grid],
    registry: Registry,
    pool: Pool,
    *,
    begun: float = 0.0,
    bar: bool = False,
) -> Estimate:
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
    with tempfile.TemporaryDirectory(prefix="dlkd-cost-") as folder:
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
                with _threads(pool.threads):
                    timed[model] = _time(spec, category, registry, store / f"model{len(timed)}")
            shutil.copytree(store / f"model{list(timed).index(model)}", store / cell.key)
            parts = timed[model]
            seconds[cell.key] = trial_seconds(parts, spec, category)
            once = 0.0
            for what, each, count in (
                ("pictures", parts.picture, len(category.train) + len(category.test)),
                (json.dumps(spec.model.get("teacher"), sort_keys=True), parts.feature, len(category.train)),
            ):
                key = json.dumps([what, data, spec.train.sides])
                once += 0.0 if key in read else each * count
                read.add(key)
            jobs.append((model, seconds[cell.key] + once, parts.first))
        return Estimate(
            seconds,
            begun + _start_up(cells, pool),
            makespan(jobs, min(pool.workers, max(1, len(jobs)))),
            _report(cells, grids, store),
        )


def trial_seconds(parts: Parts, spec: TrialSpec, category: Category) -> float:
    """Seconds of a trial in a process that has run its model before, on pictures that were read before."""
    train, test = len(category.train), len(category.test)
    scored = test + min(RANGE_IMAGES, train)
    return parts.fixed + steps(spec, train) * parts.step + scored * parts.score + test * parts.metric


def makespan(jobs: Sequence[tuple[str, float, float]], workers: int) -> float:
    """Seconds until all jobs are done, each begun by the first worker that is free.

    A job is (model, seconds, seconds more where its worker meets the model for the first time).
    """
    free = [(0.0, worker) for worker in range(workers)]
    met: set[tuple[int, str]] = set()
    for model, seconds, first in jobs:
        now, worker = heapq.heappop(free)
        heapq.heappush(free, (now + seconds + first * ((worker, model) not in met), worker))
        met.add((worker, model))
    return max(now for now, _ in free)


def steps(spec: TrialSpec, train_images: int) -> int:
    """Training steps of a trial."""
    every = spec.train.epochs * math.ceil(train_images / spec.train.batch_size)
    return every if spec.train.max_steps < 0 else min(every, spec.train.max_steps)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _time(spec: TrialSpec, category: Category, registry: Registry, folder: Path) -> Parts:
    """Time a trial of four steps and a batch of test images, part by part; it leaves what reports read in `folder`."""
    folder.mkdir()
    size = spec.train.batch_size
    some = _some(category, size)
    length = {"epochs": 2 if len(some.train) > size else 4, "max_steps": -1, "checkpoint_seconds": 1e9}
    config = spec.train.model_copy(update=length)
    begun = perf_counter()
    model: DLKD = registry.build("model", spec.model)
    data = CategoryData(some, config, model.to(device()).teacher, spec.trial_seed)
    fixed = _now() - begun
    bare = ImageDataset(
        some.test or some.train,
        image_size=config.sides,
        mean=data.mean,
        std=data.std,
        with_masks=some.has_masks,
        cache_bytes=0,
    )
    picture = _seconds(lambda: [bare[i] for i in range(len(bare))]) / len(bare)
    images = torch.stack([bare[i % len(bare)]["image"] for i in range(size)]).to(device())
    model.eval()
    with torch.inference_mode():
        feature = min(_seconds(lambda: model.clean(images)) for _ in range(2)) / size
    task = DistillationTask(model, config, spec.trial_seed, feature_cache(model, data.train_set, config))
    clock = _Clock()
    begun = perf_counter()
    curve = fit(task, data, folder, more=[clock])
    fixed += clock.times[0] - begun + _now() - clock.times[-1]
    later = [b - a for a, b in zip(clock.times[1:], clock.times[2:], strict=False)]
    step = sum(later) / len(later)
    model.to(device())
    evaluate(model, data)  # the first one reads the pictures
    begun = perf_counter()
    found = evaluate(model, data)
    scored = _now() - begun
    tests = max(1, len(some.test))
    begun = perf_counter()
    save_weights(model, folder / WEIGHTS)
    save_examples(folder, found, data, NormalRange(0.0, 1.0))
    costs(model, spec, found, 1.0)
    versions()
    (folder / RESULT).write_text(json.dumps({"curve": curve}), encoding="utf-8")
    fixed += _now() - begun
    (folder / WEIGHTS).unlink()
    return Parts(
        fixed=fixed,
        first=max(0.0, clock.times[1] - clock.times[0] - step),
        step=step,
        feature=feature,
        picture=picture,
        score=found.seconds / tests if some.test else step / size,
        metric=(scored - found.seconds) / tests,
    )


def _some(category: Category, size: int) -> Category:
    """Two batches of training images, and a batch of test images of both kinds."""
    normal = [sample for sample in category.test if sample.label == 0]
    anomalies = sorted(category.anomalies, key=lambda sample: sample.mask is None)
    test = (*anomalies[: max(1, size // 2)], *normal[: max(1, size - size // 2)])
    return Category(category.dataset, category.name, category.train[: 2 * size], test)


class _Clock(L.Callback):
    """When the training begins, and when each step has ended."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.times.append(_now())

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.times.append(_now())


def _start_up(cells: Sequence[Cell], pool: Pool) -> float:
    """Seconds in which Ray and its workers start and end, with nothing to train; a cluster's are not asked for."""
    if not cells:
        return 0.0
    from dlkd.ablations.forecast.idle_worker import IdleWorker
    from dlkd.ablations.run.display import Display
    from dlkd.ablations.run.runner import run_cells

    alone = replace(pool, address=None, storage=None, retries=0, workers=min(pool.workers, len(cells)))
    with tempfile.TemporaryDirectory(prefix="dlkd-cost-") as store:
        silent = Display(Path(store), Terminal(file=io.StringIO()))
        return _seconds(lambda: run_cells(cells[: alone.workers], Path(store), alone, silent, trainable=IdleWorker))


def _report(cells: Sequence[Cell], grids: Sequence[Grid], store: Path) -> float:
    """Seconds of a report on such cells, as if each had been trained."""
    if not cells:
        return 0.0
    from dlkd.ablations.report.content import write_report
    from dlkd.ablations.run.store import collect

    trials = collect(cells, store)
    trials["value"] = [0.5 + 0.4 * math.sin(i) for i in range(len(trials))]
    trials["status"], trials["reason"] = "ok", ""
    numbers = ("parameters", "flops", "train_seconds", "images_per_second", "peak_memory_bytes")
    trials[list(numbers)] = 1.0
    there = [grid for grid in grids if (trials["table"] == grid.name).any()]
    return _seconds(lambda: write_report(trials, there, store, store / "report"))


def _seconds(run: Callable[[], object]) -> float:
    begun = perf_counter()
    run()
    return _now() - begun


def _now() -> float:
    if device().type == "cuda":
        torch.cuda.synchronize()
    return perf_counter()
