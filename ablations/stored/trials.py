"""The table of all trials: in long form, made from the store, and as parquet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dlkd.ablations.plan.cells import Cell
from dlkd.ablations.stored.store import failure, result
from dlkd.data import dataset_labels
from dlkd.files import atomic_path
from dlkd.text import plain
from dlkd.training import METRICS, TrialResult
from dlkd.training.trials.identity import DATA
from dlkd.training.trials.kept_influences import read_influences

NOT_RUN = "not run"
"""Status of a cell that no trial has begun or ended yet."""


def collect(cells: Sequence[Cell], store: Path) -> pd.DataFrame:
    """All trials in long form: one line for each table row, dataset, category, seed and metric.

    Columns: table, row, dataset, category, seed, metric, value, status ("ok", "undefined", "failed", "not run"),
    reason, variant, key, the costs, and image_size, max_steps, epochs, pro_limit, score_at, settings, so that a table
    can say what it rests on; images (a digest of the category's data), anomalous (labels of the test images that the
    metric counts) and influences (of these images on the metric), None where the metric has no influences.
    """
    lines: list[dict[str, Any]] = []
    for cell, dataset in zip(cells, dataset_labels([cell.spec.dataset for cell in cells]), strict=True):
        spec = cell.spec
        found = result(cell.key, store)
        why = failure(cell.key, store) if found is None else None
        measured_here = list(_measured(found, why, store / cell.key))
        for table, row in cell.rows:
            for measured in measured_here:
                lines.append(
                    {
                        "table": table,
                        "row": row,
                        "dataset": dataset,
                        "category": spec.category,
                        "seed": spec.seed,
                        **measured,
                        "variant": spec.variant,
                        "key": cell.key,
                        "image_size": spec.train.size_text,
                        "epochs": spec.train.epochs,
                        "max_steps": spec.train.max_steps,
                        "pro_limit": spec.train.pro_limit,
                        "score_at": spec.train.score_at,
                        "settings": cell.settings,
                        "images": cell.contents.get(DATA),
                        **({} if found is None else found.costs),
                    }
                )
    # Arrow takes no names that are not UTF-8.
    return pd.DataFrame([{k: plain(v) if isinstance(v, str) else v for k, v in line.items()} for line in lines])


def renewed(trials: pd.DataFrame, store: Path) -> pd.DataFrame:
    """`trials` with what the store holds by now of those that had not ended well when they were collected."""
    trials = trials.copy()
    for key in trials.loc[trials["status"].isin([NOT_RUN, "failed"]), "key"].unique():
        found = result(key, store)
        why = failure(key, store)
        if found is None and why is None:
            continue
        measured = pd.DataFrame(_measured(found, why, store / key)).set_index("metric")
        at = trials["key"] == key
        for column in measured:
            trials.loc[at, column] = trials.loc[at, "metric"].map(measured[column])
        for cost, amount in ({} if found is None else found.costs).items():
            trials.loc[at, cost] = amount
    return trials


def _measured(found: TrialResult | None, why: str | None, folder: Path) -> Iterator[dict[str, Any]]:
    """The metric, value, status, reason, anomalous and influences of each metric of a cell; `why` it failed."""
    kept = None if found is None else read_influences(folder)
    for metric in METRICS:
        value = float("nan") if found is None else found.metrics[metric]
        if found is None:
            status, reason = (NOT_RUN, NOT_RUN) if why is None else ("failed", why)
        else:
            reason = found.undefined.get(metric, "")
            status = "undefined" if reason else "ok"
        yield {"metric": metric, "value": value, "status": status, "reason": reason, **_of_images(kept, metric)}


def _of_images(kept: NDArray[Any] | None, metric: str) -> dict[str, Any]:
    """The labels and influences of the test images that a metric counts."""
    has = kept is not None and metric in (kept.dtype.names or ())
    counted = np.isfinite(kept[metric]) if kept is not None and has else np.empty(0, bool)
    if kept is None or not counted.any():
        return {"anomalous": None, "influences": None}
    return {"anomalous": kept["anomalous"][counted], "influences": kept[metric][counted]}


def write_trials(trials: pd.DataFrame, path: Path, about: Mapping[str, Any] | None = None) -> None:
    """Write the table as parquet, whole or not at all, with plain data of what it is `about` in the same file."""
    trials = trials.copy()
    trials.attrs = dict(about or {})
    with atomic_path(path) as temporary:
        trials.to_parquet(temporary, index=False)


def read_trials(path: Path) -> pd.DataFrame:
    """Read `trials.parquet`. Raises ValueError that names the file where it cannot be read."""
    return read_with_about(path)[0]


def read_with_about(path: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The table, and what `write_trials` was told of it. Raises ValueError that names the file that cannot be read."""
    if not path.is_file():
        raise ValueError(f"{path} is missing; `dlkd ablate` writes it when a trial is finished")
    try:
        trials = pd.read_parquet(path)
    except Exception as error:  # pyarrow raises many kinds for a damaged file
        raise ValueError(f"cannot read {path}: {error}; `dlkd ablate` makes it again from its store") from error
    about = {str(key): value for key, value in trials.attrs.items()}
    trials.attrs = {}  # pandas copies them with every selection
    return trials, about
