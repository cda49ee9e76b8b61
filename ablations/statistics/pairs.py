"""The paired differences between a row and the reference, by category."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dlkd.ablations.statistics.images import Images, images_of, with_influences

Floats = NDArray[np.float64]
ROUNDING = 1e-12


@dataclass(frozen=True)
class Pairs:
    """The differences row - other of trainings with the same category and seed.

    Attributes:
        row: label of the row.
        other: label of the row that it is compared with.
        differences: of each category that has one, the differences, one per seed.
        image: of each category, the variance of the mean difference that its test images make; empty where the claim
            is about these very images, since not all of their influences are known.
        image_df: degrees of freedom of each.
        n_seeds: distinct seeds among the pairs.
        n_asked: trainings of the row that both rows were asked for.
        n_failed: failed trainings of the row, among those that both rows were asked for.
        n_failed_other: failed trainings of the other row, likewise.
        worst: the estimate with each category's lowest value in place of failed trainings.
        note: categories without a pair.
    """

    row: str
    other: str
    differences: list[Floats]
    image: Floats
    image_df: Floats
    n_seeds: int
    n_asked: int
    n_failed: int
    n_failed_other: int
    worst: float
    note: str

    @property
    def n(self) -> NDArray[np.int64]:
        """Pairs of each category."""
        return np.array([len(each) for each in self.differences], dtype=np.int64)

    @property
    def means(self) -> Floats:
        """Mean difference of each category."""
        return np.array([each.mean() for each in self.differences])

    @property
    def variance(self) -> Floats:
        """Variance of the differences of each category; NaN with one pair."""
        return np.array([variance(each) if len(each) > 1 else np.nan for each in self.differences])

    @property
    def estimate(self) -> float:
        """Mean over categories of their means; NaN without a pair."""
        return float(self.means.mean()) if self.differences else float("nan")

    @property
    def identical(self) -> bool:
        """Whether every difference is zero."""
        return bool(self.differences) and not any(each.any() for each in self.differences)

    @property
    def new_images(self) -> bool:
        """Whether the claim is about new test images too, not these very ones alone."""
        return self.image.size > 0

    @property
    def wins(self) -> float:
        """Pairs that the row wins, ties half."""
        return float(sum((each > 0).sum() + 0.5 * (each == 0).sum() for each in self.differences))


def paired(
    trials: pd.DataFrame, reference: str | Mapping[str, str], influences: pd.DataFrame | None = None
) -> list[Pairs]:
    """The pairs of every row with `reference`, or of each row of a mapping with the row that it names.

    Arguments are those of `verdict.verdicts`. Raises ValueError on an unknown row, a missing column and a training that
    is there twice.
    """
    table = Table.of(trials if influences is None else with_influences(trials, influences))
    if isinstance(reference, str):
        table.index(reference)
        reference = {row: reference for row in table.rows if row != reference}
    return [
        table.contrast({table.index(row): 1.0, table.index(other): -1.0}, row, other)
        for row, other in reference.items()
    ]


@dataclass(frozen=True)
class Table:
    """Trainings by row, category and seed.

    Attributes:
        rows: labels, in order of appearance.
        categories: (dataset, category) of each.
        seeds: in order.
        values: (rows, categories, seeds), NaN where a training failed or is not there.
        asked: where there is a training, failed or not.
        images: the test images of each category, None where not all of their influences are known.
    """

    rows: list[str]
    categories: list[tuple[str, str]]
    seeds: list[int]
    values: Floats
    asked: NDArray[np.bool_]
    images: list[Images] | None

    @classmethod
    def of(cls, trials: pd.DataFrame) -> Table:
        """Arrange long-format trials, which may have the columns of `images.IMAGE_COLUMNS`.

        Raises ValueError on a missing column and a training that is there twice.
        """
        if missing := {"row", "category", "seed", "value"} - set(trials.columns):
            raise ValueError(f"trials lacks {', '.join(sorted(missing))}; it has {', '.join(map(str, trials.columns))}")
        rows, row_names = pd.factorize(trials["row"])
        categories, category_names = pd.factorize(pd.Series(_categories(trials), dtype=object))
        seeds, seed_names = pd.factorize(trials["seed"], sort=True)
        count = np.zeros((len(row_names), len(category_names), len(seed_names)), dtype=int)
        np.add.at(count, (rows, categories, seeds), 1)
        if (count > 1).any():
            row, category, seed = np.argwhere(count > 1)[0]
            where = f"row {row_names[row]!r}, category {category_names[category][1]!r}, seed {seed_names[seed]}"
            raise ValueError(f"the training of {where} is there twice; keep one of them")
        values = np.full(count.shape, np.nan)
        values[rows, categories, seeds] = trials["value"].to_numpy(dtype=float)
        values[~np.isfinite(values)] = np.nan
        images = images_of(trials, (rows, categories, seeds), values)
        return cls(list(row_names), list(category_names), list(seed_names), values, count > 0, images)

    def index(self, row: str) -> int:
        """Place of a row. Raises ValueError where there is none."""
        if row not in self.rows:
            raise ValueError(f"reference {row!r} is no row of the trials; rows: {', '.join(map(str, self.rows))}")
        return self.rows.index(row)

    @property
    def lowest(self) -> Floats:
        """Lowest value of each category, over all rows and seeds: (categories, 1); 0 where a category has none."""
        found = np.where(np.isfinite(self.values), self.values, np.inf).min(axis=(0, 2), initial=np.inf)
        return np.where(np.isfinite(found), found, 0.0)[:, None]

    def contrast(self, weights: Mapping[int, float], row: str, other: str) -> Pairs:
        """The weighted sum of rows (by place) as pairs: positive weights are of `row`, negative ones of `other`."""
        if not weights:
            return Pairs(row, other, [], np.empty(0), np.empty(0), 0, 0, 0, 0, float("nan"), "")
        taking_part = list(weights)
        signed = np.array([weights[place] for place in taking_part])
        values = self.values[taking_part]
        asked: NDArray[np.bool_] = np.asarray(self.asked[taking_part].all(axis=0))
        failed = np.isnan(values) & asked
        differences = np.tensordot(signed, values, 1)
        # Differences of metrics that are zero on paper leave rounding, which may have one sign everywhere.
        differences[np.abs(differences) < ROUNDING] = 0.0
        filled = np.tensordot(signed, np.where(np.isnan(values), self.lowest, values), 1)
        present = np.isfinite(differences)
        has: NDArray[np.bool_] = np.asarray(present.any(axis=1))
        dropped = [self.categories[c][1] for c in np.flatnonzero(asked.any(axis=1) & ~has)]
        known = enumerate(self.images or [])
        of_images = [images.shared(taking_part, signed, present[c]) for c, images in known if has[c]]
        worst = [filled[c][asked[c]].mean() for c in np.flatnonzero(asked.any(axis=1))]
        return Pairs(
            row=row,
            other=other,
            differences=[differences[c][present[c]] for c in np.flatnonzero(has)],
            image=np.array([variance for variance, _ in of_images]),
            image_df=np.array([df for _, df in of_images]),
            n_seeds=int(present.any(axis=0).sum()),
            n_asked=int(asked.sum()) * int((signed > 0).sum()),
            n_failed=int(failed[signed > 0].sum()),
            n_failed_other=int(failed[signed < 0].sum()),
            worst=float(np.mean(worst)) if worst else float("nan"),
            note=f"no pair in {', '.join(dropped)}" if dropped else "",
        )


def variance(values: Floats) -> float:
    """Variance of a sample; zero where its values differ by rounding alone."""
    return 0.0 if np.ptp(values) < ROUNDING else float(values.var(ddof=1))


def _categories(frame: pd.DataFrame) -> list[tuple[str, str]]:
    datasets = frame["dataset"] if "dataset" in frame else [""] * len(frame)
    return list(zip(datasets, frame["category"], strict=True))
