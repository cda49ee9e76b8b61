"""Reading: images per second, first and later epochs, against what training asks for; memory on a huge folder.

    python benchmarks/bench_data.py --json data.json                    # without the huge folder
    python benchmarks/bench_data.py --json data.json --files 100000     # and with it

Pictures are 1024x1024 PNGs, as MVTec's, resized to 256x256 and read in batches of 8. Training asks for at
most the rate of the teacher alone, ResNet18 with noise and its clean features kept, as no network of ours can
be faster than its teacher. Reading holds up nothing where a batch takes a small part of that.
Linux only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from said import counted, say
from skimage import data as pictures
from torch.utils.data import DataLoader

from dlkd.data import Folder, ImageDataset, Sample
from dlkd.data.made.textures import NAMES
from dlkd.models import GaussianNoise, Teacher

BATCH = 8
STATISTICS: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def write_pictures(folder: Path, count: int, side: int) -> list[Sample]:
    """Colour PNGs of side x side made of real textures, each with noise of its own."""
    samples = []
    for i in range(count):
        rng = np.random.default_rng(i)
        grey = np.asarray(Image.fromarray(getattr(pictures, NAMES[i % 3])()).resize((side, side)), dtype=np.int16)
        noisy = grey[..., None] + rng.integers(-6, 7, (side, side, 3), dtype=np.int16)
        path = folder / f"{i:03d}.png"
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(path)
        samples.append(Sample(path, 0))
    return samples


def epoch_seconds(dataset: ImageDataset, workers: int) -> float:
    """Wall time of one epoch in batches, starting the workers left out."""
    loader = DataLoader(dataset, batch_size=BATCH, num_workers=workers)
    batches = iter(loader)
    if workers:
        next(batches)
    start = time.perf_counter()
    images = sum(len(batch["label"]) for batch in batches)
    return (time.perf_counter() - start) / images * len(dataset)


def reading(samples: list[Sample], rounds: int) -> dict[str, Any]:
    """Milliseconds a batch: decoding each time, an epoch that fills the cache, later epochs, by workers."""
    found: dict[str, Any] = {}
    per_batch = 1000 * BATCH / len(samples)
    for workers in counted("reading with 0, 1 and 2 workers", (0, 1, 2)):
        bare = ImageDataset(samples, cache_bytes=0, **STATISTICS)
        kept = ImageDataset(samples, **STATISTICS)
        row = {"no cache": epoch_seconds(bare, workers) * per_batch}
        if workers == 0:
            row["first epoch"] = epoch_seconds(kept, workers) * per_batch
        later = [epoch_seconds(kept, workers) for _ in range(rounds)]
        row["later epochs"] = statistics.median(later) * per_batch
        found[f"{workers} workers"] = row
    return found


def teacher_step_ms(rounds: int) -> float:
    """Milliseconds for the teacher's part of a training step: the noisy pass of a batch at 256x256."""
    teacher, noise = Teacher(backbone="resnet18", weights="random"), GaussianNoise()
    images = torch.randn(BATCH, 3, 256, 256)
    features, entry = teacher.clean(images, "stem")
    times = []
    for _ in counted("the teacher's pass, round", range(rounds)):
        start = time.perf_counter()
        teacher.pseudo_anomalies(images, features, noise, entry=entry)
        times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def huge_folder(files: int) -> dict[str, float]:
    """Peak memory in MiB of two epochs over `files` images, beyond what the imports take."""
    say(f"a folder of {files:,} files")
    command = [sys.executable, __file__, "--walk", str(files)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(result.stdout)
    return found


def walk(files: int) -> dict[str, float]:
    """Make the folder out of links to a few pictures, and read it twice."""
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["DLKD_CACHE"] = f"{temporary}/cache"
        folder = Path(temporary) / "set" / "x" / "train" / "good"
        folder.mkdir(parents=True)
        sources = write_pictures(folder, 10, 64)
        for i in range(10, files):
            os.link(sources[i % 10].image, folder / f"{i:06d}.png")
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak of imports and of the parent process
        before = _peak()
        start = time.perf_counter()
        category = Folder(Path(temporary) / "set").load("x")
        dataset = ImageDataset(category.train, image_size=64, **STATISTICS)
        found = {"files": len(dataset), "list s": time.perf_counter() - start, "list MiB": _peak() - before}
        for epoch in ("first", "second"):
            start = time.perf_counter()
            for _ in DataLoader(dataset, batch_size=BATCH, shuffle=True):
                pass
            found[f"{epoch} epoch s"] = time.perf_counter() - start
            found[f"{epoch} epoch MiB"] = _peak() - before
        return found


def _peak() -> float:
    """Peak resident memory since it was last forgotten, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures here")
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, help="size of the huge folder; left out without it")
    parser.add_argument("--walk", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.walk:
        print(json.dumps(walk(arguments.walk)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["DLKD_CACHE"] = f"{temporary}/cache"
        say(f"writing {arguments.pictures} pictures")
        samples = write_pictures(Path(temporary), arguments.pictures, 1024)
        found: dict[str, Any] = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
            "load": os.getloadavg()[0],
            "ms a batch of 8": reading(samples, arguments.rounds),
            "ms of the teacher in a step": teacher_step_ms(arguments.rounds),
        }
    share = found["ms a batch of 8"]["0 workers"]["later epochs"] / found["ms of the teacher in a step"]
    row = {"what": "reading a batch / the teacher's part of a step", "measured": share, "target": "<= 0.1"}
    found["targets"] = [{**row, "met": share <= 0.1}]
    if arguments.files:
        sizes = (arguments.files // 10, arguments.files)
        found["folders"] = [huge_folder(files) for files in sizes]
    text = json.dumps(found, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
