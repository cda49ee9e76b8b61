"""Models, the test images of categories and the scores of these, each computed once while the page is open."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from dlkd.app.choices import Choice, Offer, Place
from dlkd.data import DataError, Sample, read_image
from dlkd.registry import ConfigError, Registry
from dlkd.scoring.models import OfTrial, load_scorer
from dlkd.scoring.scorer import Answer, Map, Scorer
from dlkd.scoring.tiles import Tiled
from dlkd.training.trials.trial_spec import TrialError, read_trial

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
Advance = Callable[[int, int], None]
"""Takes how many pictures are scored, and how many there are."""

KEPT_MODELS = 8
"""Rows' models in memory; the least recently used one makes room."""

KEPT_MAPS = 32

NAME_THEM = "name them with --dataset NAME --category NAME"


@dataclass(frozen=True)
class TestImages:
    """The test images of a category.

    Attributes:
        samples: in the category's order; empty where there are none.
        missing: why there are none, in a sentence.
    """

    __test__ = False

    samples: tuple[Sample, ...] = ()
    missing: str = ""


@dataclass(frozen=True)
class TestScores:
    """A model's scores (n,) of the test images that could be read, and their labels (n,), 1 anomalous.

    Attributes:
        unread: of the images that could not be read or scored, a sentence each.
    """

    __test__ = False

    scores: NDArray[np.float64]
    labels: NDArray[np.int64]
    unread: tuple[str, ...] = ()


class Scored:
    """Computes for the page, one thing at a time, and keeps it.

    Args:
        offer: what the page offers.
        models: those that are loaded already, by their paths.
        registry: builds datasets.
        data: dataset nodes that were named for a category, in the place of those of the models.
        load: gives the model of a path.
    """

    def __init__(
        self,
        offer: Offer,
        models: Mapping[Path, Scorer],
        registry: Registry,
        data: Mapping[Place, Mapping[str, Any]] | None = None,
        load: Callable[[Path], Scorer] = lambda path: load_scorer(path)[0],
    ) -> None:
        self.offer, self.registry, self.data, self.load = offer, registry, dict(data or {}), load
        self._given = dict(models)
        self._models: Kept[Path, Scorer] = Kept(KEPT_MODELS)
        self._answers: Kept[tuple[Path, Path], tuple[float, Map | None]] = Kept(KEPT_MAPS)
        self._tests: dict[Place | None, TestImages] = {}
        self._scores: dict[tuple[Path, Place | None], TestScores] = {}
        self._lock = threading.RLock()

    def model(self, choice: Choice) -> Scorer:
        """The model of a choice. Raises what `load_scorer` raises."""
        if choice.path in self._given:
            return whole_pictures(self._given[choice.path])
        with self._lock:
            return self._models.get(choice.path, lambda: whole_pictures(self.load(choice.path)))

    def answer(self, choice: Choice, picture: Path) -> tuple[float, Map | None]:
        """A model's score of a picture, and its map (h, w) at the picture's size, None from a model that gives none.

        Raises DataError for a picture that cannot be read, and what `load_scorer` raises.
        """

        def computed() -> tuple[float, Map | None]:
            scorer = self.model(choice)
            found = scorer.detect([scorer.prepare(read_image(picture))])[0]
            return found.score, None if found.make_map is None else found.make_map()

        with self._lock:
            return self._answers.get((choice.path, picture), computed)

    def test_images(self, place: Place | None) -> TestImages:
        """The test images of a category, or why there are none."""
        with self._lock:
            if place not in self._tests:
                self._tests[place] = self._find_test_images(place)
            return self._tests[place]

    def test_scores(self, choice: Choice, place: Place | None, advance: Advance = lambda done, of: None) -> TestScores:
        """A model's scores of the test images of a category. Raises what `load_scorer` raises."""
        key = choice.path, place
        if key not in self._scores:
            with self._lock:
                if key not in self._scores:  # another window may have asked for the same
                    self._scores[key] = score_all(self.model(choice), self.test_images(place).samples, advance)
        return self._scores[key]

    def _find_test_images(self, place: Place | None) -> TestImages:
        if place is None:
            return TestImages(
                (), f"There are no test images: these models do not say what they were trained on; {NAME_THEM}"
            )
        problems: dict[str, None] = {}
        for node in self._nodes(place, problems):
            try:
                category = self.registry.build("dataset", self.registry.complete("dataset", node)).load(place.category)
                return TestImages(tuple(category.test), "" if category.test else f"{place} has no test images")
            except (ConfigError, DataError, OSError) as error:
                problems[str(error)] = None
        why = "; ".join(problems) or f"these models do not say where they are; {NAME_THEM}"
        return TestImages((), f"The test images of {place} are not at hand: {why}")

    def _nodes(self, place: Place, problems: dict[str, None]) -> Iterator[Mapping[str, Any]]:
        """Dataset nodes that may hold the test images of a category; adds why a model names none."""
        if place in self.data:
            yield self.data[place]
            return
        for choice in self.offer.choices:
            given = self._given.get(choice.path)
            if choice.place != place:
                continue
            if isinstance(given, OfTrial):
                yield given.trained.spec.dataset
            elif given is None:
                try:
                    yield read_trial(choice.path).dataset
                except TrialError as error:
                    problems[str(error)] = None


def score_all(scorer: Scorer, samples: Sequence[Sample], advance: Advance) -> TestScores:
    """Score test images in batches of the model's own size; in memory is one batch."""
    scores: list[float] = []
    labels: list[int] = []
    unread: list[str] = []
    advance(0, len(samples))
    for start in range(0, len(samples), scorer.batch_size):
        batch = samples[start : start + scorer.batch_size]
        read = []
        for sample in batch:
            try:
                read.append((sample, scorer.prepare(read_image(sample.image))))
            except DataError as error:
                unread.append(str(error))
        for (sample, _), found in zip(read, _detected(scorer, [prepared for _, prepared in read]), strict=True):
            if np.isfinite(found.score):
                scores.append(found.score)
                labels.append(sample.label)
            else:
                unread.append(f"{sample.image}: its score is {found.score}")
        advance(min(start + len(batch), len(samples)), len(samples))
    return TestScores(np.array(scores, np.float64), np.array(labels, np.int64), tuple(unread))


def whole_pictures(scorer: Scorer) -> Scorer:
    """The scorer, by tiles where it was trained on tiles."""
    return scorer if scorer.tile is None else Tiled(scorer, scorer.tile)


def _detected(scorer: Scorer, prepared: list[Any]) -> list[Answer]:
    return scorer.detect(prepared) if prepared else []


class Kept(Generic[K, T]):
    """The values that were asked for last, `most` of them."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._values: OrderedDict[K, T] = OrderedDict()

    def get(self, key: K, make: Callable[[], T]) -> T:
        """The value of a key, made where it is not there."""
        if key not in self._values:
            self._values[key] = make()
        self._values.move_to_end(key)
        while len(self._values) > self.most:
            self._values.popitem(last=False)
        return self._values[key]
