"""Scores the pictures of sources, batch by batch, in the memory of one batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from dlkd.data import DataError
from dlkd.data.pictures.proportions import are_other
from dlkd.scoring.drawn import Drawn
from dlkd.scoring.item import Item
from dlkd.scoring.rows import Rows
from dlkd.scoring.scorer import Answer, Pixels, Scorer
from dlkd.scoring.sources import Source
from dlkd.scoring.times import Times

SAID = 20
"""Messages on pictures that are scored and not drawn; the others are counted."""


@dataclass
class Predicted:
    """What a prediction came to.

    Attributes:
        scored: pictures in the rows.
        anomalous: those of them above the threshold.
        broken: pictures that could not be read or scored.
        undrawn: pictures that are scored, and whose overlay, mask or map could not be written.
        squeezed: pictures of other proportions than the training's.
        times: per picture.
    """

    scored: int = 0
    anomalous: int = 0
    broken: int = 0
    undrawn: int = 0
    squeezed: int = 0
    times: Times = field(default_factory=Times)


class Scoring:
    """Scores pictures, writes their rows and draws them.

    A batch's rows are handed on before its pictures are drawn, so that no score is lost by a crash or by a picture that
    cannot be drawn. Scores of another batch size differ by rounding alone.

    Args:
        scorer: the model.
        rows: where rows go.
        drawn: what is written beside them.
        threshold: score above which a picture is anomalous; default the scorer's own.
        batch_size: pictures per batch; default the scorer's own, and one for a source whose pictures come as they are
            made.
        say: takes a message for the user: a picture that cannot be read, scored or drawn.
        advance: is called with the number of pictures that are done.
    """

    def __init__(
        self,
        scorer: Scorer,
        rows: Rows,
        drawn: Drawn,
        *,
        threshold: float | None = None,
        batch_size: int | None = None,
        say: Callable[[str], None] = lambda said: None,
        advance: Callable[[int], None] = lambda pictures: None,
    ) -> None:
        self.scorer, self.rows, self.drawn, self.batch_size = scorer, rows, drawn, batch_size
        self.threshold = scorer.normal.threshold if threshold is None else threshold
        self.say, self.advance, self.done = say, advance, Predicted()

    def run(self, sources: Sequence[Source]) -> Predicted:
        """Score all; a source without an end ends with Ctrl-C. Raises ValueError where maps are asked of a model that
        gives none."""
        for source in sources:
            try:
                self._run(source)
            except KeyboardInterrupt:
                if not source.endless:
                    raise
        return self.done

    def _run(self, source: Source) -> None:
        size = self.batch_size or (1 if source.live else self.scorer.batch_size)
        pictures = self._read(source)
        while batch := list(islice(pictures, size)):
            answers = self._answers([prepared for _, prepared in batch])
            scored = [(item, each) for (item, _), each in zip(batch, answers, strict=True) if self._counts(item, each)]
            with self.done.times.of("writing"):
                for item, answer in scored:
                    self._write_row(item, answer)
                self.rows.flush()
                for item, answer in scored:
                    self._draw(item, answer)
            self.done.times.end_batch(len(batch))
            self.advance(len(batch))

    def _read(self, source: Source) -> Iterator[tuple[Item, Any]]:
        """What can be read of a source, prepared for the model; of the rest one message each."""
        items = iter(source)
        while True:
            try:
                if source.live:  # waiting is not reading
                    item = next(items, None)
                else:
                    with self.done.times.of("reading"):
                        item = next(items, None)
                if item is None:
                    return
                if isinstance(item, DataError):
                    raise item
                with self.done.times.of("reading"):
                    pixels = item.pixels()
            except DataError as error:
                self._broken(str(error))
                continue
            self._look_at(item, pixels)
            with self.done.times.of("scoring"):
                prepared = self.scorer.prepare(pixels)
            del pixels
            yield item, prepared

    def _answers(self, batch: Sequence[Any]) -> list[Answer]:
        with self.done.times.of("scoring"):
            answers = self.scorer.detect(batch)
        if (self.drawn.masks or self.drawn.maps) and any(answer.make_map is None for answer in answers):
            raise ValueError("this model gives scores and no anomaly maps; leave --maps and --masks out")
        return answers

    def _counts(self, item: Item, answer: Answer) -> bool:
        """Whether the score is one: a NaN is above no threshold, and would pass as normal."""
        if not math.isfinite(answer.score):
            self._broken(f"{item.name}: its score is {answer.score}")
            return False
        self.done.scored += 1
        self.done.anomalous += answer.score > self.threshold
        return True

    def _write_row(self, item: Item, answer: Answer) -> None:
        paths = self.drawn.paths(item) if answer.make_map is not None else dict.fromkeys(("overlay", "mask", "map"))
        row = {
            "image": item.image, "frame": item.frame, "seconds": item.seconds,
            "score": answer.score, "threshold": self.threshold, "anomalous": answer.score > self.threshold,
        }  # fmt: skip
        self.rows.write(item.name, {**row, **paths})

    def _draw(self, item: Item, answer: Answer) -> None:
        if not self.drawn or answer.make_map is None:
            return
        try:
            self.drawn.write(
                item, answer.make_map(), score=answer.score, threshold=self.threshold, normal=self.scorer.normal
            )
        except Exception as error:  # one picture's trouble costs its own overlay alone
            self.done.undrawn += 1
            if self.done.undrawn <= SAID:
                self.say(f"{item.name}: scored, but not drawn: {error}")

    def _look_at(self, item: Item, pixels: Pixels) -> None:
        """Say of the first picture of other proportions that it is squeezed, and count all."""
        trained_on, own = self.scorer.normal.proportions, pixels.shape[1] / pixels.shape[0]
        if are_other(own, trained_on):
            self.done.squeezed += 1
            if self.done.squeezed == 1:
                self.say(
                    f"note: {item.name} has other proportions than the training's and is squeezed: width per height "
                    f"{own:.2f}, trained on {trained_on:.2f}; scores may be off. Others like it are counted"
                )

    def _broken(self, said: str) -> None:
        self.done.broken += 1
        self.say(said)
