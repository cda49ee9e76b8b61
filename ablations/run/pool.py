"""Where and how trials run: on this machine or on a cluster, how many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Pool:
    """Where and how trials run.

    Attributes:
        workers: trials at a time on this machine; a cluster takes as many as fit.
        threads: CPU threads of each.
        split: whether a run may choose both by itself, see `ablations/run/split.py`.
        retries: how often a failed trial is tried again.
        trials_per_gpu: how many trials share a GPU; 0 trains on CPUs.
        one_process: the trials of a GPU run in threads of one process, see `host.py`; by default each has its own.
        address: of a running Ray cluster; None starts Ray on this machine for as long as the grid runs.
        registry_files: the user's own registry files, where every node finds them.
        imports: the user's own Python files, whose components register themselves.
        storage: URL to which finished trials are copied and from which they are fetched; needed where nodes share
            no disk.
        loggers: names of Lightning's loggers for each trial, see `dlkd.training.loggers`.
        keep: "results" deletes a trial's weights once it is scored.
    """

    workers: int = 1
    threads: int = 1
    split: bool = False
    retries: int = 1
    trials_per_gpu: int = 0
    one_process: bool = False
    address: str | None = None
    registry_files: Sequence[Path] = ()
    imports: Sequence[Path] = ()
    storage: str | None = None
    loggers: Sequence[str] = ()
    keep: Literal["weights", "results"] = "weights"

    @property
    def resources(self) -> dict[str, float]:
        """What one trial takes."""
        return {"cpu": self.threads} | ({"gpu": 1 / self.trials_per_gpu} if self.trials_per_gpu else {})

    @property
    def cores(self) -> int:
        """What all trials take together on this machine; 0 on a cluster and on GPUs, where cores do not say it."""
        return 0 if self.address is not None or self.trials_per_gpu else self.workers * self.threads
