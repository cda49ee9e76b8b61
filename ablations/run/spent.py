"""Where the time of a run's cells went: what their trials measured, beside the clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import monotonic

from dlkd.ablations.run.duration import duration
from dlkd.training.trials.trial_result import SECONDS


@dataclass
class Spent:
    """Seconds of the trials that ended in a run.

    Attributes:
        cores: those that trials of the run may take together; 0 where that is not known, as on a cluster.
        asked: when the run asked for its workers, by the clock.
        cells: how many trials ended.
        parts: the sum over them of each of `SECONDS`.
        first: when the first of them began, by the clock; None before.
        last: when the last of them ended.
    """

    cores: int
    asked: float = field(default_factory=lambda: monotonic())
    cells: int = 0
    parts: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SECONDS, 0.0))
    first: float | None = None
    last: float = 0.0

    def began(self) -> None:
        """A trial begins now."""
        if self.first is None:
            self.first = monotonic()

    def ended(self, costs: Mapping[str, float]) -> None:
        """A trial with these costs has ended now."""
        self.cells += 1
        self.last = monotonic()
        for name in SECONDS:
            self.parts[name] += costs.get(name, 0.0)

    @property
    def wall(self) -> float:
        """Seconds from the begin of the first trial to the end of the last."""
        return 0.0 if self.first is None else max(0.0, self.last - self.first)

    @property
    def ratio(self) -> float:
        """`wall` over the seconds of all trials divided by the cores: 1 where no core ever waited."""
        return self.wall * self.cores / max(sum(self.parts.values()), 1e-9)

    def line(self) -> str:
        """For people; empty where no trial has ended."""
        if self.first is None or not self.cells:
            return ""
        train, other = (duration(self.parts[name]) for name in ("train_seconds", "other_seconds"))
        passes = duration(self.parts["normal_seconds"] + self.parts["score_seconds"])
        on = "" if not self.cores else f" on {self.cores} {'core' if self.cores == 1 else 'cores'}"
        ratio = f"; {self.ratio:.2f} times their sum divided by the cores" if self.cores else ""
        return (
            f"{self.cells} {'cell' if self.cells == 1 else 'cells'} in {duration(self.wall)}{on}, beside "
            f"{duration(self.first - self.asked)} to start Ray: {train} of training, {passes} of forward passes over "
            f"normal and test images, {other} of the rest{ratio}"
        )
