"""Anomaly maps laid over their images: for reports and for `dlkd predict`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from numpy.typing import NDArray
from scipy import ndimage

from dlkd.drawing import LiteralFigure
from dlkd.files import atomic_path
from dlkd.text import shortened

COLOURS = "inferno"
"""Rises evenly in brightness, so that it reads the same in grey and to the colour-blind."""

CONTOUR = (0, 229, 255)
"""Ground truth's outline: cyan is in no place of `COLOURS`."""

OPAQUE = 0.75
LONGEST_HEADING = 48
"""Characters of a name that fit above a picture."""


def overlay(
    image: NDArray[np.uint8],
    anomaly_map: NDArray[np.floating],
    low: float,
    high: float,
    *,
    mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """The map's colours over the greyed image, both (h, w): RGB uint8 (h, w, 3).

    `low` and below shows the bare image, `high` and above the last colour; `mask` is outlined. Raises
    ValueError where the sides differ or the scale is empty.
    """
    if anomaly_map.shape != image.shape[:2]:
        raise ValueError(f"the map is {anomaly_map.shape}, the image {image.shape[:2]}; resize one to the other")
    if not low < high:
        raise ValueError(f"the colour scale is empty: low={low}, high={high}; low must be below high")
    heat = np.clip((np.nan_to_num(anomaly_map.astype(np.float64), nan=high) - low) / (high - low), 0, 1)
    grey = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    colour = colormaps[COLOURS](heat)[..., :3] * 255
    alpha = OPAQUE * np.minimum(heat * 2, 1)[..., None]  # opaque from the middle on, lest grey dims the colours
    drawn = (grey * (1 - alpha) + colour * alpha).round().astype(np.uint8)
    return drawn if mask is None else outline(drawn, mask)


def outline(picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """`picture` (h, w, 3) with the border of `mask` (h, w) drawn on the mask's inner side, 1 pixel per 128."""
    if mask.shape != picture.shape[:2]:
        raise ValueError(f"the mask is {mask.shape}, the picture {picture.shape[:2]}; resize one to the other")
    width = max(1, round(max(mask.shape) / 128))
    inside = ndimage.binary_erosion(mask, iterations=width)
    drawn = picture.copy()
    drawn[mask & ~inside] = CONTOUR
    return drawn


def save_prediction(
    path: Path,
    image: NDArray[np.uint8],
    anomaly_map: NDArray[np.floating],
    *,
    score: float,
    threshold: float | None = None,
    low: float,
    high: float,
    mask: NDArray[np.bool_] | None = None,
    name: str = "",
) -> None:
    """Write a PNG, whole or not at all: the image, the map over it, the score and what it says.

    Args:
        path: of the PNG.
        image: RGB (h, w, 3).
        anomaly_map: (h, w).
        score: of the image.
        threshold: scores above it are called anomalous, and the map is outlined where it is above; None for neither.
        low: end of the colour scale; the same for all pictures that are to be compared.
        high: the other end.
        mask: ground truth (h, w), outlined on the image.
        name: of the image, for the heading.
    """
    above = None if threshold is None else anomaly_map > threshold
    pictures = [
        ("image" if mask is None else "image, ground truth outlined", image if mask is None else outline(image, mask)),
        ("anomaly map" if above is None else "anomaly map, above the threshold outlined",
         overlay(image, anomaly_map, low, high, mask=above)),
    ]  # fmt: skip
    figure = LiteralFigure((8.4, 4.3))
    axes = figure.subplots(1, 2)
    for each, (title, picture) in zip(axes, pictures, strict=True):
        each.imshow(picture, interpolation="nearest")
        each.set_title(title, fontsize=9)
        each.set_axis_off()
    bar = figure.colorbar(ScalarMappable(Normalize(low, high), COLOURS), ax=axes[1], fraction=0.045, extend="both")
    bar.ax.tick_params(labelsize=8)
    says = f"score {score:.4g}"
    if threshold is not None:
        bar.ax.axhline(threshold, color="#00e5ff", linewidth=2)
        says += f", threshold {threshold:.4g}: {'anomalous' if score > threshold else 'normal'}"
    figure.suptitle(f"{shortened(name, LONGEST_HEADING)}: {says}" if name else says, fontsize=11)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
