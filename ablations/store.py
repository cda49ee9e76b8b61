"""The store: one folder a cell, and the table of all trials made from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dlkd.ablations.grid import Cell
from dlkd.data import dataset_labels
from dlkd.files import atomic_path
from dlkd.text import plain
from dlkd.training import METRICS, read_result
from dlkd.training.trial import RESULT

FAILURE = "failure.txt"
PROGRESS = "progress"


def missing_cells(cells: Sequence[Cell], store: Path) -> list[Cell]:
    """The cells that have no result yet: what a run, or a resumed one, has to do."""
    return [cell for cell in cells if not (store / cell.key / RESULT).exists()]


def failure(cell: Cell, store: Path) -> str | None:
    """Why a cell has no result, in one line; None where it has one or was never tried."""
    path = store / cell.key / FAILURE
    if not path.exists() or (store / cell.key / RESULT).exists():
        return None
    return path.read_text(encoding="utf-8").splitlines()[0]


def collect(cells: Sequence[Cell], store: Path) -> pd.DataFrame:
    """All trials in long form: one line for each table row, dataset, category, seed and metric.

    Columns: table, row, dataset, category, seed, metric, value, status ("ok", "undefined", "failed"), reason,
    variant, key, the costs, and image_size, max_steps, epochs, teacher, so that a table can say what it rests on.
    """
    lines = []
    for cell, dataset in zip(cells, dataset_labels([cell.spec.dataset for cell in cells]), strict=True):
        spec = cell.spec
        done = (store / cell.key / RESULT).exists()
        result = read_result(store / cell.key) if done else None
        for table, row in cell.rows:
            for metric in METRICS:
                value = float("nan") if result is None else result.metrics[metric]
                if result is None:
                    status, reason = "failed", failure(cell, store) or "not run"
                else:
                    reason = result.undefined.get(metric, "")
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
                        "teacher": spec.model.get("teacher", {}).get("backbone", ""),
                        **({} if result is None else result.costs),
                    }
                )
    # Arrow takes no names that are not UTF-8.
    return pd.DataFrame([{k: plain(v) if isinstance(v, str) else v for k, v in line.items()} for line in lines])


def write_trials(trials: pd.DataFrame, path: Path) -> None:
    """Write the table as parquet, whole or not at all."""
    with atomic_path(path) as temporary:
        trials.to_parquet(temporary, index=False)


def read_trials(path: Path) -> pd.DataFrame:
    """Read `trials.parquet`. Raises ValueError that names the file where it cannot be read."""
    if not path.is_file():
        raise ValueError(f"{path} is missing; `dlkd ablate` writes it")
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read {path}: {error}") from error
