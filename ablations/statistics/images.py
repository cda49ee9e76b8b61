"""The test images of a table's trainings as a sample: the variance that other images would make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
IMAGE_COLUMNS = ["images", "anomalous", "influences"]
"""Of a training: what its test images are (equal only for the same images), the labels (n,) and influences (n,)."""


@dataclass(frozen=True)
class Images:
    """The test images of a category.

    Attributes:
        influences: (rows, seeds, images), of each image on the metric of each training; NaN where there is none.
        anomalous: (images,).
    """

    influences: Floats
    anomalous: NDArray[np.bool_]

    def shared(self, rows: Sequence[int], signs: Floats, seeds: NDArray[np.bool_]) -> tuple[float, float]:
        """Variance that all seeds share of a weighted sum of rows (r,), averaged over `seeds`; its degrees of freedom.

        After Obuchowski and Rockette (1995). One seed does not show what seeds share: all of its variance counts.
        """
        differences = np.tensordot(signs, self.influences[list(rows)][:, seeds], 1)
        n, images = differences.shape
        of_mean = float(self._variance(differences.mean(axis=0)))
        if n > 1:
            of_mean = max(0.0, (n * of_mean - float(self._variance(differences).mean())) / (n - 1))
        return of_mean, max(images - 2, 1)

    def _variance(self, influences: Floats) -> Floats:
        """Variance of a metric from influences (..., images): over both classes, N / (N - 1) sum (I - mean)^2."""
        total = np.zeros(influences.shape[:-1])
        for chosen in (self.anomalous, ~self.anomalous):
            part = influences[..., chosen]
            n = part.shape[-1]
            if n > 1:
                total += n / (n - 1) * ((part - part.mean(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
        return total


def images_of(
    trials: pd.DataFrame, places: tuple[NDArray[Any], NDArray[Any], NDArray[Any]], values: Floats
) -> list[Images] | None:
    """The images of each category; None unless every training with a value has their influences.

    Args:
        trials: with `IMAGE_COLUMNS`, None or NaN where a training has no influences.
        places: of each line, its place among the rows, categories and seeds.
        values: (rows, categories, seeds), NaN where a training has no value.
    """
    if "influences" not in trials:
        return None
    rows, categories, seeds = places
    needed = np.isfinite(values[rows, categories, seeds])
    found = []
    for category in range(values.shape[1]):
        at = np.flatnonzero(needed & (categories == category))
        own = trials.iloc[at][IMAGE_COLUMNS]
        if own["influences"].isna().any() or own["images"].nunique(dropna=False) > 1:
            return None
        each = np.stack(list(own["influences"])) if len(own) else np.empty((0, 0))
        influences = np.full((values.shape[0], values.shape[2], each.shape[1]), np.nan)
        influences[rows[at], seeds[at]] = each
        anomalous = np.asarray(own["anomalous"].iloc[0], dtype=bool) if len(own) else np.empty(0, bool)
        found.append(Images(influences, anomalous))
    return found


def with_influences(trials: pd.DataFrame, influences: pd.DataFrame) -> pd.DataFrame:
    """`trials` with `IMAGE_COLUMNS`, from a line per training and image: see `verdict.verdicts`.

    Raises ValueError on a missing column, and on a training with a value but without influences.
    """
    if missing := {"row", "category", "seed", "image", "anomalous", "influence"} - set(influences.columns):
        raise ValueError(f"influences lacks {', '.join(sorted(missing))}")
    training = [name for name in ("row", "dataset", "category", "seed") if name in trials]
    lines = [
        (*key, str(own["image"].tolist()), own["anomalous"].to_numpy(bool), own["influence"].to_numpy(float))
        for key, own in influences.sort_values("image", kind="stable").groupby(training, sort=False)
    ]
    found = trials.merge(pd.DataFrame(lines, columns=[*training, *IMAGE_COLUMNS]), how="left", on=training)
    lacking = found[found["influences"].isna() & np.isfinite(found["value"])]
    if len(lacking):
        row, category, seed = lacking[["row", "category", "seed"]].iloc[0]
        raise ValueError(f"influences lacks those of row {row!r}, category {category!r}, seed {seed}")
    return found
