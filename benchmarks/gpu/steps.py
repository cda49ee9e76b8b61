"""A training step and an inference pass of DLKD and of ReverseDistillation, in float32 and under autocast to bf16.

Both are dlkd's own, with an untrained ResNet18, on noise of 256x256 pixels; a step is without Lightning and without
reading. "Features kept" is the step of a trial from its first epoch; "one CUDA graph" is that step as
`train.compile: graphs` replays it, without the compiler. The targets are those of the CPU in
docs/performance.md, where ReverseDistillation is anomalib's.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from bench_systems import RESNET, ours
from clock import Run, medians
from figures import Asked, asked

from dlkd.registry import create_model
from dlkd.training import step_graph
from dlkd.training.device import exact_float32
from dlkd.training.step_graph import StepGraph

TARGETS = {"training step": 1.6, "inference": 1.2}
SYSTEMS = {"DLKD": "dlkd", "RD": "reverse_distillation"}


def runs_of(variant: str, images: torch.Tensor, *, bf16: bool) -> dict[str, Run]:
    """The runs of a variant by name, in one precision."""
    kind = images.device.type

    def cast() -> Any:
        return torch.autocast(kind, torch.bfloat16) if bf16 else nullcontext()

    torch.manual_seed(0)
    model: Any = create_model(variant, teacher=RESNET).to(images.device)
    with cast():
        made = ours(model, images)  # with the features of this precision
        made["training step, one CUDA graph"] = replayed(model, images)

    def under(run: Run, exact: bool) -> Run:
        def go() -> object:
            with cast(), exact_float32() if exact else nullcontext():
                return run()

        return go

    return {what: under(run, what == "inference") for what, run in made.items()}


def replayed(model: Any, images: torch.Tensor) -> Run:
    """A training step with features kept, captured after its first runs."""
    graph, kept = StepGraph(model, model.optimizers(), images.device), model.clean(images)

    def step() -> object:
        model.train()
        return graph.step(images, kept, 0)

    return step


def measure(asked: Asked) -> None:
    """All figures."""
    if asked.device.type == "cpu":
        step_graph.capture = lambda step, generator: step  # runs again what a GPU would replay
    side, batches = (32, [2]) if asked.dry else (256, [8, 16])
    noise = torch.randn(max(batches), 3, side, side, generator=torch.Generator().manual_seed(0)).to(asked.device)
    for batch in batches:
        for bf16 in (False, True):
            each = {name: runs_of(variant, noise[:batch], bf16=bf16) for name, variant in SYSTEMS.items()}
            for what in each["DLKD"]:
                found = medians({n: runs[what] for n, runs in each.items()}, asked.device, 0.0 if asked.dry else 1.5)
                where = f"{what}, batch of {batch}, {'bf16' if bf16 else 'float32'}"
                for name, taken in found.items():
                    asked.figures.add(
                        f"{name}, {where}", 1000 * taken, "ms", note=f"{batch / taken:.0f} images per second"
                    )
                bound = TARGETS.get(what) if not bf16 else None
                asked.figures.add(f"DLKD / RD, {where}", ratio=found["DLKD"] / found["RD"], most=bound)


if __name__ == "__main__":
    measure(asked(__doc__))
