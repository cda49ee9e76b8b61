"""Where pictures come from: files, folders, patterns, standard input; each gives them one by one."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from dlkd.data import DataError
from dlkd.machine import expanded
from dlkd.scoring.item import Item, file_item, place_of
from dlkd.scoring.video import VIDEO_SUFFIXES, Video, live_video
from dlkd.training.prediction.find_images import images_below, is_image, no_image_in

STANDARD_INPUT = "-"


class Source(Protocol):
    """Pictures from one place; one that cannot be had is given as its error, and the next ones follow.

    Attributes:
        live: pictures come as they are made, so that each is scored at once and not in a batch.
        endless: it ends with Ctrl-C.
    """

    @property
    def live(self) -> bool: ...
    @property
    def endless(self) -> bool: ...
    def check(self) -> None:
        """Raises DataError where it cannot give any picture, before a model is loaded."""

    def count(self) -> int | None:
        """How many pictures it gives, where that is known."""

    def __iter__(self) -> Iterator[Item | DataError]: ...


@dataclass(frozen=True)
class Files:
    """Pictures named one by one; `alone` where no other source is named, and names are told apart without folders."""

    paths: tuple[Path, ...]
    alone: bool = True
    live: bool = False
    endless: bool = False

    def check(self) -> None:
        """Each is there."""
        if missing := [str(path) for path in self.paths if not path.exists()]:
            raise DataError(f"{', '.join(missing[:5])}: no such file or folder")

    def count(self) -> int:
        """Of the paths."""
        return len(self.paths)

    def __iter__(self) -> Iterator[Item]:
        return (file_item(path, Path(path.name) if self.alone else None) for path in self.paths)


@dataclass(frozen=True)
class Folder:
    """The pictures below a folder, as `images_below` finds them.

    Attributes:
        out: a folder in it that is left out.
        alone: whether it is the only source; else the places of its pictures begin with its path.
    """

    path: Path
    out: Path | None = None
    alone: bool = True
    live: bool = False
    endless: bool = False

    def check(self) -> None:
        """There is a picture."""
        if next(images_below(self.path, self.out), None) is None:
            raise DataError(no_image_in(self.path))

    def count(self) -> int:
        """By looking through the folders."""
        return sum(1 for _ in images_below(self.path, self.out))

    def __iter__(self) -> Iterator[Item]:
        for path in images_below(self.path, self.out):
            yield file_item(path, path.relative_to(self.path) if self.alone else None)


@dataclass(frozen=True)
class Pattern:
    """The pictures and videos that a pattern finds: `*`, `?`, `[...]`, and `**` for folders of any depth."""

    text: str
    live: bool = False
    endless: bool = False

    def check(self) -> None:
        """There is a match."""
        if not self._matches():
            raise DataError(f"{self.text}: no such file or folder, and no picture or video matches it as a pattern")

    def count(self) -> int | None:
        """Unless there are videos."""
        matches = self._matches()
        return None if any(map(_is_video, matches)) else len(matches)

    def __iter__(self) -> Iterator[Item | DataError]:
        for path in self._matches():
            yield from _file(Path(path))

    def _matches(self) -> list[str]:
        """By name; hidden files and what dlkd wrote are left out."""
        found = glob.iglob(self.text, recursive=True)
        return sorted(p for p in found if (is_image(os.path.basename(p)) or _is_video(p)) and os.path.isfile(p))


@dataclass(frozen=True)
class Lines:
    """Paths of pictures and videos from a stream, one per line; each is scored before the next line is read."""

    stream: BinaryIO
    live: bool = True
    endless: bool = False

    def check(self) -> None:
        """Nothing is read ahead."""

    def count(self) -> None:
        """Not known."""

    def __iter__(self) -> Iterator[Item | DataError]:
        for line in self.stream:
            if name := os.fsdecode(line.rstrip(b"\r\n")):
                path = Path(name)
                if path.is_dir():
                    yield DataError(f"{name}: is a folder; standard input takes one file per line")
                else:
                    yield from _file(path)


def sources(words: Sequence[str], stdin: BinaryIO, out: Path | None = None) -> list[Source]:
    """The sources that words of the command line name; neighbouring files are one source, and share batches.

    Args:
        words: paths of pictures, folders and videos, patterns, `camera:0`, addresses of streams, `-` for standard
            input.
        stdin: read where `-` is among them.
        out: folder of the output, which is left out.

    Raises:
        DataError: one of them gives no picture.
    """
    found: list[Source] = []
    files: list[Path] = []
    alone = len(words) == 1
    for word in words:
        source = _source(word, stdin, out, alone)
        if isinstance(source, Path):
            files.append(source)
            continue
        found += [Files(tuple(files), alone)] * bool(files) + [source]
        files = []
    found += [Files(tuple(files), alone)] * bool(files)
    for each in found:
        each.check()
    return found


def _source(word: str, stdin: BinaryIO, out: Path | None, alone: bool) -> Source | Path:
    """The source that a word names, or the path of a picture."""
    if word == STANDARD_INPUT:
        return Lines(stdin)
    if (live := live_video(word)) is not None:
        return live
    path = expanded(word)
    if path.is_dir():
        return Folder(path, out, alone)
    if not path.exists():
        return Pattern(str(path)) if glob.has_magic(word) else path
    return Video(str(path), str(path), place=Path(path.name) if alone else None) if _is_video(path) else path


def _file(path: Path) -> Iterable[Item | DataError]:
    """A picture, or the frames of a video."""
    return Video(str(path), str(path)) if _is_video(path) else [file_item(path, place_of(path))]


def _is_video(path: Path | str) -> bool:
    return os.path.splitext(path)[1].lower() in VIDEO_SUFFIXES
