"""A DLKD training step and an inference pass against anomalib's ReverseDistillation.

    python benchmarks/bench_dlkd.py --json dlkd.json               # minutes
    python benchmarks/bench_dlkd.py --json dlkd.json --bf16        # and under autocast

Under autocast a processor without instructions for bfloat16 takes ten times as long.

A training step is what a trial does for a batch of 8, with the teacher's features of the images on disk
(`dlkd.training.feature_cache`). `bench_roofline.py` says where the time goes.

ReverseDistillation (anomalib 2.7, extra `bench`) is trained as anomalib does it, with the same untrained resnet18 as
its teacher, on the same images in the same process, in rounds that run both once, so that a busy machine slows both
alike; ratios are medians over rounds of the ratio within a round. Threads are PyTorch's; set OMP_NUM_THREADS.
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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from said import counted
from torch import Tensor

from dlkd.data import ImageDataset, Sample
from dlkd.models import DLKD
from dlkd.registry import create_model
from dlkd.training import TrainConfig
from dlkd.training.feature_cache import FeatureCache, feature_cache
from dlkd.training.memory import kept_memory
from dlkd.training.module import DetectorTask

BATCH = 8
RESNET: dict[str, Any] = {"backbone": "resnet18", "weights": "random"}


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
        statistics_ = {"mean": self.model.mean, "std": self.model.std}
        dataset = ImageDataset(samples, image_size=side, **statistics_)
        self.images = torch.stack([item["image"] for item in dataset])  # type: ignore[attr-defined]
        self.index = torch.arange(BATCH)
        config = TrainConfig(image_size=side, batch_size=BATCH)
        features = feature_cache(self.model, dataset, config)
        if features is None:
            raise SystemExit(f"the features could not be kept below {folder}")
        self.features: FeatureCache = features
        self.generator = torch.Generator().manual_seed(0)
        self.optimizer: torch.optim.Optimizer = DetectorTask(self.model, config, 0).configure_optimizers()

    def step(self) -> None:
        """One training step."""
        self.model.train()
        self.optimizer.zero_grad()
        clean = self.features.batch(self.index, torch.device("cpu"))
        self.model.losses(self.images, self.generator, clean)["total"].backward()
        self.optimizer.step()

    def infer(self) -> Tensor:
        """Maps and scores of the batch."""
        self.model.eval()
        with torch.inference_mode():
            return self.model.score(self.model(self.images))


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def measure_against(folder: Path, rounds: int, *, bf16: bool) -> dict[str, Any]:
    """A step and an inference pass beside ReverseDistillation's; why not, where anomalib is missing."""
    if not importlib.util.find_spec("anomalib"):
        return {"skipped": "anomalib is not installed: pip install dlkd[bench]", "targets": []}
    trained = Trained(folder, RESNET, 256)
    step, infer = reverse_distillation(trained.images)
    pairs = {"training step": (trained.step, step), "inference": (trained.infer, infer)}
    medians, times, targets = {}, {}, []
    for precision, cast in (("", as_is), (", bf16", in_bf16))[: 1 + bf16]:
        for what, pair in pairs.items():
            runs = [cast(run) for run in pair]
            for run in (*runs, *runs):
                run()
            said = counted(f"{what}{precision}, round", range(rounds))
            rounds_ = [[seconds(run) for run in runs] for _ in said]
            ours, theirs = (statistics.median(times) for times in zip(*rounds_, strict=True))
            ratio = statistics.median(ours / theirs for ours, theirs in rounds_)
            medians[what + precision] = {"DLKD": ours, "ReverseDistillation": theirs, "ratio": ratio}
            times[what + precision] = rounds_
    for what, bound in (("training step", 1.6), ("inference", 1.2)):
        ratio = medians[what]["ratio"]
        row = {"what": f"{what}, DLKD / ReverseDistillation", "measured": ratio, "target": f"<= {bound}"}
        targets.append({**row, "met": ratio <= bound})
    return {"median_seconds": medians, "rounds": times, "targets": targets}


def as_is(run: Callable[[], object]) -> Callable[[], object]:
    """In float32."""
    return run


def in_bf16(run: Callable[[], object]) -> Callable[[], object]:
    """The same under autocast, as `train.precision: bf16-mixed` does it."""

    def cast() -> object:
        with torch.autocast("cpu", torch.bfloat16):
            return run()

    return cast


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


def measure(rounds: int, *, bf16: bool) -> dict[str, Any]:
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
            "against": measure_against(folder, rounds, bf16=bf16),
        }


def show(figures: dict[str, Any]) -> None:
    """Print the figures."""
    against = figures["against"]
    if "skipped" in against:
        print(f"against ReverseDistillation: skipped: {against['skipped']}")
    for what, found in against.get("median_seconds", {}).items():
        for name in ("DLKD", "ReverseDistillation"):
            print(f"{what + ', ' + name:40s} {1000 * found[name]:8.0f} ms")
        print(f"{what + ', ratio':40s} {found['ratio']:8.2f}")
    for target in against["targets"]:
        met = "met" if target["met"] else "MISSED"
        print(f"{target['what']:40s} {target['measured']:8.2f}    {target['target']:10s} {met}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, default=11, help="of the comparison")
    parser.add_argument("--bf16", action="store_true", help="also under autocast to bfloat16")
    options = parser.parse_args(arguments)
    figures = measure(options.rounds, bf16=options.bf16)
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
