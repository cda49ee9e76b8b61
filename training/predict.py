"""Scores, overlays and anomaly maps of images that belong to no dataset."""

from __future__ import annotations

import csv
import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from dlkd.data import DataError, ImageDataset, Sample, read_image
from dlkd.data.images import proportions
from dlkd.data.layout import IMAGE_SUFFIXES, list_images
from dlkd.files import atomic_path, bounded_name, errors_name, write_text
from dlkd.models.detector import Detector
from dlkd.training.device import device
from dlkd.training.pictures import save_prediction
from dlkd.training.step_bar import progress
from dlkd.training.trial_folder import SPEC
from dlkd.training.trial_result import NormalRange
from dlkd.training.trial_spec import TrialSpec

SCORES = "scores.csv"
COLUMNS = ("image", "score", "threshold", "anomalous", "overlay")
MapKind = Literal["npy", "png16"]

OTHER_PROPORTIONS = 1.1
"""Pictures whose width per height is more than this times that of the training's are said to be squeezed."""

_OWN_FILE = re.compile(rf"({'|'.join(map(re.escape, sorted(IMAGE_SUFFIXES)))})\.(overlay|map)\.png$", re.IGNORECASE)


@dataclass
class Predicted:
    """What a prediction came to.

    Attributes:
        scored: images in scores.csv.
        anomalous: those of them above the threshold.
        broken: a message for each image that could not be read.
        undrawn: a message for each image that is scored, and whose overlay or map could not be written.
    """

    scored: int = 0
    anomalous: int = 0
    broken: list[str] = field(default_factory=list)
    undrawn: list[str] = field(default_factory=list)


def predict_images(
    model: Detector,
    spec: TrialSpec,
    normal: NormalRange,
    images: Path,
    out: Path,
    *,
    threshold: float | None = None,
    batch_size: int | None = None,
    overlays: bool = True,
    maps: MapKind | None = None,
    bar: bool = False,
) -> Predicted:
    """Score an image or every image below a folder into `out`/scores.csv, which a new prediction replaces.

    A batch's rows are on disk before its pictures are drawn. Scores of another batch size differ by rounding alone.

    Args:
        model: in eval mode.
        spec: the trial's.
        normal: the trial's range of normal images; the colour scale has the threshold in its middle.
        images: an image or a folder; see `find_images` for what is left out.
        out: folder of scores.csv, overlays and maps.
        threshold: image score above which an image counts as anomalous; default the trial's own.
        batch_size: images scored at a time; default the trial's.
        overlays: draw the anomaly map over each image.
        maps: write each anomaly map (h, w) at its picture's size: as float32 .npy, or as 16-bit PNG whose value v
            stands for low + v / 65535 * (high - low), with low and high in a .json beside it.
        bar: show a progress bar.

    Raises:
        DataError: there is no image at `images`, or `out` has a scores.csv that no prediction wrote.
        ValueError: maps are asked of a model that gives none.
    """
    files = find_images(images, out)
    scores_file = out / SCORES
    if scores_file.exists() and scores_file.stat().st_size and not _are_scores(scores_file):
        raise DataError(f"{scores_file} is not of a prediction and would be replaced; name another --out")
    size = batch_size or spec.train.batch_size
    normal = normal if threshold is None else NormalRange(normal.level, threshold)
    dataset = ImageDataset(
        [Sample(f, 0) for f in files],
        image_size=spec.train.sides,
        mean=model.mean,
        std=model.std,
        cache_bytes=0,
    )
    out.mkdir(parents=True, exist_ok=True)
    done = Predicted()
    with (
        errors_name(scores_file),
        scores_file.open("w", newline="", encoding="utf-8", errors="backslashreplace") as table,
    ):
        writer = csv.DictWriter(table, COLUMNS)
        writer.writeheader()
        starts = range(0, len(files), size)
        for start in progress(starts, "scoring", shown=bar):
            read, batch = [], []
            for i in range(start, min(start + size, len(files))):
                try:
                    batch.append(dataset[i]["image"])
                    read.append(files[i])
                except DataError as error:
                    done.broken.append(str(error))
            if not read:
                continue
            with torch.inference_mode():
                detected = model.detect(torch.stack(batch).to(device()))
                scores = [float(score) for score in detected.scores]
                batch_maps = None if detected.maps is None else detected.maps.float().cpu()
            if batch_maps is None and maps is not None:
                raise ValueError("this model gives scores and no anomaly maps; leave --maps out")
            names = [f.relative_to(images) if images.is_dir() else Path(f.name) for f in read]
            for file, name, score in zip(read, names, scores, strict=True):
                anomalous = score > normal.threshold
                drawn = str(_beside(out, name, ".overlay.png")) if overlays and batch_maps is not None else ""
                cells = (str(file), f"{score:.6f}", f"{normal.threshold:.6f}", int(anomalous), drawn)
                writer.writerow(dict(zip(COLUMNS, cells, strict=True)))
                done.scored += 1
                done.anomalous += anomalous
            table.flush()
            if batch_maps is not None and (overlays or maps):
                for file, name, score, one in zip(read, names, scores, batch_maps, strict=True):
                    try:
                        _write_pictures(out, name, file, one, score, normal, overlays, maps)
                    except Exception as error:  # one picture's trouble costs its own overlay alone
                        done.undrawn.append(f"{file}: scored, but not drawn: {error}")
    return done


