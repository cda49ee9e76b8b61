"""The store: one folder a cell, and the table of all trials made from it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from dlkd.ablations.plan.grid import Cell
from dlkd.data import dataset_labels
from dlkd.files import HeldError, atomic_path, delete
from dlkd.text import plain
from dlkd.training import METRICS, TrialError, TrialResult, read_result
from dlkd.training.trial import RESULT, mend_trial

T = TypeVar("T")

FAILURE = "failure.txt"
PROGRESS = "progress"
NOT_RUN = "not run"
"""Status of a cell that no trial has begun or ended yet."""


def result(cell: Cell, store: Path) -> TrialResult | None:
    """What a cell measured; None where it is not finished, or its result cannot be read."""
    try:
        return read_result(store / cell.key)
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
    return [cell for cell in cells if result(cell, store) is None]


def mend(cell: Cell, store: Path) -> str:
    """Take away what is broken of a cell without a result that can be read; in words why, or nothing.

    Without a result it counts as missing everywhere; without spec and checkpoint it is trained from the beginning.
    """
    folder = store / cell.key
    said = []
    try:
        read_result(folder)
    except TrialError as error:
        if (folder / RESULT).exists():
            delete(folder / RESULT)
            said.append(str(error))
        with suppress(HeldError):  # whoever works there has read them
            said.append(mend_trial(folder))
    return " ".join("; ".join(filter(None, said)).split())


def failure(cell: Cell, store: Path) -> str | None:
    """Why a cell has no result, in one line; None where it has one or was never tried."""
    path = store / cell.key / FAILURE
    if not path.exists() or result(cell, store) is not None:
        return None
    return first_line(path)


def first_line(path: Path) -> str:
    """Of a `failure.txt`."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return f"{path} cannot be read: {error}"
    return lines[0] if lines else f"{path} is empty"


def collect(cells: Sequence[Cell], store: Path) -> pd.DataFrame:
    """All trials in long form: one line for each table row, dataset, category, seed and metric.

    Columns: table, row, dataset, category, seed, metric, value, status ("ok", "undefined", "failed", "not run"),
    reason, variant, key, the costs, and image_size, max_steps, epochs, pro_limit, score_at, teacher, so that a table
    can say what it rests on.
    """
    lines = []
    for cell, dataset in zip(cells, dataset_labels([cell.spec.dataset for cell in cells]), strict=True):
        spec = cell.spec
        found = result(cell, store)
        why = failure(cell, store) if found is None else None
        for table, row in cell.rows:
            for metric in METRICS:
                value = float("nan") if found is None else found.metrics[metric]
                if found is None:
                    status, reason = (NOT_RUN, NOT_RUN) if why is None else ("failed", why)
                else:
                    reason = found.undefined.get(metric, "")
                    status = "undefined" if reason else "ok"
                lines.append(
                    {
                        "table": table,
                        "row": row,
                        "dataset": dataset,
                        "category": spec.category,
                        "seed": spec.seed,
                        "metric": metric,
                        "value": value,
                        "status": status,
                        "reason": reason,
                        "variant": spec.variant,
                        "key": cell.key,
                        "image_size": spec.train.size_text,
                        "epochs": spec.train.epochs,
                        "max_steps": spec.train.max_steps,
                        "pro_limit": spec.train.pro_limit,
                        "score_at": spec.train.score_at,
                        "teacher": spec.model.get("teacher", {}).get("backbone", ""),
                        **({} if found is None else found.costs),
                    }
                )
    # Arrow takes no names that are not UTF-8.
    return pd.DataFrame([{k: plain(v) if isinstance(v, str) else v for k, v in line.items()} for line in lines])


def write_trials(trials: pd.DataFrame, path: Path, about: Mapping[str, Any] | None = None) -> None:
    """Write the table as parquet, whole or not at all, with plain data of what it is `about` in the same file."""
    trials = trials.copy()
    trials.attrs = dict(about or {})
    with atomic_path(path) as temporary:
        trials.to_parquet(temporary, index=False)


def read_trials(path: Path) -> pd.DataFrame:
    """Read `trials.parquet`. Raises ValueError that names the file where it cannot be read."""
    return _read(path)[0]


def read_about(path: Path) -> dict[str, Any]:
    """What `write_trials` was told of the table. Raises ValueError that names the file where it cannot be read."""
    return _read(path)[1]


def _read(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    if not path.is_file():
        raise ValueError(f"{path} is missing; `dlkd ablate` writes it once a trial is finished")
    try:
        trials = pd.read_parquet(path)
    except Exception as error:  # pyarrow raises many kinds for a damaged file
        raise ValueError(f"cannot read {path}: {error}; `dlkd ablate` makes it again from its store") from error
    about = {str(key): value for key, value in trials.attrs.items()}
    trials.attrs = {}  # pandas copies them with every selection
    return trials, about
