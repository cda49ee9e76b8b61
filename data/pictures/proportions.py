"""Images of other proportions than those that a model is trained on: all are resized to one size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from dlkd.data.category import Category
from dlkd.data.pictures.images import proportions
from dlkd.machine import expanded

TOLERATED = 1.1
"""Width per height that is more than this times that of the training images is said to be other."""

SQUEEZED = (
    "some images have other proportions than most training images and are squeezed to one size, so that their scores "
    "may be off; `dlkd data inspect` counts them"
)


def proportions_of(given: Any) -> float:
    """Width per height of a `Picture`, upright; NaN of what is none."""
    if isinstance(given, str | PathLike):
        return proportions(expanded(given))
    if isinstance(given, Image.Image):
        on_its_side = given.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        return given.height / given.width if on_its_side else given.width / given.height
    if isinstance(given, np.ndarray) and given.ndim in (2, 3) and given.size:
        return float(given.shape[1] / given.shape[0])
    return math.nan


def squeezed_images(category: Category) -> int:
    """How many images of a category have other proportions than most of its training images."""
    trained, tested = ([proportions(s.image) for s in samples] for samples in (category.train, category.test))
    known = [shape for shape in trained if math.isfinite(shape)]
    return len(_others([*trained, *tested], float(np.median(known)))) if known else 0


def squeezed(shapes: Sequence[float], trained_on: float) -> str | None:
    """A sentence where images have other proportions than those trained on (width per height), else None."""
    if not (others := _others(shapes, trained_on)):
        return None
    return (
        f"{len(others)} of {len(shapes)} pictures have other proportions than the training's and are squeezed: trained "
        f"on width per height {trained_on:.2f}, theirs is {np.median(others):.2f}; scores may be off"
    )


def are_other(shape: float, trained_on: float) -> bool:
    """Whether width per height `shape` is not `trained_on`; what is not known, NaN, is not other."""
    if not (math.isfinite(trained_on) and math.isfinite(shape)):
        return False
    return max(shape / trained_on, trained_on / shape) > TOLERATED


def _others(shapes: Sequence[float], trained_on: float) -> list[float]:
    """Those of `shapes` that are not `trained_on`."""
    return [shape for shape in shapes if are_other(shape, trained_on)]
