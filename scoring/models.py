"""The model of a trial's folder, and an exported file, as scorers. Each loads its own libraries alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlkd.scoring.scorer import Answer, Map, Normal, Pixels, Scorer

if TYPE_CHECKING:
    from dlkd.runtime import Detector
    from dlkd.training.prediction.trained_model import TrainedModel


def load_scorer(
    path: Path, *, registry_files: Sequence[Path] = (), imports: Sequence[Path] = (), threads: int | None = None
) -> tuple[Scorer, str]:
    """The model of a trial's folder or of an exported file, and a line for the user where other programs compute too,
    else "".

    Raises what `load_model` and `dlkd.runtime.Detector` raise.
    """
    if path.is_file():
        from dlkd.runtime import Detector

        return OfFile(Detector(path, threads=threads)), ""
    from dlkd.training.device import take_threads
    from dlkd.training.prediction.trained_model import load_model

    note = take_threads(threads)
    return OfTrial(load_model(path, registry_files=registry_files, imports=imports)), note


class OfTrial:
    """The model of a trial: the numbers of `TrainedModel.predict`."""

    def __init__(self, trained: TrainedModel) -> None:
        normal = trained.result.normal
        self.trained = trained
        self.normal = Normal(normal.threshold, normal.origin, normal.level, normal.proportions)
        self.batch_size, self.tile = trained.spec.train.batch_size, trained.tile

    def prepare(self, pixels: Pixels) -> Any:
        """The image at the network's size, and the picture's size."""
        return self.trained.prepared(pixels), pixels.shape[:2]

    def detect(self, prepared: Sequence[Any]) -> list[Answer]:
        """See `Scorer`."""
        from dlkd.training.prediction.prediction import resized_map

        found = self.trained.detect([image for image, _ in prepared])
        return [
            Answer(score, None if small is None else partial(resized_map, small, size))
            for (score, small), (_, size) in zip(found, prepared, strict=True)
        ]


class OfFile:
    """An exported file. It takes whole pictures, so that batches are of one: in memory is one picture."""

    def __init__(self, detector: Detector) -> None:
        about = detector.metadata
        level, proportions = (math.nan if about.get(k) is None else float(about[k]) for k in ("level", "proportions"))
        self.detector, self.batch_size = detector, 1
        tile = about.get("tile")
        self.tile: tuple[int, int] | None = None if tile is None else (int(tile[0]), int(tile[1]))
        origin = str(about.get("origin", "the threshold is the file's own"))
        self.normal = Normal(detector.threshold, origin, level, proportions)

    def prepare(self, pixels: Pixels) -> Pixels:
        """The picture itself: its preprocessing is in the file."""
        return pixels

    def detect(self, prepared: Sequence[Pixels]) -> list[Answer]:
        """See `Scorer`."""
        return [Answer(found.score, _giver(found.map)) for found in self.detector.score(prepared)]


def _giver(anomaly_map: Map | None) -> Callable[[], Map] | None:
    """A function that gives the map."""
    return None if anomaly_map is None else lambda: anomaly_map
