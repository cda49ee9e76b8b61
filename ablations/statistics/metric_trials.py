"""One metric of a table of trials: a value per training, NaN where it failed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dlkd.ablations.statistics.images import IMAGE_COLUMNS

CELL = ["dataset", "category", "seed"]


def metric_trials(trials: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The trainings of one metric: row, dataset, category, seed, value, as `verdict.verdicts` takes them.

    `images.IMAGE_COLUMNS` stay, where `trials` has them.

    `trials` is long format, one line per trial and metric, with the status "ok", "failed", "undefined" or "not run". A
    failed training keeps its line, with NaN; one that was not run has none. A category in which no row has the metric
    (no masks, no pixel metric) is left out. Raises ValueError on an unknown metric.
    """
    of_metric = trials[trials["metric"] == metric]
    if of_metric.empty:
        known = ", ".join(sorted(trials["metric"].dropna().unique()))
        raise ValueError(f"no trial has the metric {metric!r}; known: {known}")
    values = of_metric["value"].astype(float).where(of_metric["status"] == "ok")
    lines = of_metric.assign(value=values.where(np.isfinite(values)))[of_metric["status"] != "not run"]
    places = pd.MultiIndex.from_frame(lines[["dataset", "category"]])
    undefined = set(places[lines["status"] == "undefined"]) - set(places[lines["value"].notna()])
    columns = ["row", *CELL, "value", *(name for name in IMAGE_COLUMNS if name in lines)]
    return lines.loc[~places.isin(list(undefined)), columns].reset_index(drop=True)
