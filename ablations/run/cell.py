"""Trains one cell of a grid in this process."""

from __future__ import annotations

import shutil
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from dlkd.ablations.stored.remote import Storage
from dlkd.ablations.stored.store import FAILURE, PROGRESS, write_description
from dlkd.files import HeldError, write_text
from dlkd.registry import load_registry, load_same
from dlkd.training import TrialSpec
from dlkd.training.device import hide_gpus
from dlkd.training.one_process import GENERATORS
from dlkd.training.trials.claim import mend_trial
from dlkd.training.trials.trial_folder import WEIGHTS


def run_cell(cell: dict[str, Any]) -> None:
    """Train and score a cell, given as `CellWorker` takes it; several threads may do so at once.

    An error is written beside the trial and raised.
    """
    folder = Path(cell["store"]) / cell["key"]
    torch.set_num_threads(cell["threads"])
    if not cell.get("gpu"):
        hide_gpus()
    try:
        _run(cell, folder)
        if cell["keep"] == "results":
            (folder / WEIGHTS).unlink(missing_ok=True)
        if cell["storage"] is not None:
            Storage(cell["storage"]).push(folder)
    except Exception as error:
        last = traceback.format_exc()
        write_text(folder / FAILURE, f"{type(error).__name__}: {error}\n\n{last}")
        raise
    (folder / FAILURE).unlink(missing_ok=True)


def _run(cell: dict[str, Any], folder: Path) -> None:
    from dlkd.training import run_trial  # Lightning, which the driver does not need

    spec = TrialSpec.model_validate(cell["spec"])
    with GENERATORS:  # a user's files may draw when they are imported, and are imported once
        load_same(cell["imports"])
        registry = load_registry(*map(Path, cell["registry"]))
    progress = folder / PROGRESS

    def tell(fraction: float) -> None:
        with suppress(OSError):  # a bar is not worth a trial
            progress.write_text(f"{fraction:.4f}")

    with suppress(HeldError):  # whoever works there has read them
        mend_trial(folder)  # the run says it for its own store; this node may have another
    write_description(folder, cell)
    try:
        run_trial(
            spec, folder, registry, resume=True, on_epoch=tell, contents=cell.get("contents") or None,
            loggers=cell.get("loggers") or (), rows=cell.get("rows") or (),
        )  # fmt: skip
    finally:
        progress.unlink(missing_ok=True)
        shutil.rmtree(folder / "lightning_logs", ignore_errors=True)
