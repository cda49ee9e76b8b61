"""The Ray Tune trainable: a worker process that runs one cell after another."""

from __future__ import annotations

import shutil
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from ray import tune

from dlkd.ablations.stored.remote import Storage
from dlkd.ablations.stored.store import FAILURE, PROGRESS, write_description
from dlkd.files import HeldError, write_text
from dlkd.registry import load_registry, load_same
from dlkd.training import TrialSpec
from dlkd.training.device import hide_gpus
from dlkd.training.trials.claim import mend_trial
from dlkd.training.trials.trial_folder import WEIGHTS


class CellWorker(tune.Trainable):
    """Runs the cell named `config["cell"]`: one step, one trial.

    Receives plain data only, of all cells at once: by key, a cell's `key`, `spec`, `store`, `storage`, `keep`,
    `loggers`, `contents`, `code`, `rows`, `registry` and `imports` files, `threads`, and whether it takes a `gpu`. With
    `reuse_actors` the process stays for the next cell, so torch and Lightning are loaded once.
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
        """Run the cell. An error is written beside the trial and raised, so that Tune throws this process away."""
        folder = Path(self.cell["store"]) / self.cell["key"]
        torch.set_num_threads(self.cell["threads"])
        if not self.cell.get("gpu"):
            hide_gpus()
        try:
            self._run(folder)
            if self.cell["keep"] == "results":
                (folder / WEIGHTS).unlink(missing_ok=True)
            if self.cell["storage"] is not None:
                Storage(self.cell["storage"]).push(folder)
        except Exception as error:
            last = traceback.format_exc()
            write_text(folder / FAILURE, f"{type(error).__name__}: {error}\n\n{last}")
            raise
        (folder / FAILURE).unlink(missing_ok=True)
        return {"done": True, "key": self.cell["key"]}

    def _run(self, folder: Path) -> None:
        from dlkd.training import run_trial  # Lightning, which the driver does not need

        spec = TrialSpec.model_validate(self.cell["spec"])
        load_same(self.cell["imports"])
        registry = load_registry(*map(Path, self.cell["registry"]))
        progress = folder / PROGRESS

        def tell(fraction: float) -> None:
            with suppress(OSError):  # a bar is not worth a trial
                progress.write_text(f"{fraction:.4f}")

        with suppress(HeldError):  # whoever works there has read them
            mend_trial(folder)  # the run says it for its own store; this node may have another
        write_description(folder, self.cell)
        try:
            run_trial(
                spec, folder, registry, resume=True, on_epoch=tell, contents=self.cell.get("contents") or None,
                loggers=self.cell.get("loggers") or (), rows=self.cell.get("rows") or (),
            )  # fmt: skip
        finally:
            progress.unlink(missing_ok=True)
            shutil.rmtree(folder / "lightning_logs", ignore_errors=True)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Tune keeps nothing: the result is in the trial's folder."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """See `save_checkpoint`."""
