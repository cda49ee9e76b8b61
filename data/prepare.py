"""Writes any dataset as a folder in the MVTec layout, for other tools and for inspection."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from os import PathLike
from pathlib import Path

from PIL import Image

from dlkd.data.category import Category, DataError, Dataset
from dlkd.data.layouts.reader import found_in
from dlkd.data.pictures.images import read_mask
from dlkd.files import is_name, new_folder
from dlkd.machine import expanded


def write_folder(dataset: Dataset, target: str | PathLike[str], *, categories: Iterable[str] | None = None) -> Path:
    """Write `<category>/train/good`, `test/<defect>` and `ground_truth/<defect>` below `target`.

    Pictures are copied byte for byte; masks become PNGs of 0 and 255, several for one image merged. `target` is created
    at the end, when all files are written. Raises DataError where it exists and is not empty.
    """
    target = expanded(target)
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise DataError(f"{target}: not an empty folder; choose another, or delete it first ({found_in(target)})")
    with new_folder(target) as unfinished:
        for name in dataset.categories() if categories is None else categories:
            _write_category(dataset.load(name), unfinished / name)
        if target.exists():
            target.rmdir()  # it is empty, and Windows renames nothing onto it
    return target


def _write_category(category: Category, folder: Path) -> None:
    for name in (category.name, *(sample.defect for sample in (*category.train, *category.test))):
        if not is_name(name):
            raise DataError(f"{category.dataset}, category {category.name}: {name!r} is no name of a folder")
    (folder / "test" / "good").mkdir(parents=True)
    for split, samples in (("train", category.train), ("test", category.test)):
        for sample in samples:
            image = folder / split / sample.defect / sample.image.name
            image.parent.mkdir(parents=True, exist_ok=True)
            if image.exists():
                raise DataError(f"{sample.image}: a second image named {image.name} in {split}/{sample.defect}")
            shutil.copyfile(sample.image, image)
            if sample.mask is not None:
                mask = folder / "ground_truth" / sample.defect / f"{sample.image.stem}_mask.png"
                mask.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(read_mask(sample.mask)).convert("L").save(mask)
