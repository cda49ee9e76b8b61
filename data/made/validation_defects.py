"""Planted defects of the validation pictures: smear, warp, slip, stripes, specks, tint.

A setting that is chosen on them is not chosen on the kinds of defects that the textures' test images have.
Each function takes a picture (h, w, 3) and gives what is painted, (h, w, 3), and its cover from 0 to 1, (h, w).
"""

from __future__ import annotations

import numpy as np

from dlkd.data.made.defects import Plant
from dlkd.data.made.shapes import Field, blob, contrast

_MOVED = 0.5
"""Pixels: where a picture is moved by less, a warp does not count as a defect."""


def smear(image: Field, rng: np.random.Generator) -> tuple[Field, Field]:
    """A spot that is wiped in one direction: fine structure across it is gone."""
    h, w = image.shape[:2]
    cover = blob(h, w, rng, low=0.08, high=0.2, softness=rng.uniform(1.0, 3.0))
    length = rng.uniform(0.03, 0.12) * min(h, w)
    angle = rng.uniform(0, np.pi)
    steps = np.linspace(-length / 2, length / 2, 2 * int(np.ceil(length)) + 1)
    wiped = [_moved(image, np.full((h, w), t * np.sin(angle)), np.full((h, w), t * np.cos(angle))) for t in steps]
    return np.mean(wiped, axis=0), cover


def warp(image: Field, rng: np.random.Generator) -> tuple[Field, Field]:
    """A spot whose structure is turned, pulled together or pushed apart, most at its centre."""
    h, w = image.shape[:2]
    radius = rng.uniform(0.12, 0.25) * min(h, w)
    y = np.arange(h)[:, None] + 0.5 - rng.uniform(0.15, 0.85) * h
    x = np.arange(w)[None, :] + 0.5 - rng.uniform(0.15, 0.85) * w
    share = np.clip(1 - (y**2 + x**2) / radius**2, 0, 1) ** 2
    turn = rng.uniform(0.3, 2.5) * rng.choice([-1.0, 1.0]) * share
    zoom = 1 + rng.uniform(-0.5, 0.5) * share
    dy = zoom * (y * np.cos(turn) + x * np.sin(turn)) - y
    dx = zoom * (x * np.cos(turn) - y * np.sin(turn)) - x
    seen = share[np.hypot(dy, dx) >= _MOVED].min(initial=1.0)  # the centre itself stands still, but is inside
    return _moved(image, dy, dx), (share >= seen).astype(np.float64)


def slip(image: Field, rng: np.random.Generator) -> tuple[Field, Field]:
    """A straight band whose content is moved along it, so that it does not fit to either side."""
    h, w = image.shape[:2]
    side = min(h, w)
    angle = rng.uniform(0, np.pi)
    y = np.arange(h)[:, None] + 0.5 - rng.uniform(0.2, 0.8) * h
    x = np.arange(w)[None, :] + 0.5 - rng.uniform(0.2, 0.8) * w
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    inside = np.minimum(rng.uniform(0.02, 0.07) * side - np.abs(across), rng.uniform(0.15, 0.6) * side - np.abs(along))
    move = rng.uniform(0.04, 0.15) * side * rng.choice([-1.0, 1.0])
    moved = _moved(image, np.full((h, w), move * np.sin(angle)), np.full((h, w), move * np.cos(angle)))
    return moved, np.clip(inside + 0.5, 0, 1)


def stripes(image: Field, rng: np.random.Generator) -> tuple[Field, Field]:
    """A spot with a pattern of fine parallel stripes, or of two crossing, printed over what is below it."""
    h, w = image.shape[:2]
    cover = blob(h, w, rng, low=0.08, high=0.2, softness=rng.uniform(1.0, 4.0))
    y, x = np.arange(h)[:, None], np.arange(w)[None, :]
    angle = rng.uniform(0, np.pi)
    period = rng.uniform(0.03, 0.08) * min(h, w)
    waves = [np.sin(2 * np.pi * (x * np.cos(a) + y * np.sin(a)) / period) for a in (angle, angle + np.pi / 2)]
    pattern = waves[0] + waves[1] if rng.random() < 0.5 else waves[0]
    return image + contrast(image, rng, low=0.25, high=1.0) * pattern[..., None], cover


def specks(image: Field, rng: np.random.Generator) -> tuple[Field, Field]:
    """A cluster of ragged specks, as of mould or rust, through which the picture is faintly seen."""
    from scipy.ndimage import gaussian_filter

    h, w = image.shape[:2]
    side = min(h, w)
    where = gaussian_filter(blob(h, w, rng, low=0.1, high=0.22, softness=1.0), 0.03 * side)
    near = where / max(where.max(), 1e-9)
    noise = sum(gaussian_filter(rng.normal(size=(h, w)), s * side) * s for s in (0.016, 0.04))
    inside = near > 0.5
    edge = np.quantile(noise[inside], rng.uniform(0.3, 0.7)) if inside.any() else noise.max()
    depth = (noise - edge) / noise.std() - 4 * (1 - near) ** 2
    cover = np.where(near > 0.1, np.clip(2 * depth, 0, 1), 0.0)
    kept = rng.uniform(0.1, 0.6)
    mean = image.mean(axis=(0, 1))
    return mean + (image - mean) * kept + contrast(image, rng, low=0.5, high=1.6), cover


def tint(image: Field, rng: np.random.Generator) -> tuple[Field, Field]:
    """A soft-edged spot of another colour; its structure stays."""
    h, w = image.shape[:2]
    cover = blob(h, w, rng, low=0.1, high=0.24, softness=rng.uniform(2.0, 6.0))
    colour = rng.normal(size=3)
    colour *= rng.uniform(0.03, 0.15) / np.abs(colour).max()
    return image * (1 + colour), cover


VALIDATION_DEFECTS: dict[str, Plant] = {
    **{"smear": smear, "warp": warp, "slip": slip},
    **{"stripes": stripes, "specks": specks, "tint": tint},
}


def _moved(image: Field, dy: Field, dx: Field) -> Field:
    """`image` (h, w, c) looked up `dy`, `dx` (h, w) pixels away, linearly between pixels, mirrored at its border."""
    from scipy.ndimage import map_coordinates

    h, w, channels = image.shape
    places = np.stack([np.arange(h)[:, None] + dy, np.arange(w)[None, :] + dx])
    layers = [map_coordinates(image[..., c], places, order=1, mode="reflect") for c in range(channels)]
    return np.stack(layers, axis=-1)
