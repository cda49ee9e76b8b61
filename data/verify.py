"""Reads all files of a trial once, so that damage is found before training and not after it."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable

from dlkd.data.cache import PIXELS
from dlkd.data.category import Category, DataError
from dlkd.data.digest import category_digest
from dlkd.data.layouts.reader import refuse
from dlkd.data.pictures.images import look_at_image
from dlkd.data.pictures.proportions import SQUEEZED, squeezed_images
from dlkd.data.pictures.sample_mask import look_at_native_mask
from dlkd.files import write_text
from dlkd.machine import cache_folder

Progress = Callable[[int, int], None]

VERSION = f"3 {PIXELS}"
"""Raised when a reader changes what it accepts or says."""


def verify(category: Category, *, progress: Progress | None = None) -> tuple[str, ...]:
    """Sentences on ignored files, on conversions of images and masks, and on images of other proportions.

    A category without damage is stored below `cache_folder()` by its contents, so that the next trial reads nothing.

    Args:
        category: its images and masks are read.
        progress: called with (images done, images in all) while they are read.

    Raises:
        DataError: images or masks that cannot be used, all of them.
    """
    title = f"{category.dataset}, category {category.name}: damaged files"
    try:
        digest = category_digest(category)
    except DataError:
        digest = None  # a file that cannot be opened: all such are named below
    known = cache_folder() / "verified" / f"{digest}.json"
    if digest is not None:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(known.read_text(encoding="utf-8"))
            if found["version"] == VERSION:
                return (*category.notes, *map(str, found["bent"]))
    problems: list[str] = []
    bent: Counter[str] = Counter()
    samples = [*category.train, *category.test]
    masks = sum(sample.mask is not None for sample in samples)
    for done, sample in enumerate(samples, start=1):
        try:
            picture, changes = look_at_image(sample.image)
            bent.update(f"of {len(samples)} images: {change}" for change in changes)
            if sample.mask is not None:
                mask, changes = look_at_native_mask(sample, picture)
                if mask.mean() > 0.5:
                    changes = [*changes, "more than half of the image is marked (inverted?)"]
                bent.update(f"of {masks} masks: {change}" for change in changes)
        except DataError as error:
            problems += error.problems
        if progress is not None:
            progress(done, len(samples))
    if problems:
        refuse(f"{title} ({len(problems)} in all):", problems, category)
    sentences = [f"{count} {what}" for what, count in bent.items()]
    if squeezed_images(category):
        sentences.append(SQUEEZED)
    if digest is not None:
        with contextlib.suppress(OSError):
            write_text(known, json.dumps({"version": VERSION, "bent": sentences}))
    return (*category.notes, *sentences)
