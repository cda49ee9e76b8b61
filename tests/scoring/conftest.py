"""A model that needs no network: a picture's score is its brightness, its map the brightness of each pixel."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dlkd.scoring.scorer import Answer, Normal


class Brightness:
    """Scores from 0 to 1; takes note of the sizes of its batches, and of the pictures' sizes."""

    def __init__(self, batch_size: int = 3, proportions: float = float("nan"), maps: bool = True) -> None:
        self.normal = Normal(threshold=0.5, origin="half of all", level=0.1, proportions=proportions)
        self.batch_size, self.maps, self.tile = batch_size, maps, None
        self.batches: list[int] = []
        self.sizes: list[tuple[int, ...]] = []

    def prepare(self, pixels: np.ndarray) -> np.ndarray:
        self.sizes.append(pixels.shape[:2])
        return pixels.mean(axis=2).astype(np.float32) / 255

    def detect(self, prepared: Sequence[np.ndarray]) -> list[Answer]:
        self.batches.append(len(prepared))
        return [Answer(float(m.mean()), (lambda m=m: m) if self.maps else None) for m in prepared]


@pytest.fixture
def brightness() -> type[Brightness]:
    return Brightness


@pytest.fixture
def picture() -> Callable[..., Path]:
    """Writes a picture of one grey level."""

    def write(path: Path, level: int = 100, size: tuple[int, int] = (8, 10)) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((*size, 3), level, np.uint8)).save(path)
        return path

    return write
