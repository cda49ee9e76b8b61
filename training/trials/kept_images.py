"""A few test images with ground truth and anomaly map, kept with a trial so that reports need no training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dlkd.files import atomic_path
from dlkd.training.data_module import CategoryData
from dlkd.training.evaluate import Evaluation
from dlkd.training.trials.trial_folder import EXAMPLES
from dlkd.training.trials.trial_result import NormalRange

NORMAL, ANOMALOUS = 1, 4
"""How many images of each kind are kept."""


def keep_images(folder: Path, evaluation: Evaluation, data: CategoryData, normal: NormalRange) -> None:
    """Keep the first normal image and one of each of the first defects: the same images for every variant."""
    indices = choose([(s.label, s.defect) for s in data.category.test])
    names = [str(data.category.test[i].image.name) for i in indices]
    masks, maps = evaluation.masks, evaluation.maps
    with atomic_path(folder / EXAMPLES) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            images=np.stack([picture(data, i) for i in indices]) if indices else np.empty(0, np.uint8),
            maps=np.empty(0, np.float16) if maps is None else maps[indices].astype(np.float16),
            masks=np.empty(0, bool) if masks is None else masks[indices],
            scores=evaluation.scores[indices],
            labels=evaluation.labels[indices],
            names=np.array(names),
            # One colour scale across variants needs each one's own unit.
            threshold=np.array(normal.threshold),
        )


def choose(kinds: list[tuple[int, str]]) -> list[int]:
    """Indices of the first normal image and of the first image of each defect, at most `ANOMALOUS` of them."""
    seen: dict[str, int] = {}
    for i, (label, defect) in enumerate(kinds):
        if label == 1:
            seen.setdefault(defect, i)
    normal = [i for i, (label, _) in enumerate(kinds) if label == 0][:NORMAL]
    return normal + list(seen.values())[:ANOMALOUS]


def picture(data: CategoryData, index: int) -> NDArray[np.uint8]:
    """Test image `index` as the model saw it, uint8 RGB (h, w, 3)."""
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (data.mean, data.std))
    image = data.test_set[index]["image"] * std + mean
    pixels: NDArray[np.uint8] = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    return pixels
