"""Deletes broken files of a cell, so that the cell is trained again."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from dlkd.ablations.plan.cells import Cell
from dlkd.files import HeldError, delete
from dlkd.training import TrialError, read_result
from dlkd.training.trials.claim import mend_trial
from dlkd.training.trials.trial_folder import RESULT


def mend(cell: Cell, store: Path) -> str:
    """Take away what is broken of a cell without a result that can be read; in words why, or nothing.

    Without a result it counts as missing everywhere; without spec and checkpoint it is trained from the beginning.
    """
    folder = store / cell.key
    said = []
    try:
        read_result(folder)
    except TrialError as error:
        if (folder / RESULT).exists():
            delete(folder / RESULT)
            said.append(str(error))
        with suppress(HeldError):  # whoever works there has read them
            said.append(mend_trial(folder))
    return " ".join("; ".join(filter(None, said)).split())
