"""Where the rows of a prediction go, and what is drawn beside them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dlkd.scoring.drawn import Drawn, MapKind
from dlkd.scoring.rows import Format, Rows, rows_in
from dlkd.scoring.sources import Source
from dlkd.scoring.video import Video
from dlkd.training.prediction.find_images import SCORES

STANDARD_OUTPUT = "-"
FORMATS: tuple[Format, ...] = ("csv", "jsonl")


@dataclass(frozen=True)
class Output:
    """Where a prediction goes.

    Attributes:
        rows: the file of the rows; None is standard output.
        form: of the rows.
        folder: for overlays, masks and maps; None where `--out` names no folder.
        append: keep the rows that are in the file.
    """

    rows: Path | None
    form: Format
    folder: Path | None
    append: bool = False

    def __str__(self) -> str:
        return "standard output" if self.rows is None else str(self.rows)

    @contextmanager
    def open(self) -> Iterator[Rows]:
        """See `rows_in`. Raises ValueError where the reader of standard output has ended."""
        if self.rows is None:
            with _its_reader_named():
                yield Rows(sys.stdout, self.form)
            return
        with rows_in(self.rows, self.form, append=self.append) as rows:
            yield rows

    def drawn(
        self, sources: Sequence[Source], overlays: bool | None, masks: bool = False, maps: MapKind | None = None
    ) -> Drawn:
        """What is drawn; overlays, where nothing is said of them, of files, for a video has 25 frames per second.

        Raises ValueError where there is no folder for it.
        """
        if overlays is None:
            overlays = self.folder is not None and not any(s.live or isinstance(s, Video) for s in sources)
        asked = {"--overlays": overlays, "--masks": masks, "--maps": maps is not None}
        if self.folder is None and any(asked.values()):
            names = ", ".join(name for name, wanted in asked.items() if wanted)
            raise ValueError(f"{names}: name a folder for them with --out, which is given as {self}")
        return Drawn(self.folder or Path(), overlays, masks, maps)


@contextmanager
def _its_reader_named() -> Iterator[None]:
    """An error of the user's where the reader of standard output has ended, in place of one that Click ends with 1."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left of the rows fails again else
        raise ValueError("whoever read standard output has ended; the images after that are not scored") from None


def output_of(out: str, form: Format | None = None, *, append: bool = False) -> Output:
    """The output that `--out` and `--format` name: a folder, a file that ends in .csv or .jsonl, or `-`.

    Raises ValueError where the file's ending is that of another format.
    """
    if out == STANDARD_OUTPUT:
        return Output(None, form or "csv", None)
    path = Path(out)
    ending = next((known for known in FORMATS if path.suffix.lower() == f".{known}"), None)
    if ending is None or path.is_dir():
        return Output(path / SCORES[form or "csv"], form or "csv", path, append)
    if form not in (None, ending):
        raise ValueError(f"--out {out} ends in .{ending}, but --format says {form}; leave --format out")
    return Output(path, ending, None, append)
