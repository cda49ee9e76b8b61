"""A process that times training steps of a grid's largest model, on as many threads as it is told.

    python -m dlkd.ablations.run.steps_alone JOB

The job is a JSON file: `specs` of trials, `registry` and `imports` files. Of these models the process takes the one
with the most trained parameters, and writes "ready". For each number of threads that it reads from standard
input, one per line, it writes the seconds of a step.
"""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch

from dlkd.models.detector import Detector
from dlkd.registry import Registry, load_registry, load_same
from dlkd.training import TrialSpec
from dlkd.training.device import hide_gpus

TIMED = 3
"""Steps that are timed, after one that is not."""


class Steps:
    """Training steps of one model on noise of its size; without Lightning, whose part does not depend on threads."""

    def __init__(self, model: Detector, spec: TrialSpec) -> None:
        self.model, self.spec = model.train(), spec
        self.optimizers = model.optimizers()
        self.model.epoch_steps = TIMED
        self.images = torch.randn(spec.train.batch_size, 3, *spec.train.sides)
        with self._precision():
            self.clean = model.clean(self.images) if model.clean_key() else None

    def seconds(self, threads: int) -> float:
        """Of one step on so many threads."""
        torch.set_num_threads(threads)
        times = []
        for number in range(TIMED + 1):
            begun = perf_counter()
            self._step(number)
            times.append(perf_counter() - begun)
        return median(times[1:])

    def _step(self, number: int) -> None:
        self.model.begin_step(number, TIMED + 1, self.optimizers)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        with self._precision():
            terms = self.model.losses(self.images, torch.Generator().manual_seed(number), self.clean)
        terms["total"].backward()  # type: ignore[no-untyped-call]
        for optimizer in self.optimizers:
            optimizer.step()

    def _precision(self) -> Any:
        mixed = self.spec.train.precision == "bf16-mixed"
        return torch.autocast("cpu", torch.bfloat16) if mixed else nullcontext()


def largest(specs: list[TrialSpec], registry: Registry) -> Steps:
    """Of the model with the most trained parameters. Raises ValueError where none is trained by gradient."""
    found: tuple[int, Detector, TrialSpec] | None = None
    for spec in specs:
        torch.manual_seed(spec.trial_seed)
        model: Detector = registry.build("model", spec.model)
        size = sum(p.numel() for p in model.parameters() if p.requires_grad)
        if model.optimizers() and (found is None or size > found[0]):
            found = size, model, spec
    if found is None:
        raise ValueError("no model of the grid is trained by gradient")
    return Steps(*found[1:])


def main(job: dict[str, Any]) -> None:
    """See the file's docstring."""
    torch.set_num_threads(1)
    hide_gpus()
    load_same(job["imports"])
    registry = load_registry(*map(Path, job["registry"]))
    steps = largest([TrialSpec.model_validate(spec) for spec in job["specs"]], registry)
    print("ready", flush=True)
    for line in sys.stdin:
        print(steps.seconds(int(line)), flush=True)


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
