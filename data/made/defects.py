"""Planted defects with exact masks, for any normal picture; the kinds of the textures' test images.

Defects vary in size, place and contrast; some are hard to see. No pixel outside the mask changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from dlkd.data.made.shapes import Field, between, blob, contrast

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Plant = Callable[[Field, np.random.Generator], tuple[Field, Field]]

_LEAST_PIXELS = 12


def plant(
    image: Picture, defect: str, rng: np.random.Generator, kinds: Mapping[str, Plant] | None = None
) -> tuple[Picture, Mask]:
    """A copy of `image` (h, w, 3) with one defect, and its mask (h, w). Raises ValueError for a small image.

    The mask is where the defect covers the picture by a tenth or more.

    Args:
        image: of 32x32 at least.
        defect: name of a kind.
        rng: draws size, place and contrast.
        kinds: functions by name; default `DEFECTS`.

    >>> normal = np.full((64, 64, 3), 120, dtype=np.uint8)
    >>> planted, mask = plant(normal, "scratch", np.random.default_rng(0))
    >>> planted.shape, mask.shape, bool(mask.any()), bool((planted[~mask] == normal[~mask]).all())
    ((64, 64, 3), (64, 64), True, True)
    """
    if min(image.shape[:2]) < 32:
        raise ValueError(f"a defect needs an image of at least 32x32, got {image.shape[1]}x{image.shape[0]}")
    kinds = DEFECTS if kinds is None else kinds
    if defect not in kinds:
        raise ValueError(f"unknown defect '{defect}'; known: {', '.join(kinds)}")
    normal = image.astype(np.float64)
    while True:
        paint, cover = kinds[defect](normal, rng)
        mask = cover >= 0.1
        if mask.sum() >= _LEAST_PIXELS:  # a shape may lie almost wholly outside the picture
            break
    cover = np.where(mask, cover, 0.0)[..., None]
    planted = np.clip(np.rint(normal * (1 - cover) + paint * cover), 0, 255).astype(np.uint8)
    return planted, mask


def cut_paste(image: Field, rng: np.random.Generator) -> tuple[Field, Field]:
    """A piece of the same picture, turned, enlarged and a little brighter or darker, in another place."""
    h, w = image.shape[:2]
    cover = blob(h, w, rng, low=0.1, high=0.22, softness=1.0)
    turned = np.rot90(image, k=int(rng.integers(1, 4)))
    zoom = rng.uniform(1.8, 3.5)
    top, left = rng.uniform(0, 1 - 1 / zoom, size=2)
    rows = (np.arange(h) / h / zoom + top) * (turned.shape[0] - 1)
    columns = (np.arange(w) / w / zoom + left) * (turned.shape[1] - 1)
    paint = between(between(turned, rows).swapaxes(0, 1), columns).swapaxes(0, 1)
    return paint + contrast(image, rng, low=0.2, high=1.0), cover


def scratch(image: Field, rng: np.random.Generator) -> tuple[Field, Field]:
    """A thin bent line, brighter or darker than what is below it."""
    h, w = image.shape[:2]
    side = min(h, w)
    length = rng.uniform(0.4, 1.0) * side
    steps = int(np.ceil(length * 2))
    # The direction bends and wobbles; every step is half a pixel, so the line has no gaps.
    bend = rng.uniform(-1.2, 1.2) / steps
    angles = rng.uniform(0, 2 * np.pi) + bend * np.arange(steps) + np.cumsum(rng.normal(0, 0.02, steps))
    y = rng.uniform(0.1, 0.9) * h + np.cumsum(np.sin(angles)) / 2
    x = rng.uniform(0.1, 0.9) * w + np.cumsum(np.cos(angles)) / 2
    radius = rng.uniform(0.01, 0.025) * side
    cover = np.zeros((h, w))
    reach = int(np.ceil(radius + 1))
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            rows, columns = np.floor(y).astype(np.intp) + dy, np.floor(x).astype(np.intp) + dx
            inside = (rows >= 0) & (rows < h) & (columns >= 0) & (columns < w)
            distance = np.hypot(rows + 0.5 - y, columns + 0.5 - x)
            edge = np.clip(radius + 0.5 - distance, 0, 1)
            np.maximum.at(cover, (rows[inside], columns[inside]), edge[inside])
    return image + contrast(image, rng, low=1.5, high=4.0), cover


def stain(image: Field, rng: np.random.Generator) -> tuple[Field, Field]:
    """A soft-edged spot that darkens or brightens and flattens what is below it, which stays visible."""
    h, w = image.shape[:2]
    cover = blob(h, w, rng, low=0.1, high=0.24, softness=rng.uniform(2.0, 5.0))
    kept = rng.uniform(0.1, 0.6)
    mean = image.mean(axis=(0, 1))
    return mean + (image - mean) * kept + contrast(image, rng, low=0.8, high=2.2), cover


def hole(image: Field, rng: np.random.Generator) -> tuple[Field, Field]:
    """A sharp-edged spot with nothing of the picture in it: one dark shade, a little noise, a shaded rim."""
    h, w = image.shape[:2]
    cover = blob(h, w, rng, low=0.05, high=0.12, softness=1.0)
    depth = np.quantile(image, rng.uniform(0.0, 0.3)) * rng.uniform(0.5, 1.0)
    shade = depth + rng.normal(0, 4, size=(h, w)) + np.linspace(-8, 8, h)[:, None]
    return np.repeat(shade[..., None], 3, axis=2), cover


DEFECTS: dict[str, Plant] = {"cut_paste": cut_paste, "scratch": scratch, "stain": stain, "hole": hole}
