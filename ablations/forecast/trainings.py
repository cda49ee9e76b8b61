"""What trainings with more seeds would take."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from dlkd.ablations.report.words.numbers import count
from dlkd.ablations.run.duration import duration

TRAINING = ["row", "dataset", "category", "seed"]


@dataclass(frozen=True)
class Trainings:
    """The trainings of a grid.

    Attributes:
        places: dataset and category of each place.
        finished: row, dataset, category and seed of each training that is finished.
        seconds: of one training of each row.
        workers: trials at a time.
    """

    places: list[tuple[str, str]]
    finished: set[tuple[str, str, str, int]]
    seconds: dict[str, float]
    workers: int

    @classmethod
    def of(cls, trials: pd.DataFrame, forecast: Mapping[str, float], workers: int) -> Trainings:
        """From the grid's trials in long form.

        A training takes what `forecast` says by key, or as long as the finished ones of its row took.
        """
        once = trials.drop_duplicates(TRAINING).reindex(columns=[*TRAINING, "status", "key", "train_seconds"])
        done = once["status"].isin(["ok", "undefined"])
        seconds = once["key"].map(dict(forecast)).astype(float).fillna(once["train_seconds"].astype(float))
        return cls(
            list(once[["dataset", "category"]].drop_duplicates().itertuples(index=False, name=None)),
            set(once.loc[done, TRAINING].itertuples(index=False, name=None)),
            seconds.groupby(once["row"]).mean().to_dict(),
            workers,
        )

    def said(self, rows: Iterable[str], seeds: int) -> str:
        """What is left to train of these rows with so many seeds in every place: "30 trainings more, about 25 min"."""
        every = ((row, *place, seed) for row, place, seed in itertools.product(rows, self.places, range(seeds)))
        missing = [training[0] for training in every if training not in self.finished]
        if not missing:
            return "all of their trainings are finished"
        workers = min(self.workers, len(missing))
        seconds = sum(self.seconds[row] for row in missing) / workers
        about = "" if math.isnan(seconds) else f", about {duration(seconds)} with {workers} at a time"
        return f"{count(len(missing), 'training', 'trainings')} more{about}"
