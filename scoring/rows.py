"""Rows of a prediction, as CSV or as JSON lines, in a file or on standard output."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TextIO

from dlkd.data import DataError
from dlkd.files import errors_name
from dlkd.training.prediction.find_images import COLUMNS, are_scores

Format = Literal["csv", "jsonl"]
Row = dict[str, Any]
"""By name: image, frame, seconds, score, threshold, anomalous, overlay, mask, map; None where there is none."""


class Rows:
    """Writes rows to a stream.

    Args:
        stream: of text.
        form: "csv" has `COLUMNS`, and names a frame in the column of the image; "jsonl" has all of a `Row` per line.
        head: whether CSV begins with the names of its columns.
        newline: behind each line.
    """

    def __init__(self, stream: TextIO, form: Format, *, head: bool = True, newline: str = "\n") -> None:
        self._stream, self._newline = stream, newline
        self._table = csv.DictWriter(stream, COLUMNS, lineterminator=newline) if form == "csv" else None
        if self._table is not None and head:
            self._table.writeheader()

    def write(self, name: str, row: Row) -> None:
        """One row; `name` is that of a file or a frame, in words."""
        if self._table is None:
            self._stream.write(json.dumps(row, ensure_ascii=False) + self._newline)
            return
        score, threshold = f"{row['score']:.6f}", f"{row['threshold']:.6f}"
        cells = (name, score, threshold, int(row["anomalous"]), row["overlay"] or "")
        self._table.writerow(dict(zip(COLUMNS, cells, strict=True)))

    def flush(self) -> None:
        """Hand the rows so far to whoever reads them."""
        self._stream.flush()


@contextmanager
def rows_in(path: Path, form: Format, *, append: bool = False) -> Iterator[Rows]:
    """Rows in a file, which a new prediction replaces, or appends to.

    Raises:
        DataError: no prediction wrote the file that is there.
        OSError: it cannot be written; names it.
    """
    there = path.exists() and path.stat().st_size > 0
    if there and not are_scores(path):
        raise DataError(f"{path} is not of a prediction and would be replaced; name another --out")
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        errors_name(path),
        path.open("a" if append else "w", newline="", encoding="utf-8", errors="backslashreplace") as stream,
    ):
        yield Rows(stream, form, head=not (append and there), newline="\r\n" if form == "csv" else "\n")
