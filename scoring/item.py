"""One picture on its way through a prediction."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dlkd.data.pictures.images import read_image


@dataclass(frozen=True, eq=False)
class Item:
    """A picture to be scored: a file, or a frame of a video.

    Attributes:
        image: path of the file, or of the video, or the name of the camera; as it was given.
        place: where its overlay, mask and map belong below the folder of the output.
        content: the file's path, or the frame as RGB (h, w, 3).
        frame: number of the frame from 0, None of a file.
        seconds: of the frame, from the start of the video.
    """

    image: str
    place: Path
    content: Path | NDArray[np.uint8]
    frame: int | None = None
    seconds: float | None = None

    @property
    def name(self) -> str:
        """The file, or the frame with its time, in words."""
        return self.image if self.frame is None else f"{self.image} frame {self.frame} at {self.seconds:.3f} s"

    def pixels(self) -> NDArray[np.uint8]:
        """The picture as RGB (h, w, 3); a file is read anew at each call. Raises DataError."""
        return read_image(self.content) if isinstance(self.content, Path) else self.content


def file_item(path: Path, place: Path | None = None) -> Item:
    """The picture in a file; without a place, its overlay belongs where `place_of` says."""
    return Item(str(path), place_of(path) if place is None else place, path)


def place_of(path: Path) -> Path:
    """The path as it was given, so that two files of one name are kept apart, below any folder: neither `/` nor `..`.

    >>> place_of(Path("/data/a/x.png")).as_posix(), place_of(Path("a/x.png")).as_posix()
    ('data/a/x.png', 'a/x.png')
    """
    given = Path(os.path.abspath(path)) if ".." in path.parts else path
    return given.relative_to(given.anchor) if given.anchor else given
