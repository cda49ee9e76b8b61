"""A watched folder: complete pictures once, changed ones again, whatever comes and goes."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from dlkd.data import DataError
from dlkd.scoring.watch import Watched


class EndedError(Exception):
    """After the last step."""


def names_given(folder: Path, steps: Iterator[None], out: Path | None = None) -> list[str]:
    """What is given while the steps happen, one of them between two looks."""

    def step(_: float) -> None:
        given.append("-")
        try:
            next(steps)
        except StopIteration:
            raise EndedError from None

    given: list[str] = []
    with suppress(EndedError):
        for item in Watched(folder, out, wait=step):
            given.append(item.place.as_posix())
    return given


def test_a_file_is_given_once_it_is_whole_and_again_once_it_changed(
    tmp_path: Path, picture: Callable[..., Path]
) -> None:
    folder, aside = tmp_path / "in", picture(tmp_path / "aside.png", 7)
    picture(folder / "first.png")
    out = folder / "out"

    def steps() -> Iterator[None]:
        yield
        (folder / "grows.png").write_bytes(b"a")
        (folder / "empty.png").write_bytes(b"")
        picture(out / "drawn.png")
        yield
        (folder / "grows.png").write_bytes(b"ab")
        yield
        yield
        (folder / "below").mkdir()
        os.rename(shutil.copy2(aside, tmp_path / "moved.png"), folder / "below/moved.png")
        (folder / "first.png").unlink()
        yield
        yield
        os.replace(shutil.copy2(aside, tmp_path / "again.png"), folder / "grows.png")
        yield
        yield
        picture(folder / "first.png")
        yield
        yield

    assert " ".join(names_given(folder, steps(), out)) == (
        "- first.png - - - grows.png - - below/moved.png - - grows.png - - first.png -"
    )


def test_a_folder_that_is_not_there_or_goes_away_is_named(tmp_path: Path, picture: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match="none: no such folder to watch"):
        Watched(tmp_path / "none").check()
    folder = picture(tmp_path / "in/a.png").parent
    watched = iter(Watched(folder, wait=lambda _: shutil.rmtree(folder, ignore_errors=True)))
    with pytest.raises(DataError, match="in: the watched folder is gone"):
        next(watched)
