"""The paper's other systems at 256x256 beside anomalib's own, and those that it lacks beside a plain version.

    python benchmarks/bench_systems.py --json systems.json               # some minutes
    python benchmarks/bench_systems.py --rounds 1 --seconds 3 --targets  # what has a target
    python benchmarks/bench_systems.py --only STFPM RD PatchCore         # some of them

STFPM, RD and PatchCore stand beside anomalib's models (2.7, extra `bench`) with the same untrained resnet18, the same
images and anomalib's reading of the system (docs/systems.md), in the same process, in rounds that run both once, so
that a busy machine slows both alike; ratios are medians over rounds of the ratio within a round. MB-PFM, NoCo,
DeSTSeg and VT-ADL are not in anomalib: their plain versions are in `plain_systems.py`. VT-ADL has its published widths
but patches of 32 pixels and a smaller decoder, for 256 pixels. A training step computes the teacher's features anew, as
anomalib does; "features kept" is the step of a trial, which has them from its first epoch. PatchCore's fit is features
and a coreset of 10%. Batches are of 8 images, those of MB-PFM, DeSTSeg and DRAEM of 2. DRAEM stands beside anomalib's
with its published widths, at 64 pixels. Threads are PyTorch's; set OMP_NUM_THREADS.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import timm
import torch
import torch.nn.functional as F
from plain_systems import VT_ADL_DECODER, PlainDestseg, PlainMbPfm, PlainNoco, PlainVtAdl
from said import say
from torch import Tensor, nn

from dlkd.registry import create_model
from dlkd.training.memory import kept_memory

Run = Callable[[], object]
Clock = Callable[[], float]
BATCH, SIDE = 8, 256
FEW = 2
"""Images in a batch of a large system."""
PICTURES = 16
"""Of PatchCore's fit."""
RESNET: dict[str, Any] = {"backbone": "resnet18", "weights": "random"}
LAYERS = ["layer1", "layer2", "layer3"]
BOUNDS = {"training step": 1.0, "training step of the head": 1.0, "inference": 1.0, "fit": 1 / 3, "search": 1.0}
"""Targets of the ratio to the other implementation."""


def training(model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], loss: Callable[[], Tensor]) -> Run:
    """One training step."""

    def step() -> None:
        model.train()
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss().backward()
        for optimizer in optimizers:
            optimizer.step()

    return step


def inference(model: nn.Module, run: Run) -> Run:
    """Scores and maps of a batch."""

    def infer() -> object:
        model.eval()
        with torch.inference_mode():
            return run()

    return infer


def ours(model: Any, images: Tensor) -> dict[str, Run]:
    """The runs of one of dlkd's models that is trained by gradient."""
    optimizers = model.optimizers()
    kept = model.clean(images)
    return {
        "training step": training(model, optimizers, lambda: model.losses(images)["total"]),
        "training step, features kept": training(model, optimizers, lambda: model.losses(images, clean=kept)["total"]),
        "inference": inference(model, lambda: model.detect(images)),
    }


def stfpm(images: Tensor) -> Iterator[tuple[str, Run, Run]]:
    """Runs of dlkd's and anomalib's STFPM, by name."""
    from anomalib.models.image.stfpm.loss import STFPMLoss
    from anomalib.models.image.stfpm.torch_model import STFPMModel

    reading: dict[str, Any] = {"zero_init_last": True, "factor": 0.5, "batch_sum": True, "combine_at": "image"}
    mine = ours(create_model("stfpm", teacher=RESNET, optimizer={"weight_decay": 0.001}, **reading), images)
    model, loss = STFPMModel(layers=LAYERS, backbone="resnet18"), STFPMLoss()
    optimizer = torch.optim.SGD(model.student_model.parameters(), lr=0.4, momentum=0.9, weight_decay=0.001)
    yield from beside(mine, training(model, [optimizer], lambda: loss(*model(images))), model, images)


