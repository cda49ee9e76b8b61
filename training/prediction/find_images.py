"""Finds the images below a path, without those that dlkd wrote and without hidden ones."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from dlkd.data import DataError
from dlkd.data.layouts.reader import IMAGE_SUFFIXES
from dlkd.training.trials.trial_folder import SPEC

SCORES = {"csv": "scores.csv", "jsonl": "scores.jsonl"}
"""The file of a prediction's rows in the folder of its output, by format."""

COLUMNS = ("image", "score", "threshold", "anomalous", "overlay")

_OWN_FILE = re.compile(
    rf"({'|'.join(map(re.escape, sorted(IMAGE_SUFFIXES)))})\.(overlay|map|mask)\.png$", re.IGNORECASE
)


def find_images(images: Path, out: Path | None = None) -> list[Path]:
    """An image, or every image below a folder, as `images_below` finds them. Raises DataError where nothing is left."""
    if images.is_file():
        return [images]
    if not images.is_dir():
        raise DataError(f"{images}: no such file or folder")
    found = list(images_below(images, out))
    if not found:
        raise DataError(no_image_in(images))
    return found


def no_image_in(folder: Path) -> str:
    """What is said of a folder without images."""
    return (
        f"{folder}: no image found; read are {', '.join(sorted(IMAGE_SUFFIXES))}, and hidden folders and those "
        "that dlkd wrote are left out"
    )


def images_below(folder: Path, out: Path | None = None) -> Iterator[Path]:
    """Every image below a folder, by folder and name; in memory are the names of one folder at a time.

    Left out are `out`, hidden files and folders, folders that dlkd wrote (predictions, trials, reports), overlays,
    masks and maps beside their images, and folders that a link leads to a second time.
    """
    for below in _folders(folder, None if out is None else out.resolve(), set()):
        # Sorted by plain code points: the order of a directory listing and of a locale differ between machines.
        for name in sorted(name for name in os.listdir(below) if is_image(name)):
            yield below / name


def is_image(name: str) -> bool:
    """Whether a file of this name is a picture that is neither hidden nor written by dlkd."""
    known = os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES
    return known and not name.startswith(".") and not _OWN_FILE.search(name)


def _folders(folder: Path, out: Path | None, seen: set[Path]) -> Iterator[Path]:
    """`folder` and the folders below it, each once."""
    seen.add(folder.resolve())
    yield folder
    for below in sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir()):
        real = below.resolve()
        above = any(real in s.parents for s in seen)  # a link upwards
        if not (below.name.startswith(".") or real == out or real in seen or above or _written_by_dlkd(below)):
            yield from _folders(below, out, seen)


def _written_by_dlkd(folder: Path) -> bool:
    if any((folder / name).exists() for name in (SPEC, "trials.parquet")):
        return True
    return any(are_scores(folder / name) for name in SCORES.values())


def are_scores(path: Path) -> bool:
    """Whether a prediction wrote the file."""
    try:
        with path.open(encoding="utf-8", errors="replace") as table:
            first = table.readline()
    except OSError:
        return False
    return first.rstrip() == ",".join(COLUMNS) or first.startswith('{"image": ')
