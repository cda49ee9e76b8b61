"""The Ray Tune trainable: a worker process that runs one cell after another."""

from __future__ import annotations

from typing import Any

from ray import tune

from dlkd.ablations.run.cell import run_cell
from dlkd.ablations.run.host import run_in_host


class CellWorker(tune.Trainable):
    """Runs the cell named `config["cell"]`: one step, one trial.

    Receives plain data only, of all cells at once: by key, a cell's `key`, `spec`, `store`, `storage`, `keep`,
    `loggers`, `contents`, `code`, `rows`, `registry` and `imports` files, `threads`, whether it takes a `gpu`, and how
    many `places` the shared process of a GPU has, 0 where each trial has its own. With `reuse_actors` the process stays
    for the next cell, so torch and Lightning are loaded once.
    """

    def setup(  # type: ignore[override]  # `tune.with_parameters` gives more than Tune alone
        self, config: dict[str, Any], cells: dict[str, dict[str, Any]]
    ) -> None:
        """Take the cells; called once per process, `reset_config` for those after the first."""
        self.cells = cells
        self.cell = cells[config["cell"]]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next cell in the same process."""
        self.cell = self.cells[new_config["cell"]]
        return True

    def step(self) -> dict[str, Any]:
        """Run the cell, here or in the process that all trials of this GPU share. See `run_cell` for errors."""
        if self.cell.get("places"):
            run_in_host(self.cell)
        else:
            run_cell(self.cell)
        return {"done": True, "key": self.cell["key"]}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Tune keeps nothing: the result is in the trial's folder."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """See `save_checkpoint`."""
