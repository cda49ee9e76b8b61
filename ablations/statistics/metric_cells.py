"""The cells of a grid from its trials: what is present, what is missing, what cannot exist."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

CELL = ["dataset", "category", "seed"]


class MetricCells(NamedTuple):
    """One metric of a grid.

    `values`: rows of the table, in order of first appearance, by (dataset, category, seed). NaN is a missing
    cell: the trial failed, is not there, or gave no finite value. A cell that any row has is expected of all.
    `undefined`: the (dataset, category) without such a metric (no masks, no pixel metric), not in `values`.
    """

    values: pd.DataFrame
    undefined: list[tuple[str, str]]


def metric_cells(trials: pd.DataFrame, metric: str) -> MetricCells:
    """Arrange long-format `trials` for one metric. Raises ValueError on unknown metrics and doubled cells."""
    of_metric = trials[trials["metric"] == metric]
    if of_metric.empty and not (trials["status"] == "failed").any():
        known = ", ".join(sorted(trials["metric"].dropna().unique()))
        raise ValueError(f"no trial has the metric {metric!r}; known: {known}")
    doubled = of_metric.duplicated(["row", *CELL])
    if doubled.any():
        first = of_metric.loc[doubled, ["row", *CELL]].iloc[0]
        cell = ", ".join(f"{key} {value}" for key, value in first.items())
        raise ValueError(f"{metric!r} is there twice for {cell}; keep one of them")

    finite = (of_metric["status"] == "ok") & np.isfinite(of_metric["value"].astype(float))
    present = of_metric[finite]
    said = of_metric[of_metric["status"] == "undefined"]
    other_metrics = trials[(trials["status"] == "ok") & (trials["metric"] != metric)]
    undefined = set(_keys(said)) | (set(_keys(other_metrics)) - set(_keys(of_metric)))
    undefined -= set(_keys(present))  # undefined in one row only is a hole in that row

    expected = trials[CELL].drop_duplicates()
    expected = expected[[key not in undefined for key in _keys(expected)]]
    columns = pd.MultiIndex.from_frame(expected).sort_values()
    values = present.pivot(index="row", columns=CELL, values="value").astype(float)
    values = values.reindex(index=pd.unique(trials["row"]), columns=columns)
    return MetricCells(values, sorted(undefined))


def by_category(cells: pd.Series) -> list[NDArray[np.float64]]:
    """The present values of each category that has one, a value a seed."""
    grouped: dict[tuple[str, str], list[float]] = {}
    for (dataset, category, _), value in cells.dropna().items():
        grouped.setdefault((dataset, category), []).append(value)
    return [np.array(values) for values in grouped.values()]


def _keys(frame: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(frame["dataset"], frame["category"], strict=True))
