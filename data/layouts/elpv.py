"""ELPV: 2,624 real solar cells (Deitsch et al., Solar Energy 2019), from the PyPI package `elpv-dataset`."""

from __future__ import annotations

from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np

from dlkd.data.category import Category, DataError, Sample
from dlkd.data.layouts.reader import choose, found_in, passed_over, refuse
from dlkd.files import is_inside
from dlkd.machine import expanded
from dlkd.registry import register

NAMES = ("mono", "poly")


@register("dataset", "elpv")
class ELPV:
    """Cells with defect probability 0 for training, and 0 against 1 for the test; labels of images, no masks.

    The data are CC BY-NC-SA: they come with the package and are never redistributed here.

    Args:
        root: folder with `labels.csv` and `images/`; default that of the installed package.
        seed: seed of the split of the cells with probability 0.
        test_share: share of the cells with probability 0 that the test gets.
        train_limit: most training cells of a category, chosen by seed; default all.
        test_limit: most test cells of each label in a category, likewise.
        uncertain: "drop" the cells graded 1/3 and 2/3, or "round" them: 1/3 to normal, 2/3 to anomalous, in
            the test only.
    """

    name = "elpv"

    def __init__(
        self,
        root: str | PathLike[str] | None = None,
        *,
        seed: int = 0,
        test_share: float = 0.25,
        train_limit: int | None = None,
        test_limit: int | None = None,
        uncertain: Literal["drop", "round"] = "drop",
    ) -> None:
        if uncertain not in ("drop", "round"):
            raise ValueError(f"elpv: uncertain must be 'drop' or 'round', got '{uncertain}'")
        if not 0 <= test_share < 1:
            raise ValueError(f"elpv: test_share must be at least 0 and below 1, got {test_share}")
        for option, limit in (("train_limit", train_limit), ("test_limit", test_limit)):
            if limit is not None and limit < 1:
                raise ValueError(f"elpv: {option} must be at least 1, or absent for all, got {limit}")
        self._root = None if root is None else expanded(root)
        self.seed, self.test_share, self.uncertain = seed, test_share, uncertain
        self.train_limit, self.test_limit = train_limit, test_limit

    @property
    def root(self) -> Path:
        """Folder with the labels and images. Raises DataError where the package is not installed."""
        if self._root is not None:
            return self._root
        spec = find_spec("elpv_dataset")
        if spec is None or spec.origin is None:
            raise DataError('elpv: the package elpv-dataset is not installed: pip install "dlkd[offline]"')
        return Path(spec.origin).parent / "data"

    def categories(self) -> tuple[str, ...]:
        """Always mono and poly."""
        return NAMES

    def load(self, category: str) -> Category:
        """Samples of one category, sorted by file name. Raises DataError that lists absent or odd files."""
        choose(self.name, category, NAMES)
        grades, labelled = self._grades(category)
        rng = np.random.default_rng([self.seed, *category.encode()])

        def shuffled(images: list[Path]) -> list[Path]:
            return [images[i] for i in rng.permutation(len(images))]

        # The order is drawn before the limits cut it: a higher limit only adds cells.
        clean = shuffled(grades[0])
        held = round(self.test_share * len(clean))
        rounded = self.uncertain == "round"
        normal = shuffled(clean[:held] + grades[1] * rounded)
        broken = shuffled(grades[3] + grades[2] * rounded)
        train = clean[held:]
        test = [Sample(image, 0) for image in sorted(normal[: self.test_limit])]
        test += [Sample(image, 1, "defective") for image in sorted(broken[: self.test_limit])]
        cells = tuple(Sample(image, 0) for image in sorted(train[: self.train_limit]))
        if not cells:
            raise DataError(f"elpv, category {category}: no cell with probability 0 in {self.root / 'labels.csv'}")
        notes = self._left_out(train, normal, broken, 0 if rounded else len(grades[1]) + len(grades[2]))
        every = Category(self.name, category, tuple(Sample(image, 0) for image in labelled), ())
        notes += passed_over(self.root, sorted({image.parent for image in labelled}), every)
        return Category(self.name, category, cells, tuple(test), tuple(notes))

    def _left_out(self, train: list[Path], normal: list[Path], broken: list[Path], uncertain: int) -> list[str]:
        """Sentences that count the cells of a category that are in no split."""
        notes = []
        if uncertain:
            notes.append(
                f"left out: {uncertain} cells of probability 1/3 or 2/3 (uncertain=round takes them for the test)"
            )
        if (beyond := len(train) - len(train[: self.train_limit])) > 0:
            notes.append(f"left out: {beyond} of {len(train)} training cells, as train_limit says")
        tested = len(normal) + len(broken)
        if (beyond := tested - len(normal[: self.test_limit]) - len(broken[: self.test_limit])) > 0:
            notes.append(f"left out: {beyond} of {tested} test cells, as test_limit says")
        return notes

    def _grades(self, category: str) -> tuple[list[list[Path]], list[Path]]:
        """Images of one category by their grade (probability 0, 1/3, 2/3, 1), and those of all categories."""
        labels = self.root / "labels.csv"
        if not labels.is_file():
            raise DataError(f"elpv: looked for {labels}, but {found_in(labels)}")
        grades: list[list[Path]] = [[], [], [], []]
        problems: list[str] = []
        lines: dict[Path, int] = {}
        for number, line in enumerate(labels.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                name, probability, kind = line.split()
                grade = round(float(probability) * 3)
                if grade not in range(4) or kind not in NAMES:
                    raise ValueError(line)
            except ValueError:
                problems.append(f"line {number}: expected an image, a probability and mono or poly, got '{line}'")
                continue
            image = self.root / name
            if (first := lines.setdefault(image, number)) != number:
                problems.append(f"line {number}: {name} stands in line {first} already")
                continue
            if kind != category:
                continue
            if not is_inside(name):
                problems.append(f"line {number}: {name} leads out of {self.root}")
                continue
            if not image.is_file():
                problems.append(f"line {number}: no such file as {image}")
            grades[grade].append(image)
        refuse(f"{labels}:", problems)
        return grades, list(lines)
