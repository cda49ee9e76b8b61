"""A validation category made of normal training images alone: some held out, and copies with planted defects.

With it, settings can be chosen without using test anomalies. The kinds of planted defects are none of the textures'
test images, since a setting would else be chosen on what it is tested with.
"""

from __future__ import annotations

import hashlib
import json
from os import PathLike
from pathlib import Path

import numpy as np
from PIL import Image

from dlkd.data.cache import stamp
from dlkd.data.category import Category, DataError, Sample
from dlkd.data.made.defects import plant
from dlkd.data.made.validation_defects import VALIDATION_DEFECTS
from dlkd.data.pictures.images import read_image
from dlkd.files import new_folder
from dlkd.machine import cache_folder, expanded

GENERATOR = 2  # raised when any pixel of the output changes


def carve_validation(
    category: Category, *, share: float = 0.2, seed: int = 0, root: str | PathLike[str] | None = None
) -> Category:
    """Category whose test is `share` of the training images, as they are and again with one defect each.

    Its training split is the rest; the real test split is not used. The kinds of defects alternate.
    The planted pictures and their masks are written once, below `root` (default: the cache folder).
    Raises DataError where fewer than 2 training images would be left or held out, and where they cannot be written.
    """
    held_count = round(share * len(category.train))
    if held_count < 2 or len(category.train) - held_count < 2:
        raise DataError(
            f"{category.dataset}, category {category.name}: share {share} of {len(category.train)} training "
            f"images holds out {held_count}; at least 2 must be held out and 2 left"
        )
    order = np.random.default_rng([seed, len(category.train)]).permutation(len(category.train))
    held = [category.train[i] for i in sorted(order[:held_count])]
    train = tuple(category.train[i] for i in sorted(order[held_count:]))
    folder = _planted(held, seed, cache_folder() if root is None else expanded(root))
    planted = tuple(
        Sample(folder / f"{i:05d}.png", 1, _defect(i), folder / f"{i:05d}_mask.png") for i in range(held_count)
    )
    return Category(category.dataset, category.name, train, (*held, *planted))


def _defect(index: int) -> str:
    return list(VALIDATION_DEFECTS)[index % len(VALIDATION_DEFECTS)]


def _planted(held: list[Sample], seed: int, root: Path) -> Path:
    """Folder with a planted copy of each image, made unless it is there."""
    sources = "".join(stamp(sample.image) for sample in held)
    key = hashlib.sha256(json.dumps([GENERATOR, seed, sources]).encode()).hexdigest()[:16]
    folder = root / f"planted-{key}"
    if folder.is_dir():
        return folder
    try:
        with new_folder(folder) as unfinished:
            for i, sample in enumerate(held):
                rng = np.random.default_rng([seed, i])
                image, mask = plant(read_image(sample.image), _defect(i), rng, VALIDATION_DEFECTS)
                Image.fromarray(image).save(unfinished / f"{i:05d}.png")
                Image.fromarray(mask).save(unfinished / f"{i:05d}_mask.png")
    except OSError as error:
        raise DataError(
            f"cannot write the pictures with planted defects to {folder}: {error.strerror or error}; "
            "set DLKD_CACHE to a folder that can be written and has room"
        ) from error
    return folder
