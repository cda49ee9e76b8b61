"""The test images that the picture grid shows: which ones, and their scores, in units of each row's own threshold."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dlkd.ablations.report.plot_data import Examples

KeptImages: TypeAlias = dict[str, NDArray[Any]]
"""What a trial's `examples.npz` holds, by name."""
ByCell: TypeAlias = dict[tuple[str, str, str], KeptImages]
"""By row, data set and category."""
MOST_EXAMPLES = 8
"""Columns of the picture grid."""


class Example(NamedTuple):
    """A test image of a category: its place in `examples.npz`, and whether it is anomalous."""

    dataset: str
    category: str
    place: int
    anomalous: bool


def read_examples(examples: Examples) -> tuple[ByCell, list[Example]]:
    """What the trials kept, where it can be read, and the images to show, categories in turn."""
    kept: ByCell = {}
    for each in examples.kept:
        if (loaded := _read(each.file)) is not None:
            kept[each.row, each.dataset, each.category] = loaded
    return kept, _choose(kept)


def score_of(kept: ByCell, row: str, example: Example) -> float | None:
    """A row's score of an image; None where the row has none."""
    own = kept.get((row, example.dataset, example.category))
    return None if own is None else float(own["scores"][example.place]) / unit_of(own)


def unit_of(own: KeptImages) -> float:
    """The trial's threshold; 1 where its maps are all zero."""
    unit = float(own["threshold"])
    return unit if unit > 0 else 1.0


def mask_of(own: KeptImages, place: int) -> NDArray[np.bool_] | None:
    """The ground truth (h, w) of an image; None where the category has none."""
    masks = own["masks"]
    return masks[place] if masks.ndim == 3 else None


def _choose(kept: ByCell) -> list[Example]:
    sources: dict[tuple[str, str], KeptImages] = {}
    for (_, dataset, category), own in kept.items():
        sources.setdefault((dataset, category), own)
    turns = []
    for i, ((dataset, category), own) in enumerate(sources.items()):
        anomalous, normal = (np.flatnonzero(own["labels"] == wanted).tolist() for wanted in (1, 0))
        # Two defects before the normal image: a glance over the first columns shows what is found.
        for turn, index in enumerate([*anomalous[:2], *normal, *anomalous[2:]]):
            # However many categories there are, one normal image shows what false alarms look like.
            wanted = turn if i or index not in normal else -1
            turns.append((wanted, i, turn, Example(dataset, category, index, index in anomalous)))
    first = sorted(sorted(turns)[:MOST_EXAMPLES], key=lambda entry: entry[1:])
    return [example for *_, example in first]


def _read(path: Path) -> KeptImages | None:
    """What a trial kept; None where it cannot be read, as pictures can be done without."""
    try:
        with np.load(path) as file:
            found = dict(file)
        count = len(found["labels"])
        fits = all(len(found[name]) == count for name in ("images", "maps", "scores")) and found["threshold"].size == 1
        return found if count and fits else None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
