"""The parts of a trial, each timed once in a short trial."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning as L
import torch

from dlkd.data import Category, ImageDataset
from dlkd.models.detector import Detector
from dlkd.registry import Registry
from dlkd.training import TrialSpec
from dlkd.training.data_module import CategoryData
from dlkd.training.device import device
from dlkd.training.evaluate import Evaluation, evaluate
from dlkd.training.feature_cache import feature_cache
from dlkd.training.fit import fit_rest, train_by_gradient
from dlkd.training.module import DetectorTask
from dlkd.training.saved.weights import save_weights
from dlkd.training.trials.costs import costs, versions
from dlkd.training.trials.kept_images import keep_images
from dlkd.training.trials.trial_folder import RESULT, WEIGHTS
from dlkd.training.trials.trial_result import NormalRange


@dataclass(frozen=True)
class Parts:
    """Seconds of the parts of a trial.

    Attributes:
        fixed: of all that is done once per trial: building, setting up, counting FLOPs, writing.
        first: how much longer the first step takes than later ones; once per model and process.
        step: of a training step.
        fit: of a training image's part of what is fitted without gradient.
        feature: of the frozen parts' clean pass of a training image; once per machine.
        frozen: what that pass depends on, beside the image.
        picture: of reading and resizing a picture; once per machine.
        score: of an image's anomaly map and score.
        metric: of a test image's part of the metrics.
    """

    fixed: float
    first: float
    step: float
    fit: float
    feature: float
    frozen: str
    picture: float
    score: float
    metric: float


def time_parts(spec: TrialSpec, category: Category, registry: Registry, folder: Path) -> Parts:
    """Time a trial of four steps and a batch of test images, part by part; it leaves what reports read in `folder`."""
    folder.mkdir()
    size = spec.train.batch_size
    some = _some(category, size)
    length = {
        "epochs": 2 if len(some.train) > size else 4,
        "max_steps": -1,
        "checkpoint_seconds": 1e9,
        "calibrate": None,
    }
    config = spec.train.model_copy(update=length)
    begun = perf_counter()
    model: Detector = registry.build("model", spec.model)
    data = CategoryData(some, config, model.to(device()), spec.trial_seed)
    fixed = now() - begun
    picture, feature = _time_inputs(model, data, some)
    task = DetectorTask(model, config, spec.trial_seed, feature_cache(model, data.train_set, config))
    clock = _Clock()
    begun = perf_counter()
    curve = train_by_gradient(task, data, folder, more=[clock])
    whole = now() - begun
    rest = seconds_of(lambda: fit_rest(model, data, spec.trial_seed))
    later = [b - a for a, b in pairwise(clock.times[1:])]
    step = sum(later) / max(1, len(later))
    first = max(0.0, clock.times[1] - clock.times[0] - step) if later else 0.0
    fixed += whole - (clock.times[-1] - clock.times[0] if later else 0.0)
    model.to(device())
    evaluate(model, data)  # the first one reads the pictures
    begun = perf_counter()
    found = evaluate(model, data)
    scored = now() - begun
    tests = max(1, len(some.test))
    fixed += seconds_of(lambda: _write(model, spec, data, found, curve, folder))
    (folder / WEIGHTS).unlink()
    return Parts(
        fixed=fixed,
        first=first,
        step=step,
        fit=rest / len(some.train),
        feature=feature,
        frozen=model.clean_key(),
        picture=picture,
        score=found.seconds / tests if some.test else step / size,
        metric=(scored - found.seconds) / tests,
    )


def _time_inputs(model: Detector, data: CategoryData, some: Category) -> tuple[float, float]:
    """Seconds of reading and resizing a picture, and of an image's part of the frozen parts' clean pass."""
    size = data.config.batch_size
    bare = ImageDataset(
        some.test or some.train,
        image_size=data.config.sides,
        mean=data.mean,
        std=data.std,
        with_masks=some.has_masks,
        cache_bytes=0,
    )
    picture = seconds_of(lambda: [bare[i] for i in range(len(bare))]) / len(bare)
    images = torch.stack([bare[i % len(bare)]["image"] for i in range(size)]).to(device())
    model.eval()
    feature = 0.0
    if model.clean_key():
        with torch.inference_mode():
            feature = min(seconds_of(lambda: model.clean(images)) for _ in range(2)) / size
    return picture, feature


def _write(
    model: Detector, spec: TrialSpec, data: CategoryData, found: Evaluation, curve: list[dict[str, float]], folder: Path
) -> None:
    """Write what a trial leaves."""
    save_weights(model, folder / WEIGHTS)
    keep_images(folder, found, data, NormalRange(0.0, 1.0))
    costs(model, spec)
    versions()
    (folder / RESULT).write_text(json.dumps({"curve": curve}), encoding="utf-8")


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
        self.times.append(now())

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.times.append(now())


def seconds_of(run: Callable[[], object]) -> float:
    begun = perf_counter()
    run()
    return now() - begun


def now() -> float:
    if device().type == "cuda":
        torch.cuda.synchronize()
    return perf_counter()