def reverse_distillation(images: Tensor) -> Iterator[tuple[str, Run, Run]]:
    """Runs of dlkd's and anomalib's RD, by name."""
    from anomalib.models.image.reverse_distillation.anomaly_map import AnomalyMapGenerationMode
    from anomalib.models.image.reverse_distillation.loss import ReverseDistillationLoss
    from anomalib.models.image.reverse_distillation.torch_model import ReverseDistillationModel

    narrow = {
        "fusion": {"depth": 2, "bottleneck": False},
        "decoder": {"depths": [2, 2, 2], "bottleneck": False},
        "optimizer": {"betas": [0.5, 0.99]},
    }
    mine = ours(create_model("reverse_distillation", teacher=RESNET, border="reflect", **narrow), images)
    mode, loss = AnomalyMapGenerationMode.ADD, ReverseDistillationLoss()
    model = ReverseDistillationModel("resnet18", (SIDE, SIDE), LAYERS, mode, pre_trained=False)
    trained = [*model.decoder.parameters(), *model.bottleneck.parameters()]
    optimizer = torch.optim.Adam(trained, lr=0.005, betas=(0.5, 0.99))
    yield from beside(mine, training(model, [optimizer], lambda: loss(*model(images))), model, images)


def beside(mine: dict[str, Run], step: Run, model: nn.Module, images: Tensor) -> Iterator[tuple[str, Run, Run]]:
    """Each of our runs with the other implementation's."""
    for what, run in mine.items():
        yield what, run, inference(model, lambda: model(images)) if what == "inference" else step


def patchcore(images: Tensor) -> Iterator[tuple[str, Run, Run]]:
    """Fit and scoring of dlkd's and anomalib's PatchCore, and the search at the size of 200 pictures."""
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    coreset = {"projection": "sparse", "width": None, "start": "random"}
    mine: Any = create_model(
        "patchcore",
        teacher=RESNET,
        patches={"pooled": None, "out_channels": None},
        memory={"distance": "euclidean", "coreset": coreset},
        crop=1.0,
        score_neighbors=9,
        upsampling="nearest",
        border="reflect",
    )
    theirs = PatchcoreModel(LAYERS[1:], backbone="resnet18", pre_trained=False)
    batches = torch.randn(PICTURES // BATCH, BATCH, 3, SIDE, SIDE)

    def fit() -> None:
        with torch.no_grad():
            mine.eval().fit(batches)

    def fit_theirs() -> None:
        with torch.no_grad():
            theirs.train()
            for batch in batches:
                theirs(batch)
            theirs.subsample_embedding(0.1)

    yield "fit", fit, fit_theirs
    yield "inference", inference(mine, lambda: mine.detect(images)), inference(theirs, lambda: theirs(images))
    bank, queries = torch.randn(16_385, 1024), torch.randn(1024, 1024)

    def search() -> object:
        mine.memory.bank = bank
        return mine.memory.search(queries, 1)

    def search_theirs() -> object:
        theirs.memory_bank = bank
        return theirs.nearest_neighbors(queries, 1)

    yield "search", inference(mine, search), inference(theirs, search_theirs)


def mb_pfm(images: Tensor) -> Iterator[tuple[str, Run, Run]]:
    """Runs of dlkd's MB-PFM and of the plain one, of two images, as its networks are large."""
    images = images[:FEW]
    teachers = {
        name: {"backbone": f"resnet{n}", "weights": "random"} for name, n in (("teacher", 34), ("second_teacher", 50))
    }
    mine = ours(create_model("mb_pfm", **teachers), images)
    model = PlainMbPfm()
    rates = (3e-3, 3e-4, 3e-4)
    optimizers = [
        torch.optim.Adam(m.parameters(), lr=r, weight_decay=1e-5) for m, r in zip(model.mappings, rates, strict=True)
    ]
    yield from beside(mine, training(model, optimizers, lambda: model.loss(images)), model, images)


def noco(images: Tensor) -> Iterator[tuple[str, Run, Run]]:
    """Runs of dlkd's NoCo and of the plain one."""
    mine = ours(create_model("noco", teacher={**RESNET, "last_slope": 0.01}), images)
    model = PlainNoco()
    trained = [*model.projector.parameters(), model.radius]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=5e-4, amsgrad=True)
    yield from beside(mine, training(model, [optimizer], lambda: model.loss(images)), model, images)


