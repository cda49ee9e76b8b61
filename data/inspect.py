"""The contents of a dataset and its problems."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from dlkd.data.category import Category, DataError, Dataset
from dlkd.data.pictures.images import look_at_image
from dlkd.data.pictures.masks import small_regions
from dlkd.data.pictures.proportions import squeezed_images
from dlkd.data.pictures.sample_mask import look_at_native_mask

Progress = Callable[[int, int], None]


@dataclass
class CategoryReport:
    """One category. Counts are images; `problems` are ready to be shown, each naming its file."""

    name: str
    train: int = 0
    test: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    masks: int = 0
    empty_masks: list[str] = field(default_factory=list)
    network: tuple[int, int] | None = None
    small_defects: int = 0
    defect_area: tuple[float, float, float] | None = None
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    bent: dict[str, int] = field(default_factory=dict)
    squeezed: int = 0

    @property
    def normal(self) -> int:
        """Normal test images."""
        return self.test.get("good", 0)

    @property
    def anomalous(self) -> int:
        """Anomalous test images."""
        return sum(self.test.values()) - self.normal

    @property
    def notes(self) -> list[str]:
        """Notes for the user that are not problems."""
        notes = []
        if not self.anomalous or not self.normal:
            absent = "anomalous" if self.normal else "normal" if self.anomalous else "test"
            notes.append(f"no {absent} images: image metrics are undefined")
        elif not self.masks:
            notes.append("no masks: pixel metrics are absent")
        if len(self.sizes) > 1:
            notes.append(f"{len(self.sizes)} image sizes")
        if self.squeezed:
            notes.append(
                f"{self.squeezed} images have other proportions than most training images and are squeezed to one size"
            )
        if len(self.modes) > 1:
            notes.append(f"image modes are mixed: {', '.join(self.modes)}")
        if self.small_defects and self.network is not None:
            height, width = self.network
            notes.append(
                f"{self.small_defects} defects are smaller than a pixel of the network at {height}x{width} (height x "
                "width) and keep one pixel there; a larger --image-size shows more of them"
            )
        if self.empty_masks:
            notes.append(f"{len(self.empty_masks)} masks mark no pixel")
        if self.duplicates:
            notes.append(f"{len(self.duplicates)} test images are also training images")
        return notes + [f"{count} {what}" for what, count in self.bent.items()] + self.left_out

    def __str__(self) -> str:
        defects = ", ".join(f"{n} {kind}" for kind, n in self.test.items() if kind != "good")
        tests = f"{self.normal} normal and {self.anomalous} anomalous test images"
        lines = [
            f"{self.name}: {self.train} train, {tests}",
            f"  defects: {defects}" if defects else "",
            f"  sizes: {_counts(self.sizes)}; modes: {_counts(self.modes)}" if self.sizes else "",
        ]
        if self.defect_area is not None:
            low, middle, high = (f"{100 * share:.2g}%" for share in self.defect_area)
            lines.append(f"  masks: {self.masks}, marking {low} to {high} of an image, median {middle}")
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"    empty: {mask}" for mask in self.empty_masks]
        lines += [f"    twice: {test} is {train}" for train, test in self.duplicates]
        lines += [f"  problem: {problem}" for problem in self.problems]
        return "\n".join(line for line in lines if line)


@dataclass
class DatasetReport:
    """The findings of `inspect_dataset`; `str` gives a readable text."""

    dataset: str
    categories: list[CategoryReport]

    @property
    def sound(self) -> bool:
        """Whether every category loads and every picture in it reads."""
        return not any(category.problems for category in self.categories)

    def __str__(self) -> str:
        """One block for each category: counts, sizes, modes, masks, then notes and problems."""
        return "\n".join([f"dataset {self.dataset}, {len(self.categories)} categories", *map(str, self.categories)])


def inspect_dataset(
    dataset: Dataset,
    *,
    categories: Iterable[str] | None = None,
    progress: Progress | None = None,
    network: tuple[int, int] | None = None,
) -> DatasetReport:
    """Read every picture and mask once: counts, sizes, modes, masks, damage, test images seen in training.

    Duplicates are found by a hash of the decoded pixels, so another file format or name hides none.
    `progress` is called with (images done, images in this category); defects smaller than a pixel of `network`
    (height, width) are counted. Raises DataError without any category.
    """
    names = dataset.categories() if categories is None else tuple(categories)
    name = getattr(dataset, "name", type(dataset).__name__)
    return DatasetReport(name, [_inspect(dataset, category, progress, network) for category in names])


def _counts(counted: dict[str, int]) -> str:
    """The most frequent values with their counts."""
    shown = [f"{value} ({n})" for value, n in list(counted.items())[:5]]
    return ", ".join(shown) + (f" and {len(counted) - 5} more" if len(counted) > 5 else "")


def _inspect(dataset: Dataset, name: str, progress: Progress | None, network: tuple[int, int] | None) -> CategoryReport:
    report = CategoryReport(name, network=network)
    try:
        category = dataset.load(name)
    except DataError as error:
        report.problems += error.problems
        if error.found is None:
            return report
        category = error.found
    report.train = len(category.train)
    report.test = dict(Counter(sample.defect for sample in category.test))
    report.left_out = list(category.notes)
    report.squeezed = squeezed_images(category)
    _read_all(category, report, progress)
    return report


def _read_all(category: Category, report: CategoryReport, progress: Progress | None) -> None:
    sizes: Counter[str] = Counter()
    modes: Counter[str] = Counter()
    areas: list[float] = []
    trained: dict[bytes, Path] = {}
    samples = [*category.train, *category.test]
    bent: Counter[str] = Counter()
    for done, sample in enumerate(samples, start=1):
        try:
            picture, changes = look_at_image(sample.image)
            bent.update(f"images: {change}" for change in changes)
            with Image.open(sample.image) as file:
                modes[file.mode] += 1
            sizes[f"{picture.shape[1]}x{picture.shape[0]}"] += 1
            digest = hashlib.sha256(repr(picture.shape).encode() + picture.tobytes()).digest()
            if done <= len(category.train):
                trained.setdefault(digest, sample.image)
            elif digest in trained:
                report.duplicates.append((str(trained[digest]), str(sample.image)))
            if sample.mask is not None:
                mask, changes = look_at_native_mask(sample, picture)
                bent.update(f"masks: {change}" for change in changes)
                report.masks += 1
                areas.append(float(mask.mean()))
                if mask.mean() > 0.5:
                    bent["masks: more than half of the image is marked (inverted?)"] += 1
                if not mask.any():
                    report.empty_masks.append(str(sample.mask))
                elif report.network is not None:
                    report.small_defects += small_regions(mask, report.network)
        except DataError as error:
            report.problems += error.problems
        if progress is not None:
            progress(done, len(samples))
    report.bent = dict(bent)
    report.sizes, report.modes = dict(sizes.most_common()), dict(modes.most_common())
    if areas:
        report.defect_area = (min(areas), float(np.median(areas)), max(areas))
