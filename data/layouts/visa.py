"""VisA (Zou et al., ECCV 2022), by its own split file."""

from __future__ import annotations

import csv
from dataclasses import replace
from os import PathLike
from pathlib import Path

from dlkd.data.category import Category, DataError, Sample
from dlkd.data.layouts.reader import (
    WITHOUT_MASKS,
    Unmasked,
    choose,
    found_in,
    list_images,
    passed_over,
    refuse,
    unmasked_option,
    without_masks,
)
from dlkd.files import is_inside, is_name
from dlkd.machine import expanded
from dlkd.registry import register

COLUMNS = ("object", "split", "label", "image", "mask")


@register("dataset", "visa")
class VisA:
    """Categories below `root` as published, split by `split_csv/1cls.csv` (normal training images only).

    Args:
        root: folder of the data.
        unmasked: "refuse" a category where some anomalous images have no mask, or "leave_out" these images of pixel
            metrics.
    """

    name = "visa"

    def __init__(self, root: str | PathLike[str], *, unmasked: Unmasked = "refuse") -> None:
        self.root = expanded(root)
        self.unmasked = unmasked_option(self.name, unmasked)

    @property
    def split_file(self) -> Path:
        """The authors' one-class split."""
        return self.root / "split_csv" / "1cls.csv"

    def categories(self) -> tuple[str, ...]:
        """The objects of the split file, sorted. Raises DataError where it is not there."""
        names = sorted({row["object"] for row in self._rows()})
        for name in names:
            if not is_name(name):
                raise DataError(f"{self.split_file}: the object {name!r} is no name of a folder")
        return tuple(names)

    def load(self, category: str) -> Category:
        """Samples of one object in the split file's order. Raises DataError that lists all problems."""
        rows = self._rows()
        choose(self.name, category, self.categories())
        problems: list[str] = []
        splits: dict[str, list[Sample]] = {"train": [], "test": []}
        for row in (row for row in rows if row["object"] == category):
            split, label = row["split"], row["label"]
            if (split, label) not in (("train", "normal"), ("test", "normal"), ("test", "anomaly")):
                problems.append(f"{row['image']}: label '{label}' in split '{split}'")
                continue
            if outside := [name for name in (row["image"], row["mask"]) if name and not is_inside(name)]:
                problems.append(f"{outside[0]}: leads out of {self.root}")
                continue
            for name in (row["image"], row["mask"]):
                if name and not (self.root / name).is_file():
                    problems.append(f"{self.root / name}: no such file, though the split file has it")
            image = self.root / row["image"]
            if label == "normal":
                splits[split].append(Sample(image, 0))
            else:
                splits[split].append(Sample(image, 1, label, self.root / row["mask"] if row["mask"] else None))
        if not splits["train"]:
            problems.append(f"no training images: looked for rows '{category},train,normal,...'")
        bare, notes = without_masks(splits["test"], self.unmasked)
        used = {sample.mask for sample in splits["test"]}
        masks = list_images(self.root / category / "Data" / "Masks" / "Anomaly")
        problems += [f"{mask}: mask without its image" for mask in masks if mask not in used]
        found = Category(self.name, category, tuple(splits["train"]), tuple(splits["test"]))
        folder = self.root / category
        found = replace(found, notes=(*notes, *passed_over(folder, [folder / "Data"], found)))
        title = f"visa, category {category}, split file {self.split_file}:"
        refuse(title + WITHOUT_MASKS * bool(bare), problems + bare, found)
        return found

    def _rows(self) -> list[dict[str, str]]:
        if not self.split_file.is_file():
            raise DataError(f"visa: looked for {self.split_file}, but {found_in(self.split_file)}")
        with self.split_file.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if not set(COLUMNS) <= set(reader.fieldnames or ()):
                raise DataError(
                    f"{self.split_file}: looked for columns {', '.join(COLUMNS)}, found {reader.fieldnames}"
                )
            # A short row has None for its last cells: an absent mask, as an empty one.
            return [{column: row[column] or "" for column in COLUMNS} for row in reader]