def destseg(images: Tensor) -> Iterator[tuple[str, Run, Run]]:
    """Runs of dlkd's DeSTSeg and of the plain one, of two images, as its head is large; both paste the same."""
    images = images[:FEW]
    model: Any = create_model("destseg", teacher=RESNET)
    plain = PlainDestseg()
    optimizer = torch.optim.SGD([p for p in plain.parameters() if p.requires_grad], 0.01, 0.9, weight_decay=1e-4)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (model.mean, model.std))

    def pasted() -> tuple[Tensor, Tensor]:
        seen, masks = model.pseudo_anomaly((images * std + mean).clamp(0, 1))
        return (seen - mean) / std, masks

    mine = ours(model, images)
    first = training(plain, [optimizer], lambda: plain.distillation(images, pasted()[0]))
    yield from beside(mine, first, plain, images)
    optimizers = model.optimizers()
    model.begin_step(1, 1, optimizers)
    head = training(model, optimizers, lambda: model.losses(images)["total"])
    yield "training step of the head", head, training(plain, [optimizer], lambda: plain.segmentation(*pasted()))


def vt_adl(images: Tensor) -> Iterator[tuple[str, Run, Run]]:
    """Runs of dlkd's VT-ADL and of the plain one."""
    images = images.sigmoid()
    mine: Any = create_model("vt_adl", encoder={"side": SIDE, "patch": 32}, decoder={"layers": VT_ADL_DECODER})
    model = PlainVtAdl()
    assert sum(p.numel() for p in mine.parameters()) == sum(p.numel() for p in model.parameters())
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, weight_decay=1e-4)
    step = training(mine, mine.optimizers(), lambda: mine.losses(images)["total"])
    yield "training step", step, training(model, [optimizer], lambda: model.loss(images, mine.ssim))

    def infer() -> Tensor:
        codes = model.codes(images)
        made, values = model.reconstruct(codes), model.values(codes)
        maps = F.interpolate(values.view(-1, 1, 8, 8), (SIDE, SIDE), mode="bilinear", align_corners=True)
        similar = mine.ssim.similarity(images, made).mean(dim=(1, 2, 3))
        return (made - images).square().mean(dim=(1, 2, 3)) + similar + maps.amax(dim=(1, 2, 3))

    yield "inference", inference(mine, lambda: mine.detect(images)), inference(model, infer)


def untrained(*arguments: Any, create: Callable[..., Any] = timm.create_model, **named: Any) -> Any:
    """timm's network without weights, which anomalib would download; what they are changes no time."""
    return create(*arguments, **{**named, "pretrained": False})


def draem(images: Tensor) -> Iterator[tuple[str, Run, Run]]:
    """Runs of dlkd's and anomalib's DRAEM at 64 pixels and the published widths, each with its own pasted defects."""
    from anomalib.data.utils.generators.perlin import PerlinAnomalyGenerator
    from anomalib.models.image.draem.loss import DraemLoss
    from anomalib.models.image.draem.torch_model import DraemModel

    small = images[:FEW, :, :64, :64].sigmoid()
    mine: Any = create_model(
        "draem",
        augmentation="none",
        pseudo_anomaly={"image_weight": [0.0, 0.9], "mask": {"redraws": 10}},
        structure_loss={"border": "reflect"},
        mask_loss={"alpha": 1.0, "smoothing": 0.0},
        mask_weight=0.5,
        reconstruction_first=False,
        bgr=False,
        weight_std=None,
        score_window=1,
    )
    runs = ours(mine, small)
    model, loss, spoil = DraemModel(), DraemLoss(), PerlinAnomalyGenerator(blend_factor=(0.1, 1.0))

    def their_loss() -> Tensor:
        spoiled, masks = spoil(small)
        made, logits = model(spoiled)
        return loss(small, made, masks, logits)

    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4)
    yield "training step", runs["training step"], training(model, [optimizer], their_loss)
    yield "inference", runs["inference"], inference(model, lambda: model(small))
    yield "pasted defects", lambda: mine.spoiled(small), lambda: spoil(small)


