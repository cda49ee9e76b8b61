"""Scores and overlays of images that belong to no dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.progress import track

from dlkd.data import DataError, ImageDataset, Sample, read_image
from dlkd.data.layout import list_images
from dlkd.models.dlkd import DLKD
from dlkd.training.pictures import save_prediction
from dlkd.training.trial import TrialSpec, device, read_result


def predict_images(
    model: DLKD, trial: Path, spec: TrialSpec, images: Path, out: Path, *, bar: bool = False
) -> tuple[list[dict[str, Any]], list[str]]:
    """Score an image or every image below a folder, and draw each one's overlay below `out`.

    The threshold, and the colour scale around it, are the trial's own, from its normal training images.

    Returns:
        One row an image (image, score, threshold, anomalous, overlay), and a message for each unreadable file.

    Raises:
        DataError: there is no image at `images`.
    """
    files = [images] if images.is_file() else sorted(f for d in _folders(images) for f in list_images(d))
    if not files:
        raise DataError(f"{images}: no image found" if images.exists() else f"{images}: no such file or folder")
    normal = read_result(trial).normal
    low, high = normal.scale
    dataset = ImageDataset(
        [Sample(f, 0) for f in files],
        image_size=spec.train.sides,
        mean=model.teacher.mean,
        std=model.teacher.std,
        cache_bytes=0,
    )
    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    broken: list[str] = []
    for i, file in enumerate(track(files, description="scoring", disable=not bar)):
        try:
            item = dataset[i]
            picture = read_image(file)
        except DataError as error:
            broken.append(str(error))
            continue
        with torch.inference_mode():
            anomaly_map = model(item["image"].unsqueeze(0).to(device()))
            score = float(model.score(anomaly_map))
        relative = file.relative_to(images) if images.is_dir() else Path(file.name)
        # The whole name, ending included: a.png and a.jpg are two images.
        overlay = out / relative.parent / f"{relative.name}.overlay.png"
        overlay.parent.mkdir(parents=True, exist_ok=True)
        h, w = picture.shape[:2]
        at_image_size = F.interpolate(anomaly_map[None].float(), (h, w), mode="bilinear")[0, 0].cpu().numpy()
        save_prediction(
            overlay,
            picture,
            at_image_size,
            score=score,
            threshold=normal.threshold,
            low=low,
            high=high,
            name=str(relative),
        )
        rows.append(
            {
                "image": str(file),
                "score": f"{score:.6f}",
                "threshold": f"{normal.threshold:.6f}",
                "anomalous": int(score > normal.threshold),
                "overlay": str(overlay),
            }
        )
    return rows, broken


def _folders(root: Path) -> list[Path]:
    return [root, *sorted(p for p in root.rglob("*") if p.is_dir())] if root.is_dir() else []
