"""What a prediction writes beside its rows: overlays, masks and anomaly maps."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dlkd.files import atomic_path, bounded_name, write_text
from dlkd.scoring.item import Item
from dlkd.scoring.scorer import Map, Normal, Pixels

MapKind = Literal["npy", "png16"]
LONGEST_DRAWN = 2048
"""Pixels of an overlay's longer side; a figure shows fewer."""


@dataclass(frozen=True)
class Drawn:
    """What is written beside the rows, below a folder.

    Attributes:
        folder: of the output.
        overlays: the anomaly map over each picture, as a figure.
        masks: PNG at the picture's size, 255 where the map is above the threshold, else 0.
        maps: each map (h, w) at its picture's size: as float32 .npy, or as 16-bit PNG whose value v stands for
            low + v / 65535 * (high - low), with low and high in a .json beside it.
    """

    folder: Path
    overlays: bool = False
    masks: bool = False
    maps: MapKind | None = None

    def __bool__(self) -> bool:
        return self.overlays or self.masks or self.maps is not None

    def paths(self, item: Item) -> dict[str, str | None]:
        """Where the overlay, the mask and the map of a picture go; None for what is not written."""
        map_ending = {None: "", "npy": ".map.npy", "png16": ".map.png"}[self.maps]
        return {
            "overlay": str(self._beside(item, ".overlay.png")) if self.overlays else None,
            "mask": str(self._beside(item, ".mask.png")) if self.masks else None,
            "map": str(self._beside(item, map_ending)) if self.maps else None,
        }

    def write(self, item: Item, anomaly_map: Map, *, score: float, threshold: float, normal: Normal) -> None:
        """Write what is asked for, each file whole or not at all."""
        if self.maps is not None:
            _write_map(self._beside(item, ".map"), anomaly_map, self.maps)
        if self.masks:
            mask = Image.fromarray(np.where(anomaly_map > threshold, np.uint8(255), np.uint8(0)))
            with atomic_path(self._beside(item, ".mask.png")) as temporary:
                mask.save(temporary, format="png")
        if self.overlays:
            from dlkd.training.prediction.pictures import save_prediction  # matplotlib takes a second

            pixels, shown = shrunk(item.pixels(), anomaly_map)
            low, high = normal.scale(threshold)
            path = self._beside(item, ".overlay.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            name = str(item.place) if item.frame is None else item.name
            save_prediction(path, pixels, shown, score=score, threshold=threshold, low=low, high=high, name=name)

    def _beside(self, item: Item, ending: str) -> Path:
        """With the whole name: a.png and a.jpg are two images."""
        return self.folder / item.place.parent / f"{bounded_name(item.place.name)}{ending}"


def shrunk(pixels: Pixels, anomaly_map: Map, longest: int = LONGEST_DRAWN) -> tuple[Pixels, Map]:
    """A picture (h, w, 3) and its map (h, w) with at most so many pixels per side.

    Blocks of the picture become their mean, those of the map their maximum, so that no small defect vanishes.
    """
    block = -(-max(anomaly_map.shape) // longest)
    if block == 1:
        return pixels, anomaly_map
    h, w = (-(-side // block) * block for side in anomaly_map.shape)
    padded = np.pad(anomaly_map, ((0, h - anomaly_map.shape[0]), (0, w - anomaly_map.shape[1])), mode="edge")
    largest: Map = padded.reshape(h // block, block, w // block, block).max(axis=(1, 3))
    return np.asarray(Image.fromarray(pixels).reduce(block)), largest


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