SYSTEMS = {
    "STFPM": stfpm,
    "RD": reverse_distillation,
    "PatchCore": patchcore,
    "MB-PFM": mb_pfm,
    "NoCo": noco,
    "DeSTSeg": destseg,
    "VT-ADL": vt_adl,
    "DRAEM": draem,
}
PLAIN = ("MB-PFM", "NoCo", "DeSTSeg", "VT-ADL")
"""Systems that stand beside a plain version."""


def seconds(run: Run, clock: Clock) -> float:
    start = clock()
    run()
    return clock() - start


def measured(mine: Run, other: Run, rounds: int, at_least: float, clock: Clock) -> dict[str, Any]:
    """Medians of both, and of the ratio within a round: `rounds`, and more within `at_least` seconds.

    The first round is not counted.
    """
    for run in (mine, other):
        run()
    found: list[tuple[float, float]] = []
    begun = time.perf_counter()
    while len(found) < rounds or time.perf_counter() - begun < at_least:
        found.append((seconds(mine, clock), seconds(other, clock)))
    medians = [statistics.median(times) for times in zip(*found, strict=True)]
    ratio = statistics.median(a / b for a, b in found)
    return {"dlkd": medians[0], "other": medians[1], "ratio": ratio, "rounds": len(found)}


def measure(rounds: int, at_least: float, names: Sequence[str], clock: Clock, *, all_runs: bool) -> dict[str, Any]:
    """All figures; a system whose other implementation is missing is left out, with the reason."""
    images = torch.randn(BATCH, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    figures: dict[str, Any] = {}
    for name in names:
        if name not in PLAIN and not importlib.util.find_spec("anomalib"):
            figures[name] = {"skipped": f"{name}: anomalib is not installed: pip install dlkd[bench]"}
            continue
        torch.manual_seed(0)
        # Memory as in a trial, for both.
        with warnings.catch_warnings(), kept_memory(), patch("timm.create_model", untrained):
            warnings.simplefilter("ignore")
            # A fit takes as long as several steps.
            times = {}
            for what, mine, theirs in SYSTEMS[name](images):
                if what not in BOUNDS and not all_runs:
                    continue
                count = min(rounds, 2) if what == "fit" else rounds
                say(f"{name}, {what}")
                times[what] = measured(mine, theirs, count, at_least, clock)
        other = "plain" if name in PLAIN else "anomalib"
        targets = [
            {
                "what": f"{name}, {what}, dlkd / {other}",
                "measured": found["ratio"],
                "target": f"<= {BOUNDS[what]:.2g}",
                "met": found["ratio"] <= BOUNDS[what],
            }
            for what, found in times.items()
            if what in BOUNDS
        ]
        figures[name] = {"seconds": times, "targets": targets}
        show(name, times)
    machine = {
        "processor": platform.processor(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    return {"machine": machine, **figures}


def show(name: str, times: dict[str, dict[str, float]]) -> None:
    """Print a system's figures as rows of a Markdown table."""
    for what, found in times.items():
        mine, other = (f"{1000 * found[key]:.0f}" for key in ("dlkd", "other"))
        print(f"| {name} | {what} | {mine} | {other} | {found['ratio']:.2f} |", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0, help="more rounds of each comparison within this time")
    parser.add_argument("--only", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS), metavar="NAME")
    parser.add_argument("--targets", action="store_true", help="measure only what has a target")
    parser.add_argument("--cpu", action="store_true", help="seconds of processor, for a busy machine and one thread")
    options = parser.parse_args(arguments)
    clock = time.process_time if options.cpu else time.perf_counter
    figures = measure(options.rounds, options.seconds, options.only, clock, all_runs=not options.targets)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
