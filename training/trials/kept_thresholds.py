"""Alarm thresholds that were chosen after the training, in a file of the trial's folder; the trial's result stays."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pydantic

from dlkd.files import alone, write_text
from dlkd.training.trials.trial_folder import RESULT, THRESHOLDS
from dlkd.training.trials.trial_result import NormalRange
from dlkd.training.trials.trial_spec import TrialError

_KEPT = pydantic.TypeAdapter(list[NormalRange])


def keep_threshold(folder: Path, normal: NormalRange) -> Path:
    """Add a threshold to those of a trial, in whose folder it is the one in use from now on; gives the file.

    Raises TrialError where the folder holds no finished trial, as that of a saved model.
    """
    if not (folder / RESULT).exists():
        raise TrialError(f"{folder} is no trial, so that no threshold is kept there; `save_pretrained` writes it")
    with alone(folder):
        kept = [*_read(folder), normal]
        write_text(folder / THRESHOLDS, json.dumps([asdict(each) for each in kept], indent=1))
    return folder / THRESHOLDS


def threshold_in_use(folder: Path) -> NormalRange | None:
    """The threshold that was chosen last; None where none was, so that the trial's own is in use.

    Raises TrialError where the file is broken.
    """
    kept = _read(folder)
    return kept[-1] if kept else None


def _read(folder: Path) -> list[NormalRange]:
    path = folder / THRESHOLDS
    try:
        return _KEPT.validate_python(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError) as error:
        raise TrialError(
            f"{path} cannot be read: {error}; delete it to go back to the threshold of the training, and run "
            "`dlkd calibrate` again for another"
        ) from error
