"""What a grid will cost, from one timed training step and one timed image of each of its models."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from time import perf_counter

import torch
from rich.progress import track

from dlkd.ablations.grid import Cell
from dlkd.models.dlkd import DLKD
from dlkd.registry import Registry
from dlkd.training import TrialSpec
from dlkd.training.module import DistillationTask
from dlkd.training.trial import device, load_category


def estimate_seconds(cells: Sequence[Cell], registry: Registry, *, bar: bool = False) -> dict[str, float]:
    """Seconds that each cell will train and score for, by key, where one trial runs at a time.

    Each model is built, and its second step (the first warms up) timed on noise; reading images is not counted.
    """
    timed: dict[str, tuple[float, float]] = {}
    sizes: dict[str, tuple[int, int]] = {}
    found = {}
    for cell in track(cells, description="timing a step of each model", disable=not bar):
        spec = cell.spec
        model = json.dumps([spec.model, spec.train.model_dump(mode="json")], sort_keys=True)
        if model not in timed:
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


def _time(spec: TrialSpec, registry: Registry) -> tuple[float, float]:
    """Seconds of a training step and of an image's inference."""
    model: DLKD = registry.build("model", spec.model)
    task = DistillationTask(model.to(device()), spec.train, spec.seed)
    optimizer = task.configure_optimizers()
    side = spec.train.image_size
    images = torch.randn(spec.train.batch_size, 3, side, side, device=device())
    for _ in range(2):
        start = perf_counter()
        optimizer.zero_grad()
        torch.autograd.backward(model.losses(images, torch.Generator(device()).manual_seed(0))["total"])
        optimizer.step()
        step = _now() - start
    model.eval()
    with torch.inference_mode():
        model(images)
        start = perf_counter()
        model(images)
        return step, (_now() - start) / len(images)


def _now() -> float:
    if device().type == "cuda":
        torch.cuda.synchronize()
    return perf_counter()
