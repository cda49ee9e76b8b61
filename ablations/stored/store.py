"""The store: one folder per cell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dlkd.ablations.plan.cells import Cell
from dlkd.files import write_text
from dlkd.training import TrialError, TrialResult, read_result
from dlkd.training.trials.trial_folder import RESULT

T = TypeVar("T")

FAILURE = "failure.txt"
PROGRESS = "progress"
DESCRIPTION = "cell.json"
"""What a trial's key was made of, and the rows that it stood in."""


def describe(cell: Cell) -> dict[str, Any]:
    """What a cell's key was made of, and its rows, as plain data."""
    spec = cell.spec.model_dump(mode="json")
    return {"spec": spec, "contents": cell.contents, "code": cell.code, "rows": [list(row) for row in cell.rows]}


def write_description(folder: Path, described: Mapping[str, Any]) -> None:
    """Leave in a trial's folder what `describe` gives, which may stand among other things."""
    about = {name: described.get(name) for name in ("spec", "contents", "code", "rows")}
    write_text(folder / DESCRIPTION, json.dumps(about, indent=1))


def result(key: str, store: Path) -> TrialResult | None:
    """What the cell of a key measured; None where it is not finished, or its result cannot be read."""
    try:
        return read_result(store / key)
    except TrialError:
        return None


def part_of_result(folder: Path, name: str, kind: type[T]) -> T:
    """A part of a trial's result, for reports; an empty one where it is not there or cannot be read."""
    try:
        part = json.loads((folder / RESULT).read_text(encoding="utf-8"))[name]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return kind()
    return part if isinstance(part, kind) else kind()


def missing_cells(cells: Sequence[Cell], store: Path) -> list[Cell]:
    """The cells without a result that can be read: what a run, or a resumed one, has to do."""
    return [cell for cell in cells if result(cell.key, store) is None]


def failure(key: str, store: Path) -> str | None:
    """Why the cell of a key has no result, in one line; None where it has one or was never tried."""
    path = store / key / FAILURE
    if not path.exists() or result(key, store) is not None:
        return None
    return first_line(path)


def first_line(path: Path) -> str:
    """Of a `failure.txt`."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return f"{path} cannot be read: {error}"
    return lines[0] if lines else f"{path} is empty"
