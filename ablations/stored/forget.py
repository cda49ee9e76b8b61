"""Deletes what trials left."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dlkd.ablations.stored.remote import Storage
from dlkd.files import all_alone, delete, empty
from dlkd.training.trials.trial_folder import RESULT


def forget(folders: Iterable[Path], storage: Storage | None) -> None:
    """Delete what trials left, here and in the storage: all of them, or none where another process works in one.

    Raises:
        HeldError: another process works in one of the folders; nothing was deleted.
        StorageError: the storage takes no change; here everything stays.
    """
    folders = list(folders)
    with all_alone(folders) as there:
        if storage is not None:
            for folder in folders:
                storage.forget(folder.name)
        for folder in there:
            delete(folder / RESULT)  # first: what is left of a trial if the machine dies now is an unfinished one
            empty(folder)
