"""The output of every dataset: a category with its training and test samples, as paths and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Sample:
    """One picture: label 0 is normal (defect "good"), 1 anomalous; mask is a file, or a folder of parts."""

    image: Path
    label: int
    defect: str = "good"
    mask: Path | None = None


@dataclass(frozen=True)
class Category:
    """One object class: normal training samples, and test samples of both kinds, in a fixed order."""

    dataset: str
    name: str
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    notes: tuple[str, ...] = field(default=(), compare=False)
    """What was passed over or left out on the way, one sentence each, for people."""

    @property
    def anomalies(self) -> tuple[Sample, ...]:
        """The anomalous test samples; may be empty, and image metrics are undefined then."""
        return tuple(sample for sample in self.test if sample.label == 1)

    @property
    def has_masks(self) -> bool:
        """Whether pixel metrics are defined: there are anomalous test samples with a mask."""
        return any(sample.mask is not None for sample in self.anomalies)

    @property
    def for_pixels(self) -> list[int]:
        """Indices of the test samples that pixel metrics count: all but the anomalous ones without a mask."""
        return [i for i, sample in enumerate(self.test) if sample.label == 0 or sample.mask is not None]


class DataError(ValueError):
    """Data on disk that cannot be used; names the file or folder, the problem and what was expected.

    Attributes:
        problems: all problems one by one; a long message shows the first ones only.
        found: the category as far as it could be read, for reports.
    """

    def __init__(self, message: str, problems: Sequence[str] = (), found: Category | None = None) -> None:
        super().__init__(message)
        self.problems = tuple(problems) or (message,)
        self.found = found


class Dataset(Protocol):
    """The methods of a component registered under `dataset/...`."""

    def categories(self) -> tuple[str, ...]:
        """Names of the categories, sorted. Raises DataError where there is none."""
        ...

    def load(self, category: str) -> Category:
        """The samples of one category. Raises DataError that lists every problem found."""
        ...
