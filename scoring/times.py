"""The time that a picture takes, by what it is spent on."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

STEPS = ("reading", "scoring", "writing")
KEPT = 10_000
"""Pictures whose times are remembered: the last ones, so that a prediction without an end needs no more memory."""


class Times:
    """Milliseconds per picture: reading and decoding, scoring with the resizing before it, and writing."""

    def __init__(self) -> None:
        self._kept: deque[dict[str, float]] = deque(maxlen=KEPT)
        self._batch = dict.fromkeys(STEPS, 0.0)

    @contextmanager
    def of(self, step: str) -> Iterator[None]:
        """The block's time counts as this step of the batch."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self._batch[step] += time.perf_counter() - start

    def end_batch(self, pictures: int) -> None:
        """The times since the last call were those of so many pictures, each of which took the same share."""
        share = {step: 1000 * seconds / max(pictures, 1) for step, seconds in self._batch.items()}
        self._kept.extend([share] * pictures)
        self._batch = dict.fromkeys(STEPS, 0.0)

    def __str__(self) -> str:
        if not self._kept:
            return ""
        total = statistics.median(sum(each.values()) for each in self._kept)
        parts = ", ".join(f"{statistics.median(each[s] for each in self._kept):.1f} ms {s}" for s in STEPS)
        return f"{total:.1f} ms per picture (median): {parts}"
