"""Scores, overlays and anomaly maps of images that belong to no dataset."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dlkd.data import DataError
from dlkd.files import atomic_path, bounded_name, errors_name, write_text
from dlkd.training.prediction.find_images import COLUMNS, SCORES, are_scores, find_images
from dlkd.training.prediction.pictures import save_prediction
from dlkd.training.prediction.prediction import Prediction
from dlkd.training.prediction.trained_model import TrainedModel
from dlkd.training.step_bar import progress

MapKind = Literal["npy", "png16"]


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
    trained: TrainedModel,
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
        trained: the model; the colour scale has its threshold in the middle.
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
    if scores_file.exists() and scores_file.stat().st_size and not are_scores(scores_file):
        raise DataError(f"{scores_file} is not of a prediction and would be replaced; name another --out")
    size = batch_size or trained.spec.train.batch_size
    normal = trained.range(threshold)
    out.mkdir(parents=True, exist_ok=True)
    done = Predicted()
    with (
        errors_name(scores_file),
        scores_file.open("w", newline="", encoding="utf-8", errors="backslashreplace") as table,
    ):
        writer = csv.DictWriter(table, COLUMNS)
        writer.writeheader()
        for start in progress(range(0, len(files), size), "scoring", shown=bar):
            found = trained.score(files[start : start + size], normal)
            done.broken += [str(each) for each in found if isinstance(each, DataError)]
            scored = [each for each in found if isinstance(each, Prediction)]
            if maps is not None and not all(each.has_map for each in scored):
                raise ValueError("this model gives scores and no anomaly maps; leave --maps out")
            for each in scored:
                writer.writerow(_row(each, _beside(out, _name(each, images), ".overlay.png") if overlays else None))
                done.scored += 1
                done.anomalous += each.anomalous
            table.flush()
            for each in scored:
                try:
                    _write_pictures(each, out, _name(each, images), overlays, maps)
                except Exception as error:  # one picture's trouble costs its own overlay alone
                    done.undrawn.append(f"{each.picture}: scored, but not drawn: {error}")
    return done


def _row(found: Prediction, overlay: Path | None) -> dict[str, str | int]:
    """A line of scores.csv."""
    drawn = "" if overlay is None or not found.has_map else str(overlay)
    cells = (str(found.picture), f"{found.score:.6f}", f"{found.threshold:.6f}", int(found.anomalous), drawn)
    return dict(zip(COLUMNS, cells, strict=True))


def _name(found: Prediction, images: Path) -> Path:
    """The picture's place below the folder that was asked for."""
    file = Path(str(found.picture))
    return file.relative_to(images) if images.is_dir() else Path(file.name)


def _beside(out: Path, name: Path, ending: str) -> Path:
    """Where a picture's overlay or map goes; with the whole name: a.png and a.jpg are two images."""
    return out / name.parent / f"{bounded_name(name.name)}{ending}"


def _write_pictures(found: Prediction, out: Path, name: Path, overlays: bool, maps: MapKind | None) -> None:
    if not (overlays or maps) or (anomaly_map := found.map) is None:
        return
    if maps is not None:
        _write_map(_beside(out, name, ".map"), anomaly_map, maps)
    if overlays:
        low, high = found.normal.scale
        path = _beside(out, name, ".overlay.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        save_prediction(
            path, found.pixels(), anomaly_map, score=found.score, threshold=found.threshold, low=low, high=high,
            name=str(name),
        )  # fmt: skip


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
