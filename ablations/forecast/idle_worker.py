"""A worker that trains nothing, so that the start of a run can be timed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dlkd.ablations.run.worker import CellWorker
from dlkd.registry import load_registry


class IdleWorker(CellWorker):
    """Starts as a worker does, and is done."""

    def step(self) -> dict[str, Any]:
        """Load the registry alone."""
        load_registry(*map(Path, self.cell["registry"]))
        return {"done": True, "key": self.cell["key"]}
