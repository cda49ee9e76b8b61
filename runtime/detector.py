"""A detector from an exported file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlkd.runtime.engine import Engine, FileError
from dlkd.runtime.load import load
from dlkd.runtime.picture import Picture, rgb_of
from dlkd.runtime.result import Result

LARGEST_BATCH = 8
"""Pictures of one size that are run at a time."""


class Detector:
    """A detector from a file of `dlkd export`: .onnx, or .xml of OpenVINO.

    Args:
        file: with the preprocessing, the network and the threshold in it.
        threshold: score above which a picture is anomalous; default the file's own. `detector.threshold = 0.4` sets it
            later.
        threads: of the CPU; default the runtime's own choice.

    Attributes:
        file: as it was given.
        metadata: what the file says of itself: variant, dataset, category, image_size, threshold, origin, metrics,
            parity and more (docs/deploy.md).

    Raises:
        FileError: the file is not there, none of dlkd's, or its runtime is not installed.
        ValueError: the threshold is no finite number, or `threads` is below 1.
    """

    def __init__(
        self, file: str | PathLike[str], *, threshold: float | None = None, threads: int | None = None
    ) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads must be at least 1, got {threads}")
        self.file = Path(file).expanduser()
        self._engine: Engine = load(self.file, threads)
        self.metadata: dict[str, Any] = self._engine.metadata
        self.threshold = self.metadata["threshold"] if threshold is None else threshold

    @property
    def threshold(self) -> float:
        """The score above which a picture is anomalous."""
        return self._threshold

    @threshold.setter
    def threshold(self, value: float) -> None:
        if not math.isfinite(value):
            raise ValueError(f"threshold must be a finite number, got {value}")
        self._threshold = float(value)

    def __call__(self, picture: Picture) -> Result:
        """Score one picture: a path, a picture of Pillow's, uint8 RGB (h, w, 3) or grey (h, w), of any size.

        Raises PictureError where it cannot be read.
        """
        return self.score([picture])[0]

    def score(self, pictures: Sequence[Picture]) -> list[Result]:
        """Score several pictures, in their order; neighbours of one size are run together, at most `LARGEST_BATCH`.

        All pictures and maps are in memory at once: give a large folder in parts.
        """
        return [result for batch in _batches(list(map(rgb_of, pictures))) for result in self._run(np.stack(batch))]

    def _run(self, pictures: NDArray[np.uint8]) -> Iterator[Result]:
        try:
            found = self._engine.run(pictures, self.threshold)
        except Exception as error:  # the runtimes' own, such as that of no memory
            raise FileError(f"{self.file}: fails on pictures of the shape {pictures.shape} ({error})") from error
        for i, (score, above) in enumerate(zip(found.score, found.label, strict=True)):
            yield Result(
                score=float(score),
                label="anomalous" if above else "normal",
                map=None if found.map is None else found.map[i],
                mask=None if found.mask is None else found.mask[i],
                threshold=self.threshold,
            )

    def __repr__(self) -> str:
        about = self.metadata
        return f"Detector({about.get('variant')} on {about.get('dataset')}/{about.get('category')}; in {self.file})"


def _batches(pictures: Sequence[NDArray[np.uint8]]) -> Iterator[list[NDArray[np.uint8]]]:
    """Neighbours of one size, at most `LARGEST_BATCH`."""
    batch: list[NDArray[np.uint8]] = []
    for picture in pictures:
        if batch and (picture.shape != batch[0].shape or len(batch) == LARGEST_BATCH):
            yield batch
            batch = []
        batch.append(picture)
    if batch:
        yield batch
