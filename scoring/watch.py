"""A folder whose pictures are scored as they appear."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dlkd.data import DataError
from dlkd.scoring.item import Item, file_item
from dlkd.training.prediction.find_images import images_below

State = tuple[int, int, int]
"""Size, time of the last change, and inode: another one is another picture under the same name."""


@dataclass(frozen=True)
class Watched:
    """The pictures of a folder and of those below it: those that are there, then the new and the changed ones.

    A file counts as complete once two looks in a row find it unchanged and not empty. In memory are the names that are
    in the folder now.

    Attributes:
        folder: that is looked into.
        out: a folder in it that is left out.
        seconds: between two looks.
        wait: `time.sleep`.
    """

    folder: Path
    out: Path | None = None
    seconds: float = 0.5
    wait: Callable[[float], None] = time.sleep
    live: bool = True
    endless: bool = True

    def check(self) -> None:
        """Raises DataError where there is no folder."""
        if not self.folder.is_dir():
            raise DataError(f"{self.folder}: no such folder to watch; make it first")

    def count(self) -> None:
        """Not known."""

    def __iter__(self) -> Iterator[Item]:
        seen: dict[Path, State] = {}
        given: dict[Path, State] = {}
        while True:
            now = self._states()
            for path, state in now.items():
                if state == seen.get(path) and state != given.get(path):
                    given[path] = state
                    yield file_item(path, path.relative_to(self.folder))
            seen, given = now, {path: state for path, state in given.items() if path in now}
            self.wait(self.seconds)

    def _states(self) -> dict[Path, State]:
        """Of each file that is not empty."""
        while True:
            try:
                known = {path: path.stat() for path in images_below(self.folder, self.out)}
            except FileNotFoundError:  # a file or a folder went away in between
                if not self.folder.is_dir():
                    raise DataError(f"{self.folder}: the watched folder is gone") from None
                continue
            return {path: (s.st_size, s.st_mtime_ns, s.st_ino) for path, s in known.items() if s.st_size}