def find_images(images: Path, out: Path) -> list[Path]:
    """An image, or every image below a folder, by folder and name.

    Left out are `out`, hidden files and folders, folders that dlkd wrote (predictions, trials, reports), overlays and
    maps beside their images, and folders that a link leads to a second time. Raises DataError where nothing is left.
    """
    if images.is_file():
        return [images]
    if not images.is_dir():
        raise DataError(f"{images}: no such file or folder")
    found = [f for d in _folders(images, out.resolve(), set()) for f in list_images(d) if not _OWN_FILE.search(f.name)]
    if not found:
        raise DataError(
            f"{images}: no image found; read are {', '.join(sorted(IMAGE_SUFFIXES))}, and hidden folders and those "
            "that dlkd wrote are left out"
        )
    return found


def squeezed(files: Sequence[Path], trained_on: float) -> str | None:
    """A sentence where pictures have other proportions than those trained on (width per height), else None."""
    if not math.isfinite(trained_on):
        return None
    shapes = [proportions(f) for f in files]
    others = [s for s in shapes if math.isfinite(s) and max(s / trained_on, trained_on / s) > OTHER_PROPORTIONS]
    if not others:
        return None
    return (
        f"{len(others)} of {len(shapes)} pictures have other proportions than the training's and are squeezed: trained "
        f"on width per height {trained_on:.2f}, theirs is {np.median(others):.2f}; scores may be off"
    )


def _folders(folder: Path, out: Path, seen: set[Path]) -> Iterator[Path]:
    """`folder` and the folders below it, each once."""
    seen.add(folder.resolve())
    yield folder
    for below in sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir()):
        real = below.resolve()
        above = any(real in s.parents for s in seen)  # a link upwards
        if not (below.name.startswith(".") or real == out or real in seen or above or _written_by_dlkd(below)):
            yield from _folders(below, out, seen)


def _written_by_dlkd(folder: Path) -> bool:
    if any((folder / name).exists() for name in (SPEC, "trials.parquet")):
        return True
    return _are_scores(folder / SCORES)


def _are_scores(path: Path) -> bool:
    """Whether a prediction wrote the file."""
    try:
        with path.open(encoding="utf-8", errors="replace") as table:
            return table.readline().rstrip() == ",".join(COLUMNS)
    except OSError:
        return False


def _beside(out: Path, name: Path, ending: str) -> Path:
    """Where a picture's overlay or map goes; with the whole name: a.png and a.jpg are two images."""
    return out / name.parent / f"{bounded_name(name.name)}{ending}"


def _write_pictures(
    out: Path,
    name: Path,
    file: Path,
    one: torch.Tensor,
    score: float,
    normal: NormalRange,
    overlays: bool,
    maps: MapKind | None,
) -> None:
    picture = read_image(file)
    resized = F.interpolate(one.reshape(1, 1, *one.shape[-2:]), picture.shape[:2], mode="bilinear")
    anomaly_map: NDArray[np.float32] = resized[0, 0].numpy()
    if maps is not None:
        _write_map(_beside(out, name, ".map"), anomaly_map, maps)
    if overlays:
        low, high = normal.scale
        path = _beside(out, name, ".overlay.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        save_prediction(
            path, picture, anomaly_map, score=score, threshold=normal.threshold, low=low, high=high, name=str(name)
        )


def _write_map(stem: Path, anomaly_map: NDArray[np.float32], kind: MapKind) -> None:
    path = stem.with_name(stem.name + (".npy" if kind == "npy" else ".png"))
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        if kind == "npy":
            np.save(file, anomaly_map)
            return
        low, high = float(anomaly_map.min()), float(anomaly_map.max())
        levels = (anomaly_map.astype(np.float64) - low) / (high - low or 1.0) * 65535
        Image.fromarray(levels.round().astype(np.uint16)).save(file, format="png")
    write_text(stem.with_name(stem.name + ".json"), json.dumps({"low": low, "high": high}))
