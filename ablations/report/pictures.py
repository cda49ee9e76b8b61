"""The pictures of a report: drawn, or found as they were drawn before where nothing that they rest on has changed."""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.metadata
import importlib.resources
import json
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from dlkd.ablations.report.pair_data import Courses, PairPoints
from dlkd.ablations.report.plot_data import Categories, Costs, Curves, Effects, Examples, Profile
from dlkd.ablations.report.words.captions import Caption
from dlkd.ablations.report.words.figures import Numbers, numbers_of
from dlkd.ablations.report.words.in_short import in_short
from dlkd.files import atomic_path, write_text

FOLDER = "pictures"
DRAWN = f"{FOLDER}/drawn.json"
"""What each picture of the folder was drawn from, and the hash of its file."""

DPI = 160
CODE = (
    "ablations/report/example_data.py",
    "ablations/report/plots/courses.py",
    "ablations/report/plots/draw.py",
    "ablations/report/plots/effects.py",
    "ablations/report/plots/heat_map.py",
    "ablations/report/plots/learning_curves.py",
    "ablations/report/plots/pair_points.py",
    "ablations/report/plots/panels.py",
    "ablations/report/plots/pareto.py",
    "ablations/report/plots/picture_grid.py",
    "ablations/report/plots/profile.py",
    "ablations/report/words/entries.py",
    "drawing.py",
    "text.py",
    "training/prediction/pictures.py",
)
"""What draws: a change to it draws all pictures anew."""

LIBRARIES = ("matplotlib", "numpy", "pillow", "scipy")


PictureData: TypeAlias = Examples | Effects | PairPoints | Courses | Profile | Categories | Costs | Curves


@dataclass(frozen=True)
class Picture:
    """A figure of the report: its file below the report's folder, its bytes, its words and what it shows in numbers.

    `drawn_from` is a hash of all that it rests on, empty where another font may draw it in another way.
    """

    file: str
    png: bytes
    title: str
    alt: str
    caption: str
    drawn_from: str = ""
    numbers: Numbers | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in CSS pixels."""
        width, height = struct.unpack(">II", self.png[16:24])  # where each PNG has them
        return round(width * 96 / DPI), round(height * 96 / DPI)

    @property
    def uri(self) -> str:
        """The picture itself as an address."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


Drawn: TypeAlias = Mapping[str, tuple[str, bytes]]
"""By file, what a picture was drawn from and its bytes."""


def drawn_before(folder: Path) -> Drawn:
    """The pictures below a report's folder that are as they were written."""
    found = {}
    try:
        known = json.loads((folder / DRAWN).read_text(encoding="utf-8")).items()
    except (OSError, ValueError, AttributeError):
        return {}
    for file, about in known:
        with suppress(OSError, LookupError, TypeError):
            png = (folder / file).read_bytes()
            if about["file"] == hashlib.sha256(png).hexdigest():
                found[file] = (about["drawn from"], png)
    return found


def make_picture(file: str, data: PictureData, caption: Caption, before: Drawn) -> Picture | None:
    """A picture of that data, for `file`; None where nothing can be drawn of it.

    It is not drawn again where the same data, code and libraries have drawn the one that was there `before`.
    """
    file = f"{FOLDER}/{file}"
    drawn_from = hashlib.sha256(f"{_drawn_by()}\n{data!r}".encode(errors="backslashreplace")).hexdigest()
    caption = caption._replace(alt=" ".join(filter(None, [caption.alt, in_short(data)])))
    same, png = before.get(file, ("", b""))
    if same == drawn_from:
        return Picture(file, png, *caption, drawn_from, numbers_of(data))
    from dlkd.ablations.report.plots.draw import draw, png_of

    if (figure := draw(data)) is None:
        return None
    png = png_of(figure, DPI)
    if figure.numbers:  # there may be a font tomorrow
        text = f"{caption.text} {figure.numbers}"
        return Picture(file, png, caption.title, caption.alt, text, numbers=numbers_of(data))
    return Picture(file, png, *caption, drawn_from, numbers_of(data))


def write_pictures(pictures: Sequence[Picture], folder: Path) -> None:
    """Write the pictures below a report's folder, and what they were drawn from."""
    for picture in pictures:
        with atomic_path(folder / picture.file) as temporary:
            temporary.write_bytes(picture.png)
    known = {
        picture.file: {"drawn from": picture.drawn_from, "file": hashlib.sha256(picture.png).hexdigest()}
        for picture in pictures
        if picture.drawn_from
    }
    write_text(folder / DRAWN, json.dumps(known, indent=1))


@functools.cache
def _drawn_by() -> str:
    """A hash of the code that draws, and the versions of its libraries."""
    root = importlib.resources.files("dlkd")
    code = hashlib.sha256(b"\0".join(root.joinpath(file).read_bytes() for file in CODE)).hexdigest()
    return " ".join([code, f"{DPI} dpi", *(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)])
