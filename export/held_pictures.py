"""The pictures that an exported file is compared with its model on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dlkd.data import DataError
from dlkd.data.pictures.picture import Picture, rgb_of
from dlkd.registry import Registry
from dlkd.registry.problems import ConfigError
from dlkd.training.trials.trial_spec import TrialSpec, load_category

WHOLE = 4
"""So many whole pictures are taken, evenly spaced."""

LARGEST_SIDE = 2048
"""Pixels; a larger picture is held as its copies of half its sides."""

Rgb = NDArray[np.uint8]


@dataclass(frozen=True)
class Held:
    """Batches of pictures (b, h, w, 3), of a size each, and in words what they are."""

    batches: list[Rgb]
    origin: str


def held_pictures(spec: TrialSpec, registry: Registry, given: Sequence[Picture] | None) -> Held:
    """Pictures of several sizes: some whole, their crops, enlarged and reduced copies, and one of grey levels.

    They are made of those that are `given`, else of the test images of the trial's category (or its training images,
    where it has none), else, where the data are not on this machine, of drawn noise. Raises DataError on a given
    picture that cannot be read.
    """
    if given is not None:
        if not given:
            raise DataError("no picture is given to compare the file with its model on")
        return Held(_sized(_spaced(given), spec.train.sides), "given pictures")
    try:
        category = load_category(spec, registry)
        samples = category.test or category.train
        whole = _spaced([sample.image for sample in samples])
        return Held(
            _sized(whole, spec.train.sides), f"{'test' if category.test else 'training'} images of the category"
        )
    except (DataError, ConfigError):
        return Held(_sized(_drawn(), spec.train.sides), "drawn noise, since the data of the trial are not here")


def _spaced(pictures: Sequence[Picture]) -> list[Picture]:
    chosen = sorted({int(i) for i in np.linspace(0, len(pictures) - 1, WHOLE)})
    return [pictures[i] for i in chosen]


def _sized(pictures: Sequence[Picture], size: tuple[int, int]) -> list[Rgb]:
    """The pictures and their copies of other sizes, as batches of one size, the largest first."""
    made: list[Rgb] = []
    for number, picture in enumerate(pictures):
        whole = _bounded(rgb_of(picture))
        h, w = whole.shape[:2]
        made += [whole, whole[h // 5 : h // 5 + max(1, 2 * h // 3), w // 7 : w // 7 + max(1, 3 * w // 4)]]
        made.append(_at(whole, (h // 2 + 1, w // 2 + 1)))
        if number == 0:
            made += [_at(whole, size), _at(whole, (h + h // 4, w + w // 3)), whole[..., [1, 1, 1]]]
    by_size: dict[tuple[int, ...], list[Rgb]] = {}
    for each in made:
        by_size.setdefault(each.shape, []).append(each)
    return [np.stack(same) for _, same in sorted(by_size.items(), reverse=True)]


def _bounded(picture: Rgb) -> Rgb:
    h, w = picture.shape[:2]
    half = max(1, -(-max(h, w) // LARGEST_SIDE))
    return picture if half == 1 else _at(picture, (max(1, h // half), max(1, w // half)))


def _at(picture: Rgb, size: tuple[int, int]) -> Rgb:
    return np.asarray(Image.fromarray(picture).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def _drawn() -> list[Picture]:
    """Soft spots with fine noise on them, each of a size."""
    rng = np.random.default_rng(0)
    made: list[Picture] = []
    for size in ((320, 240), (231, 317), (320, 240), (97, 150)):
        soft = _at(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8), size).astype(np.int64)
        made.append((soft + rng.integers(-20, 21, soft.shape)).clip(0, 255).astype(np.uint8))
    return made
