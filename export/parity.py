"""The gate of an export: a file gives the scores of the model that it was made of, or it is not written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlkd.data import DataError
from dlkd.export.error import ExportError
from dlkd.export.held_pictures import Held
from dlkd.runtime.engine import Engine, Outputs
from dlkd.training.prediction.prediction import Prediction
from dlkd.training.prediction.trained_model import TrainedModel

TOLERANCE = 1e-4
"""Of scores and maps; a part of the value where that is above 1, since float32 rounds by parts."""


@dataclass(frozen=True)
class Parity:
    """How far a file is from its model.

    Attributes:
        pictures: how many were compared.
        sizes: how many sizes they have.
        of: what pictures they are.
        score: largest difference of a score, as a part of it where it is above 1.
        map: largest difference of a map's pixel, as a part of the map's largest value where that is above 1; None
            without maps.
        flips: pictures whose label differs.
    """

    pictures: int
    sizes: int
    of: str
    score: float
    map: float | None
    flips: int

    def __str__(self) -> str:
        maps = "" if self.map is None else f", of maps {self.map:.1e}"
        return (
            f"largest difference of scores {self.score:.1e}{maps}, {self.flips} labels differ: {self.pictures} "
            f"pictures of {self.sizes} sizes ({self.of})"
        )

    def as_dict(self) -> dict[str, Any]:
        """For the file's metadata."""
        return asdict(self)


def compare(trained: TrainedModel, engine: Engine, held: Held, threshold: float) -> Parity:
    """Run a file at its own threshold, and the model at `threshold`, on the same pictures."""
    scores: list[float] = []
    maps: list[float] = []
    flips = 0
    for batch in held.batches:
        found = _run(engine, batch)
        for i, expected in enumerate(_expected(trained, batch, threshold)):
            scores.append(difference(found.score[i], expected.score))
            flips += bool(found.label[i]) != expected.anomalous
            if found.map is not None and (anomaly_map := expected.map) is not None:
                maps.append(difference(found.map[i], anomaly_map))
    return Parity(len(scores), len(held.batches), held.origin, max(scores), max(maps) if maps else None, flips)


def check(parity: Parity) -> None:
    """Raise ExportError where a file is not what its model is."""
    far = max(parity.score, parity.map or 0.0)
    if parity.flips or not far <= TOLERANCE:  # a NaN too
        raise ExportError(
            f"the exported file does not give the model's results, and is not written: {parity}. At most "
            f"{TOLERANCE:g} and no other label is allowed; please report it with the variant's name"
        )


def difference(found: Any, expected: Any) -> float:
    """Largest absolute difference, as a part of the largest value where that is above 1; infinite for NaN."""
    a, b = np.asarray(found, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    if a.shape != b.shape:
        raise ExportError(f"the exported file gives the shape {a.shape} where the model gives {b.shape}")
    far = float(np.abs(a - b).max() / max(1.0, np.abs(b).max()))
    return far if np.isfinite(far) else float("inf")


def _run(engine: Engine, batch: NDArray[np.uint8]) -> Outputs:
    try:
        return engine.run(batch, engine.metadata["threshold"])
    except Exception as error:  # the runtimes' own
        raise ExportError(f"the exported file fails on pictures of the shape {batch.shape}: {error}") from error


def _expected(trained: TrainedModel, batch: NDArray[np.uint8], threshold: float) -> Iterator[Prediction]:
    for each in trained.score(list(batch), trained.range(threshold)):
        assert not isinstance(each, DataError)  # arrays are read already
        yield each
