"""The MVTec folder layout and similar ones: from a category's folder to its samples, with all problems listed."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast, get_args

from dlkd.data.cache import files_of
from dlkd.data.category import Category, DataError, Sample

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
MASK_ENDING = "_mask"
_SHOWN = 20
_SYSTEM = ("Thumbs.db", "desktop.ini", "__MACOSX")

Unmasked = Literal["refuse", "leave_out"]
"""What to do with an anomalous image without a mask if other images have one."""

WITHOUT_MASKS = " (unmasked=leave_out keeps images without a mask for image metrics alone)"

ListMasks = Callable[[Path], Iterable[tuple[str, Path]]]


def list_images(folder: Path) -> list[Path]:
    """Pictures directly in `folder` by name, hidden files left out; empty where there is no such folder."""
    if not folder.is_dir():
        return []
    # Sorted by plain code points: the order of a directory listing and of a locale differ between machines.
    return sorted(
        (p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")),
        key=lambda p: p.name,
    )


def list_folders(folder: Path) -> list[Path]:
    """Folders directly in `folder` by name, hidden ones left out; empty where there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted((p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")), key=lambda p: p.name)


def found_in(folder: Path) -> str:
    """Description of `folder` for an error message: its first entries, or that it is absent or empty."""
    if not folder.exists():
        parent = folder.parent
        return f"{folder} does not exist" + (f"; {found_in(parent)}" if parent != folder else "")
    if not folder.is_dir():
        return f"{folder} is a file"
    names = sorted(p.name + "/" * p.is_dir() for p in folder.iterdir())
    if not names:
        return f"{folder} is empty"
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"{folder} holds {', '.join(names[:10])}{more}"


def refuse(title: str, problems: Sequence[str], found: Category | None = None) -> None:
    """Raise one DataError with all `problems`, unless there are none."""
    if problems:
        lines = [f"  {problem}" for problem in problems[:_SHOWN]]
        if len(problems) > _SHOWN:
            lines.append(f"  and {len(problems) - _SHOWN} more")
        raise DataError("\n".join([title, *lines]), problems, found)


def choose(dataset: str, category: str, known: Sequence[str]) -> str:
    """`category` if it is among `known`. Raises DataError with the nearest name."""
    if category not in known:
        near = difflib.get_close_matches(category, known, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise DataError(f"{dataset}: unknown category '{category}'{hint} known: {', '.join(known)}")
    return category


def mask_files(folder: Path) -> list[tuple[str, Path]]:
    """(stem of the image, mask) for masks named after their image, with or without `_mask`, in any format."""
    return [(p.stem.removesuffix(MASK_ENDING), p) for p in list_images(folder)]


def mask_folders(folder: Path) -> list[tuple[str, Path]]:
    """(stem of the image, folder) where each image has a folder of masks, one for each of its defects."""
    return [(p.name, p) for p in list_folders(folder)]


def read_layout(
    dataset: str,
    folder: Path,
    name: str,
    *,
    normal: str = "good",
    test: str = "test",
    ground_truth: str = "ground_truth",
    list_masks: ListMasks = mask_files,
    unmasked: Unmasked = "refuse",
) -> Category:
    """Category from `train/<normal>`, `<test>/<defect>` and `<ground_truth>/<defect>` below `folder`.

    Unused files in these folders are counted in the category's notes. Raises DataError that lists every problem: no
    training images, training folders of anomalies, an anomalous image without its mask where the category has masks
    (unless `unmasked` says "leave_out"), a mask without its image.
    """
    problems: list[str] = []
    title = f"{dataset}, category {name}:"
    train = [Sample(image, 0) for image in list_images(folder / "train" / normal)]
    if not train:
        found = found_in(folder / "train" / normal)
        problems.append(f"no training images: looked for train/{normal}/*.png (or .jpg, .bmp, ...), but {found}")
    for other in list_folders(folder / "train"):
        if other.name != normal:
            problems.append(f"{other}: training uses train/{normal} only; move these images to {test}/")

    tests: list[Sample] = []
    kinds = [kind for kind in list_folders(folder / test) if kind != folder / ground_truth]
    for kind in kinds:
        if kind.name == normal:
            tests += [Sample(image, 0) for image in list_images(kind)]
        else:
            masks = list_masks(folder / ground_truth / kind.name)
            tests += pair_masks(list_images(kind), masks, kind.name, problems)
    tested = {kind.name for kind in kinds} | {normal}
    for kind in list_folders(folder / ground_truth):
        if kind.name not in tested:
            pair_masks([], list_masks(kind), kind.name, problems)
    bare, notes = without_masks(tests, unmasked)
    category = Category(dataset, name, tuple(train), tuple(tests))
    places = dict.fromkeys((folder / "train", folder / test, folder / ground_truth))
    category = replace(category, notes=(*notes, *passed_over(folder, list(places), category)))
    refuse(title + WITHOUT_MASKS * bool(bare), problems + bare, category)
    return category


def passed_over(folder: Path, places: Iterable[Path], category: Category) -> list[str]:
    """Sentences that count the files below `places` which are neither an image nor a mask of `category`.

    Args:
        folder: of the category; files are named relative to it.
        places: folders that are searched whole.
        category: its files are the used ones.
    """
    used: set[str] = set()
    for sample in (*category.train, *category.test):
        used.add(str(sample.image))
        used.update(map(str, files_of(sample.mask) if sample.mask is not None else ()))
    hidden = 0
    others: dict[str, Counter[str]] = {}
    # A split and its folders may be links; what lies deeper is only followed where it is a plain folder.
    starts = [start for place in places if place.is_dir() for start in (place, *list_folders(place))]
    for start in starts:
        for at, folders, files in os.walk(start):
            if Path(at) != start and any(Path(at) == other for other in starts):
                folders[:] = []
                continue
            hidden += sum(name.startswith(".") or name in _SYSTEM for name in (*folders, *files))
            folders[:] = [name for name in folders if not name.startswith(".") and name not in _SYSTEM]
            for file in files:
                if not file.startswith(".") and file not in _SYSTEM and os.path.join(at, file) not in used:
                    where = os.path.relpath(at, folder)
                    others.setdefault(where, Counter())[Path(file).suffix.lower() or "no ending"] += 1
    notes = []
    for where, kinds in sorted(others.items())[:_SHOWN]:
        counts = ", ".join(f"{n} {kind}" for kind, n in kinds.most_common(5))
        notes.append(f"left out: {where}: {kinds.total()} files ({counts})")
    if len(others) > _SHOWN:
        notes.append(f"left out: files in {len(others) - _SHOWN} more folders")
    if others:
        notes.append(f"read are {', '.join(sorted(IMAGE_SUFFIXES))} in the folder itself, not in folders within it")
    if hidden:
        notes.append(f"left out: {hidden} hidden or system files")
    return notes


def pair_masks(
    images: Iterable[Path], masks: Iterable[tuple[str, Path]], defect: str, problems: list[str]
) -> list[Sample]:
    """Anomalous samples, masks by stem; adds masks without an image, or two for one, to `problems`."""
    by_stem: dict[str, Path] = {}
    for stem, mask in masks:
        if stem in by_stem:
            problems.append(f"{mask}: second mask for one image; the first is {by_stem[stem].name}")
        else:
            by_stem[stem] = mask
    samples: list[Sample] = []
    seen: dict[str, Path] = {}
    for image in images:
        if image.stem in seen and image.stem in by_stem:
            problems.append(f"{image}: shares its mask with {seen[image.stem].name}")
        seen[image.stem] = image
        samples.append(Sample(image, 1, defect, by_stem.get(image.stem)))
    alone = {stem: mask for stem, mask in by_stem.items() if stem not in seen}
    problems += [f"{mask}: mask without its image{_spelled(stem, seen)}" for stem, mask in alone.items()]
    return samples


def _spelled(stem: str, images: Mapping[str, Path]) -> str:
    """The name that a mask should have, where only capitals keep it from its image."""
    plain = stem.lower().removesuffix(MASK_ENDING)
    wanted = next((name for name in images if name.lower() == plain), None)
    return "" if wanted is None else f"; capitals count, name it {wanted}.png or {wanted}{MASK_ENDING}.png"


def without_masks(test: Iterable[Sample], unmasked: Unmasked) -> tuple[list[str], list[str]]:
    """Problems and notes: anomalous images without a mask, where other anomalous images have one."""
    anomalies = [sample for sample in test if sample.label == 1]
    bare = [sample for sample in anomalies if sample.mask is None]
    if not bare or len(bare) == len(anomalies):
        return [], []
    if unmasked == "leave_out":
        return [], [f"{len(bare)} of {len(anomalies)} anomalous images have no mask: pixel metrics leave them out"]
    return [f"{sample.image}: anomalous image without its mask" for sample in bare], []


def unmasked_option(dataset: str, value: str) -> Unmasked:
    """The option `unmasked` of a dataset. Raises ValueError for what it does not know."""
    if value not in get_args(Unmasked):
        raise ValueError(f"{dataset}: unmasked must be 'refuse' or 'leave_out', got '{value}'")
    return cast(Unmasked, value)
