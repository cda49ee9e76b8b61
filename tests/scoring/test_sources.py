"""What the words of the command line name, and where what is drawn of each picture goes."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dlkd.data import DataError
from dlkd.scoring.item import Item
from dlkd.scoring.sources import Files, Folder, Lines, Pattern, sources

Write = Callable[..., Path]


def found(*words: str, stdin: bytes = b"", out: Path | None = None) -> list[tuple[str, str]]:
    """Name and place of each picture."""
    items = [item for source in sources(words, io.BytesIO(stdin), out) for item in source]
    return [(item.name, item.place.as_posix()) if isinstance(item, Item) else (str(item), "") for item in items]


@pytest.fixture
def here(tmp_path: Path, picture: Write, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures, which is the working folder."""
    for name in ("in/b.png", "in/a.png", "in/deep/er/c.JPG", "in/.d.png", "in/a.png.overlay.png", "other/a.png"):
        picture(tmp_path / name)
    (tmp_path / "in/notes.txt").write_text("no picture")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_picture_a_folder_and_several_of_them(here: Path) -> None:
    assert found("in/b.png") == [("in/b.png", "b.png")]
    assert found("in") == [("in/a.png", "a.png"), ("in/b.png", "b.png"), ("in/deep/er/c.JPG", "deep/er/c.JPG")]
    assert found("in", out=here / "in/deep") == [("in/a.png", "a.png"), ("in/b.png", "b.png")]
    both = found("other/a.png", "in", "in/b.png", "other/a.png")
    assert [place for _, place in both] == [
        "other/a.png", "in/a.png", "in/b.png", "in/deep/er/c.JPG", "in/b.png", "other/a.png",
    ]  # fmt: skip
    assert [type(s) for s in sources(["in/b.png", "other/a.png", "in"], io.BytesIO())] == [Files, Folder]
    assert [place for _, place in found("../" + here.name + "/in/b.png", "in/b.png")][1] == "in/b.png"
    assert ".." not in found("in/../in/b.png", "in/b.png")[0][1]


def test_patterns_find_pictures_at_any_depth_and_nothing_that_dlkd_wrote(here: Path, picture: Write) -> None:
    assert found("in/*") == [("in/a.png", "in/a.png"), ("in/b.png", "in/b.png")]
    assert [name for name, _ in found("in/**/*.[jJ][pP][gG]")] == ["in/deep/er/c.JPG"]
    assert len(found("**/a.png")) == 2
    picture(here / "x[1].png")
    assert found("x[1].png") == [("x[1].png", "x[1].png")]
    assert sources(["in/*"], io.BytesIO())[0].count() == 2
    assert isinstance(sources(["in/*"], io.BytesIO())[0], Pattern)


def test_lines_are_files_one_by_one_and_what_is_none_is_an_error_in_its_place(here: Path) -> None:
    lines = b"in/b.png\n\nin\r\n\xff.png\nin/a.png"
    assert found("-", stdin=lines) == [
        ("in/b.png", "in/b.png"),
        ("in: is a folder; standard input takes one file per line", ""),
        (os.fsdecode(b"\xff.png"), os.fsdecode(b"\xff.png")),
        ("in/a.png", "in/a.png"),
    ]


def test_a_line_of_a_pipe_is_given_before_the_next_one_is_written() -> None:
    reads, writes = os.pipe()
    with os.fdopen(reads, "rb") as stream, os.fdopen(writes, "wb", buffering=0) as pipe:
        items = iter(Lines(stream))
        for name in ("a.png", "b.png"):
            pipe.write(f"{name}\n".encode())
            item = next(items)
            assert isinstance(item, Item)
            assert item.name == name


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("none.png", "none.png: no such file or folder"),
        ("none.mp4", "none.mp4: no such file or folder"),
        ("in/*.tif", "in/*.tif: no such file or folder, and no picture or video matches it"),
        ("empty", "empty: no image found; read are .bmp"),
        ("camera:", "camera:: name a camera: camera:0"),
    ],
)
def test_what_gives_no_picture_is_named_before_anything_is_scored(here: Path, word: str, says: str) -> None:
    (here / "empty").mkdir()
    with pytest.raises(DataError) as error:
        sources(["in", word], io.BytesIO())
    assert says in str(error.value)
