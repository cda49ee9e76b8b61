"""Ownership of a trial's folder: by a new trial, by one that continues, or by another trial."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from dlkd.files import alone, delete
from dlkd.training.config import TrainConfig
from dlkd.training.saved.state import trained
from dlkd.training.saved.weights import CheckpointError
from dlkd.training.trials.identity import differences
from dlkd.training.trials.trial_folder import LAST, RESULT, SPEC
from dlkd.training.trials.trial_spec import TrialError, TrialSpec, read_spec, read_trial, write_spec


def claim(spec: TrialSpec, contents: Mapping[str, str], folder: Path, resume: bool) -> bool:
    """Make `folder` this trial's, or refuse it; whether a result in it is that of a shorter training.

    Then its spec stays too, until the longer training has ended.
    """
    if not (folder / SPEC).exists():
        write_spec(folder, spec, contents)
        return False
    held, before = read_spec(folder)
    if not resume:
        raise TrialError(f"{folder} holds a trial already; continue it with --resume, or choose another --out")
    length = {"epochs": held.train.epochs, "max_steps": held.train.max_steps}
    as_long = spec.model_copy(update={"train": spec.train.model_copy(update=length)})
    one, other = held.identity(before), as_long.identity(contents)
    if one != other:
        keys = ", ".join(sorted(key for key in other if one[key] != other[key]))
        raise TrialError(
            f"{folder} holds another trial: {keys} differ ({'; '.join(differences(one, other))}); name another --out"
        )
    longer = as_long != spec
    if longer:
        _check_longer(held.train, spec.train, folder)
    finished = longer and (folder / RESULT).exists()
    if not finished and (held, before) != (spec, contents):
        write_spec(folder, spec, contents)  # the data may have been moved
    return finished


def _check_longer(held: TrainConfig, wanted: TrainConfig, folder: Path) -> None:
    """Raise TrialError where a training of that length cannot go on from what is in `folder`."""
    unlimited = wanted.max_steps < 0
    longer = wanted.epochs >= held.epochs and (unlimited or 0 <= held.max_steps <= wanted.max_steps)
    now = f"{wanted.epochs} epochs" + ("" if unlimited else f", at most {wanted.max_steps} steps")
    if not longer:
        was = f"{held.epochs} epochs" + (f", at most {held.max_steps} steps" if held.max_steps >= 0 else "")
        raise TrialError(
            f"{folder} holds another trial: train differ: it trains {was}, asked for are {now}; a trial can be made "
            "longer, not shorter: name another --out"
        )
    if (folder / LAST).exists():  # it may be that of a still longer training, which was interrupted
        epochs, steps = trained(folder / LAST)
        if epochs > wanted.epochs or (not unlimited and steps > wanted.max_steps):
            raise TrialError(
                f"{folder / LAST} has {epochs} epochs and {steps} steps of a longer training, which was interrupted; "
                f"asked for are {now}: ask for at least as many, or name another --out"
            )
    elif (folder / RESULT).exists() and held.epochs and held.max_steps:
        logging.getLogger("dlkd").warning("%s kept no %s: the longer training starts from the beginning", folder, LAST)


def mend_trial(folder: Path) -> str:
    """Delete spec and checkpoint of an unfinished trial that cannot go on by them; in words why, or nothing.

    For folders whose name says what they hold. Raises HeldError where another process works in it.
    """
    if not folder.is_dir():
        return ""
    with alone(folder, wait=False):
        for name, read in ((SPEC, lambda: read_trial(folder)), (LAST, lambda: trained(folder / LAST))):
            if os.path.lexists(folder / name):
                try:
                    read()
                except (TrialError, CheckpointError) as error:
                    delete(folder / SPEC)
                    delete(folder / LAST)
                    return str(error)
    return ""
