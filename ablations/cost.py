"""What a grid will cost, from timed training steps and images of each of its models."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter

import torch
from rich.progress import track

from dlkd.ablations.grid import Cell
from dlkd.models.dlkd import DLKD
from dlkd.registry import Registry
from dlkd.training import TrialSpec
from dlkd.training.module import DistillationTask
from dlkd.training.trial import device, load_category


def estimate_seconds(
    cells: Sequence[Cell], registry: Registry, *, threads: int = 1, bar: bool = False
) -> dict[str, float]:
    """Seconds that each cell will train and score for, by key, where one trial runs at a time on `threads` threads.

    Each model is built and timed on noise, once however long its cells train; reading images is not counted.
    """
    timed: dict[str, tuple[float, float]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    found = {}
    for cell in track(cells, description="timing a step of each model", disable=not bar):
        spec = cell.spec
        a_step = spec.train.model_dump(mode="json", exclude={"epochs", "max_steps"})
        model = json.dumps([spec.model, a_step], sort_keys=True)
        if model not in timed:
            with _threads(threads):
                timed[model] = _time(spec, registry)
        data = json.dumps([spec.dataset, spec.category], sort_keys=True)
        if data not in sizes:
            category = load_category(spec, registry)
            sizes[data] = len(category.train), len(category.test)
        train, test = sizes[data]
        step, image = timed[model]
        found[cell.key] = steps(spec, train) * step + test * image
    return found


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


def _time(spec: TrialSpec, registry: Registry) -> tuple[float, float]:
    """Seconds of a training step and of an image's inference: the fastest, since other work only slows."""
    model: DLKD = registry.build("model", spec.model)
    task = DistillationTask(model.to(device()), spec.train, spec.seed)
    optimizer = task.configure_optimizers()
    images = torch.randn(spec.train.batch_size, 3, *spec.train.sides, device=device())

    def step() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(model.losses(images, torch.Generator(device()).manual_seed(0))["total"])
        optimizer.step()

    step_seconds = _fastest(step)
    model.eval()
    with torch.inference_mode():
        return step_seconds, _fastest(lambda: model(images)) / len(images)


def _fastest(run: Callable[[], object]) -> float:
    seconds = []
    for _ in range(4):  # the first compiles and warms up
        start = perf_counter()
        run()
        seconds.append(_now() - start)
    return min(seconds)


def _now() -> float:
    if device().type == "cuda":
        torch.cuda.synchronize()
    return perf_counter()
