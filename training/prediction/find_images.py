"""Finds the images below a path, without those that dlkd wrote and without hidden ones."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from dlkd.data import DataError
from dlkd.data.layouts.reader import IMAGE_SUFFIXES, list_images
from dlkd.training.trials.trial_folder import SPEC

SCORES = "scores.csv"
COLUMNS = ("image", "score", "threshold", "anomalous", "overlay")

_OWN_FILE = re.compile(rf"({'|'.join(map(re.escape, sorted(IMAGE_SUFFIXES)))})\.(overlay|map)\.png$", re.IGNORECASE)


def find_images(images: Path, out: Path | None = None) -> list[Path]:
    """An image, or every image below a folder, by folder and name.

    Left out are `out`, hidden files and folders, folders that dlkd wrote (predictions, trials, reports), overlays and
    maps beside their images, and folders that a link leads to a second time. Raises DataError where nothing is left.
    """
    if images.is_file():
        return [images]
    if not images.is_dir():
        raise DataError(f"{images}: no such file or folder")
    found = [
        f
        for d in _folders(images, None if out is None else out.resolve(), set())
        for f in list_images(d)
        if not _OWN_FILE.search(f.name)
    ]
    if not found:
        raise DataError(
            f"{images}: no image found; read are {', '.join(sorted(IMAGE_SUFFIXES))}, and hidden folders and those "
            "that dlkd wrote are left out"
        )
    return found


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
    return are_scores(folder / SCORES)


def are_scores(path: Path) -> bool:
    """Whether a prediction wrote the file."""
    try:
        with path.open(encoding="utf-8", errors="replace") as table:
            return table.readline().rstrip() == ",".join(COLUMNS)
    except OSError:
        return False
