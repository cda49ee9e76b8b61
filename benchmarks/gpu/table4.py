"""What Table 4 costs on MVTec AD with the paper's settings and three seeds: a forecast from times measured here.

The forecast is that of `dlkd ablate --dry-run`: each row's trial is timed in small, part by part, and multiplied by the
counts of MVTec AD's 15 categories, whose pictures are not needed for it. Its pictures are noise of 900x900 pixels.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
from figures import Asked, asked
from PIL import Image

from dlkd.ablations.forecast.parts import time_parts
from dlkd.ablations.forecast.schedule import trial_seconds
from dlkd.ablations.plan.grid_files import load_grid
from dlkd.data import Category
from dlkd.registry import default_registry
from dlkd.training import TrainConfig, TrialSpec
from dlkd.training.trials.trial_spec import load_category

SEEDS = 3
COUNTS = {
    "bottle": (209, 20, 63), "cable": (224, 58, 92), "capsule": (219, 23, 109), "carpet": (280, 28, 89),
    "grid": (264, 21, 57), "hazelnut": (391, 40, 70), "leather": (245, 32, 92), "metal_nut": (220, 22, 93),
    "pill": (267, 26, 141), "screw": (320, 41, 119), "tile": (230, 33, 84), "toothbrush": (60, 12, 30),
    "transistor": (213, 60, 40), "wood": (247, 19, 60), "zipper": (240, 32, 119),
}  # fmt: skip
"""Training images, normal and anomalous test images of MVTec AD's categories."""


def pictures(root: Path, side: int, batch: int) -> None:
    """A category "noise" in MVTec AD's layout, as large as a forecast needs."""
    rng = np.random.default_rng(0)
    for split, count in (("train/good", 2 * batch), ("test/good", batch), ("test/spot", batch)):
        folder = root / "noise" / split
        folder.mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(folder / f"{i:03d}.png")
            if split == "test/spot":
                truth = root / "noise" / "ground_truth" / "spot"
                truth.mkdir(parents=True, exist_ok=True)
                mask = np.zeros((side, side), np.uint8)
                mask[side // 4 : side // 3, side // 4 : side // 3] = 255
                Image.fromarray(mask).save(truth / f"{i:03d}_mask.png")


def like(category: Category, name: str) -> Category:
    """As many samples as a category of MVTec AD has."""
    train, normal, anomalous = COUNTS[name]
    test = ([s for s in category.test if not s.label][:1] * normal) + (list(category.anomalies[:1]) * anomalous)
    return Category(category.dataset, name, category.train[:1] * train, tuple(test))


def best_of(trials: Path) -> tuple[float, str]:
    """How much faster the best number of trials per GPU is than one, as part `trials` measured it."""
    try:
        found = [one for one in json.loads(trials.read_text(encoding="utf-8")) if one["ratio"]]
    except (OSError, ValueError):
        found = []
    best = max(found, key=lambda one: one["ratio"], default=None)
    return (1.0, "one trial at a time; part trials has no figures") if best is None else (best["ratio"], best["figure"])


def measure(asked: Asked) -> None:
    """All figures."""
    registry, grid = default_registry(), load_grid("table4")
    config = TrainConfig(image_size=32, batch_size=2, epochs=1) if asked.dry else TrainConfig()
    total = 0.0
    with tempfile.TemporaryDirectory(prefix="dlkd-gpu-") as scratch:
        root = Path(scratch)
        pictures(root / "data", 64 if asked.dry else 900, config.batch_size)
        for i, row in enumerate(grid.rows):
            teacher = {"teacher": {"backbone": "resnet18", "weights": "random"}}
            spec = TrialSpec(
                variant=row.variant, model=registry.resolve(row.variant, teacher),
                dataset=registry.complete("dataset", {"name": "folder", "root": str(root / "data")}),
                category="noise", train=config, seed=0,
            )  # fmt: skip
            category = load_category(spec, registry)
            parts = time_parts(spec, category, registry, root / f"row{i}")
            hours = SEEDS * sum(trial_seconds(parts, spec, like(category, name)) for name in COUNTS) / 3600
            total += hours
            asked.figures.add(f"a step of {row.label}, Lightning included", 1000 * parts.step, "ms")
            asked.figures.add(f"45 trials of {row.label}, one at a time", hours, "GPU hours")
    asked.figures.add("Table 4 on MVTec AD, 135 trials, one at a time", total, "GPU hours")
    faster, how = best_of(asked.out / "trials.json")
    asked.figures.add(
        "Table 4 on MVTec AD, with the best number of trials per GPU", total / faster, "GPU hours", note=how
    )


if __name__ == "__main__":
    measure(asked(__doc__))
